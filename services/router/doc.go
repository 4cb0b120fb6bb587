// Package router is the fourth layer: it decides what each target must do about
// each record, maps and checks it, and says so on the outbound topics.
//
// For every canonical record it makes one command for each target and
// destination object: upsert, delete, or withdraw with a reason. Silence is
// never used: a record that is put on hold, filtered out or now invalid has to
// take back what was not sent yet. Entities that are one destination object (a
// vendor and a customer of one account: one HubSpot company) are one command.
// What a record is or was, the canonical record lists; a record that never was
// anything has nothing to take back, so it makes no command.
//
// A record that a target cannot take ends in a withdrawal and one notification
// in the same transaction. The router never says that a problem is solved: it
// keeps no state and would have to say so for every record that passes. The
// delivery row does, when it applies a revision as new as the notification's or
// newer.
//
// The stage is pure; it reads no view and writes no compacted topic. Start
// reading at router.go, then record.go.
package router
