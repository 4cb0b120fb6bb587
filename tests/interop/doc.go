// Package interop holds the two destinations against the sandbox, call by call
// and without the rest of the platform: what one side sends, the other, written
// from the vendors' documents alone, must understand.
package interop
