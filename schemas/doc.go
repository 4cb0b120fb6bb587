// Package schemas owns the bytes on the topics: the Avro schemas (*.avsc), and
// the codecs that turn the values of package record into Confluent's wire
// format and back. It is the only importer of the Avro library.
//
// Schemas evolve FULL_TRANSITIVE: old readers meet new writers and new readers
// old values in every rolling update. A field is added or removed with a
// default; nothing is renamed or retyped; enumerations are strings, so that a
// new value is not a new schema. History holds every version ever registered,
// and package compat compares them all with the current text.
//
// Bytes from a topic are hostile until decoded: their size is capped before
// decoding, and nothing in them makes the decoder allocate more than a small
// multiple of their length. Start reading at [Open].
package schemas
