// Package revenova reads Revenova TMS, which lives in Salesforce: outbound
// messages in SOAP and in the JSON that converters in the field make of them,
// change events (CDC), Revenova's accounting events, and records of the REST
// API, which is also how missing records are fetched.
//
// Naming. A record's id is its Salesforce id in 18 characters, whatever the
// form it arrived in, so all forms of one record meet in one replica. The
// entity type is "sf_" and the object's API name in lower case:
// sf:Account → sf_account, sf:rtms__Load__c → sf_rtms__load__c. API names are
// case-insensitive in Salesforce, so the name can be turned back.
//
// Fields keep the name and the bytes they arrived with. An accounting event
// has field names of its own ("customerName"), which live in the same record
// beside the API names; where both are known the API name is believed, because
// accounting events carry no version and always end in a fetch.
//
// The version clock is SystemModstamp, else LastModifiedDate. System changes
// move only the first, users move both, so a message without SystemModstamp can
// look older than it is but never newer. A change event without either has its
// commit time.
//
// Start reading at [New]; webhook.go splits, replica.go reads one payload,
// router.go says what a record is, fetch.go asks Salesforce.
package revenova
