// Package dump reads what the platform keeps, once all is quiet, for the
// checker: topics offset by offset, their folds, and the views in Redis. It reads
// with clients of its own and knows the layout from DESIGN.md alone; only the
// codecs are the platform's.
package dump
