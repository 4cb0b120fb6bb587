// Package quickbooks behaves like QuickBooks Online's API v3 and its OAuth
// endpoint, as far as a sync needs them: name lists and transactions with
// SyncTokens, full and sparse updates, the memory of request ids, the name
// space that customers, vendors and employees share, queries, batches, changes
// since a time, and the documented refusals and limits.
//
// It is written from the vendor's documents and knows nothing of the code that
// calls it. Start reading at [App.Serve]; what an entity may hold is in
// schema.go.
package quickbooks
