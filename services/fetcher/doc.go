// Package fetcher asks source apps for records that somebody needs and nobody
// has sent: the parent of an invoice, a record of which two events of one
// second disagree.
//
// A request becomes a row in Postgres before its offset is committed, so it is
// kept until it is answered, and one row stands for all requests of a record.
// The answer (found, absent, failed) goes to the gateway topic under the
// record's own key and takes the way every event takes. While a source's quota
// or credential is the cause, the clock of what waits stands (block.go).
//
// It also asks sources for removals that they do not announce (watch.go). It
// refuses to decide what an answer means: that is the replica's.
//
// Start reading in work.go.
package fetcher
