// Package compat compares two Avro schemas as a registry of level FULL does,
// and stricter where this project's rules are: it needs no registry, so a test
// finds an incompatible change before a deployment does.
package compat
