// Package normalizer is the third layer: it asks the integration which
// canonical entities a replica is, and resolves what they depend on. It is a
// pure stage on package stage's runner; input is the replica topic, the
// changelog is the canonical topic, and it reads the replica view for parents.
//
// Waiting is a state, not an event: a record whose parent is unknown says so in
// its canonical record, the parent is fetched, and the record goes on when the
// replica stage wakes it. A wake carries no data, so a stale version can never
// resume over a newer one. Nothing waits for ever: after Config.WaitTTL the
// record has failed with one notification.
//
// It refuses to route: where an entity goes is the router's question. Start
// reading at [New], then resolve.go.
package normalizer
