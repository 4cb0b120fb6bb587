// Command schemagen writes the JSON Schema of the configuration files.
package main

import (
	"fmt"
	"os"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: schemagen FILE")
		os.Exit(2)
	}
	text, err := controlplane.JSONSchema()
	if err == nil {
		err = os.WriteFile(os.Args[1], text, 0o644) //nolint:gosec // a published document, where its caller wants it
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
