// Package redis is the only importer of go-redis. It holds what is shared
// between processes and can be lost at any time: the views derived from the
// compacted topics ([Views]), who depends on whom ([Dependents]), and token
// buckets ([Limiter]).
//
// It refuses to hold anything that cannot be derived again, and never answers
// for a view that is not complete: not ready and absent are two answers.
// Every key of a command shares one hash tag, so Redis Cluster works.
package redis
