// Package store makes the sandbox survive SIGKILL: one append-only NDJSON file
// in which a line is one API call: the objects and tokens it changed, and its
// ledger lines. A call is therefore in the file whole or not at all.
//
// A line is written before the caller is answered, and flushed to the disk at
// most a tenth of a second later; so a killed process loses nothing it
// answered, a machine that loses power may. Opening compacts the file.
package store
