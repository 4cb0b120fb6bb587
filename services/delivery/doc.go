// Package delivery is the last layer: it turns outbound commands into rows and
// rows into calls, in order for each record, with one effect for each state.
//
// Consuming and sending meet only in Postgres: a command becomes the desired
// state of a row in the transaction that moves the topic's offset, and the
// scheduler sends what is due. So an outage costs no more than one row for each
// record, a retry carries the newest state, and nothing can overtake it.
//
// DESIGN.md draws the row's states. Start reading in attempt.go: it is one
// attempt from claim to finish.
package delivery
