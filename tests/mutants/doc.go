// Package mutants breaks the platform on purpose, one mistake of a naive build
// at a time (reliability.md §2 and §3), and says which test must notice. A
// proof that passes a broken platform proves nothing.
//
// A mutant is a few edits, built with `go build -overlay`: nothing in the tree
// is touched. Each text must be in its file exactly once, so that a mutant which
// no longer breaks anything fails too. The test must fail by what it asserts: one
// that panics, does not compile or does not end has noticed nothing.
package mutants
