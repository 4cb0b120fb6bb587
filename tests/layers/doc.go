// Package layers holds the test that says who may import whom. It is the
// picture of DESIGN.md's layout as a table; a change of the table is a decision
// about the architecture and belongs into docs/adr.
package layers
