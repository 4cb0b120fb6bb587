// Package embedded runs the parts FluxNex needs inside or beside one process:
// a Kafka broker with a data directory, a schema registry that remembers, a
// PostgreSQL and a Redis. It serves `fluxnex dev` and the tests; production
// has real parts by address and links none of them.
//
// What is kept lives in one data directory and survives SIGKILL: the broker's
// log, the registry's schemas, PostgreSQL's cluster. Redis is memory only,
// because everything in it can be derived again.
//
// Start reading at [Start]; the parts are usable one by one as well.
package embedded
