// Package gateway is layer 1: it takes webhooks, proves who sent them, splits
// them into record events and answers only after the broker has them.
//
// It understands no more of a body than it needs to find each event's record;
// what it cannot split is stored whole and answered like everything else,
// because the source would repeat for a day what can never succeed. It never
// waits longer than its own timer for the broker, and never lets a sender that
// hangs up take back what was handed to the broker.
//
// Start reading in handler.go.
package gateway
