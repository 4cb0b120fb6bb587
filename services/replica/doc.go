// Package replica is the second layer: it merges each gateway event into what
// is known of its record. It is a pure stage on package stage's runner; input
// is the gateway topic, the changelog is the replica topic with the view of the
// same name.
//
// The merge (merge.go) ends in the same state whatever order events with
// distinct versions arrive in, and however often: versions are kept per field.
// Only the source can decide between two values of one version, so a tie is
// applied and the record fetched once.
//
// After the commit, Settle wakes the records that used fields of a changed
// parent (DESIGN.md §6). It refuses to interpret fields: what a record is, is
// the normalizer's question.
package replica
