// Package integrations lists the apps FluxNex knows. It is the only place that
// imports them all.
package integrations

import (
	"github.com/fluxnex/fluxnex/integrations/hubspot"
	"github.com/fluxnex/fluxnex/integrations/quickbooks"
	"github.com/fluxnex/fluxnex/integrations/revenova"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

// All lists every integration.
func All() []integration.Integration {
	return []integration.Integration{
		*revenova.New(),
		*quickbooks.New(),
		*hubspot.New(),
	}
}

// Lookup finds an integration by its app's name.
func Lookup(app string) (integration.Integration, bool) {
	switch app {
	case revenova.App:
		return *revenova.New(), true
	case quickbooks.App:
		return *quickbooks.New(), true
	case hubspot.App:
		return *hubspot.New(), true
	}
	return integration.Integration{}, false
}
