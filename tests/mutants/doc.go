// Package mutants breaks the platform on purpose, one mistake of a naive build
// at a time (reliability.md §2 and §3), and says which test must notice. A
// proof that passes a broken platform proves nothing.
//
// A mutant is an edit of one file, built with `go build -overlay`: nothing in
// the tree is touched. Its text must be in the file exactly once, so that a
// mutant which no longer breaks anything fails too.
package mutants
