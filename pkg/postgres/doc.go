// Package postgres keeps what cannot be derived again: the control plane, its
// secrets (as ciphertext), the audit chain, the delivery rows and the leases.
// It is the only importer of pgx and goose. Everything else of the platform
// can be rebuilt from Kafka; this cannot.
//
// Start reading in pool.go and migrations/.
package postgres
