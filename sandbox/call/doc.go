// Package call is what the sandbox's APIs have in common: one call comes in,
// the fault script has its say, an [App] behaves as its vendor documents, the
// changes and the ledger lines are saved, and the caller is answered or left
// without one. Start reading at [Pipeline.Handler].
package call
