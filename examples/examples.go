// Package examples embeds the example tenants, for `fluxnex demo` and tests.
package examples

import "embed"

// Envoylogistics is the tenant of the demo: its YAML files.
//
//go:embed envoylogistics/*.yaml
var Envoylogistics embed.FS
