// Package hubspot delivers to HubSpot, CRM v3: companies, contacts and deals.
//
// A vendor and a customer of one account are one company; a load is a deal.
// HubSpot's own keys cannot tell whether an object is ours (a company's domain
// is not unique, a search lags behind), so every object is created by an upsert
// on a unique property of our own, which holds the source record's id. A
// repeated creation is then an update, whatever happened to its answer.
//
// A payload is flat: property names are its paths ("name", "custom_field"),
// and "associations.companies" is the id of the company a contact or a deal
// belongs to. HubSpot takes all values as text.
//
// Settings of a connection: unique_property (default fluxnex_record_id),
// pipeline, deal_stages (stage ids by load status, with "default"; mandatory for
// pipelines other than the one every portal begins with), time_zone (the
// portal's, "America/Chicago": a used-up quota of the day is back at midnight
// there; without it it is asked for each hour).
//
// Start reading at hubspot.go; what an error means is in classify.go.
package hubspot
