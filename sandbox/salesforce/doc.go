// Package salesforce behaves like a Salesforce org as a reader sees it over
// REST (OAuth, records, composite retrieve, SOQL, updated and deleted, the
// daily limit), and as a sender of outbound messages: SOAP envelopes of up to
// 100 notifications, repeated until they are acknowledged.
//
// What is in the org is put there over the sandbox's own pages. It is written
// from the vendor's documents. Start reading at [App.Serve] and, for messages,
// at [Outbox].
package salesforce
