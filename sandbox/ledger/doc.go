// Package ledger keeps one line for every call that reached the sandbox, and
// for every write inside a batch: who called, what it changed, from which
// version to which, whether it was applied and whether the caller was told.
//
// It is evidence, so it knows nothing about the system under test: a line says
// only what the destination saw. Start reading at [Entry].
package ledger
