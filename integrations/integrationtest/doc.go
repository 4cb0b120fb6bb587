// Package integrationtest is the conformance suite: what every integration must
// keep, whatever its app. An integration calls it from its own tests with
// itself, and gives it nothing else to believe.
package integrationtest
