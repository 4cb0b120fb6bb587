// Package torture proves from outside that every record ends in its last state.
//
// A [Plan] knows what a perfect platform would do: records, each with a history
// of edits, each edit with its own SystemModstamp. A [Load] sends the edits as
// Salesforce would (SOAP outbound messages, CDC-shaped JSON for deletes),
// shuffled, doubled, by many senders at once, and logs what was acknowledged. A
// [Nemesis] kills and freezes processes meanwhile. [Check] then compares, offline,
// what was sent with the destinations' ledger and final objects.
//
// It is written from the documents only and imports nothing of the platform, so
// that an error in the pipeline cannot hide in its own proof. check_test.go
// holds the proof of the proof: ledgers with every kind of violation, each of
// which must be caught.
package torture
