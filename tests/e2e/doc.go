// Package e2e starts the real binary's services as processes of their own,
// against real and embedded parts, and looks at them only as their users do:
// webhooks, the command line, metrics, and the sandbox's ledger.
//
// platform_test.go starts an installation; each other file is one promise of
// the platform. Logs of every process are in the test's folder, and their ends
// are printed when a test fails. FLUXNEX_E2E_RECORDS sets the size of the volume
// test (default 1,000).
package e2e
