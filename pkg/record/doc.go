// Package record holds the vocabulary every part of FluxNex shares: what a
// record is called, how its states are ordered, and the values that travel on
// the topics. It is the leaf of the import graph and uses only the standard
// library.
//
// The `avro` tags name the fields of schemas/*.avsc; package schemas is the
// only code that reads them.
package record
