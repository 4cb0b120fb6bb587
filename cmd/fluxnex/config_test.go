package main

import (
	"os"
	"testing"
)

func TestConfigurationReferenceIsCurrent(t *testing.T) {
	have, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != configReference() {
		t.Error("docs/configuration.md is stale: run `go run ./cmd/fluxnex config > docs/configuration.md`")
	}
}
