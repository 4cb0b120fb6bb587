// Package failpoint lets a test kill or freeze the real process between two
// writes that must agree. Without the build tag "failpoints", which no released binary
// has, it is nothing.
package failpoint
