// Package containers runs the end-to-end suite on parts in containers, where
// there is Docker:
//
//	go test -tags containers -timeout 40m ./tests/containers
package containers
