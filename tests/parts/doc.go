// Package parts gives a test the real parts it needs: a fresh PostgreSQL
// database, an empty Redis database, a Kafka cluster with a schema registry.
//
// A part comes from the first of these that is there: an address in the
// environment (FLUXNEX_TEST_POSTGRES_URL, FLUXNEX_TEST_REDIS_URL,
// FLUXNEX_TEST_KAFKA_BROKERS with FLUXNEX_TEST_REGISTRY_URL), a server binary
// installed on the machine and started privately once per test process, the
// embedded part of package embedded. Where there is none the test is skipped
// with the reason; with REQUIRE=all a skip is a failure.
//
// Every use is one line in the file named by FLUXNEX_PARTS_REPORT, of which
// `make test` prints the closing table.
package parts
