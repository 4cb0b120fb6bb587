// Package fetcher asks source apps for records that somebody needs and nobody
// has sent: the parent of an invoice, a record of which two events of one
// second disagree.
//
// A request becomes a row in Postgres before its offset is committed, so it is
// kept until it is answered, and one row stands for all requests of a record.
// The answer (found, absent, failed) goes to the gateway topic under the
// record's own key and takes the way every event takes. Start reading in
// work.go.
package fetcher
