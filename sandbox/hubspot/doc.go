// Package hubspot behaves like HubSpot's CRM v3 API with its v4 associations,
// its OAuth endpoint and account-info: companies, contacts and deals with
// properties, batches whose results come back in another order, a search that
// lags behind, unique properties, merges, and the documented refusals and limits.
//
// It is written from the vendor's documents and knows nothing of the code that
// calls it. Start reading at [App.Serve].
package hubspot
