package hubspot

import (
	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

// App is the name of the integration in connections, topics and record ids.
const App = "hubspot"

// Objects, as HubSpot's paths name them.
const (
	companies = "companies"
	contacts  = "contacts"
	deals     = "deals"
)

// associated is the payload's key for objects this one belongs to.
const associated = "associations"

const defaultUnique = "fluxnex_record_id"

// New is the integration.
func New() *integration.Integration {
	return &integration.Integration{App: App, Short: "hs", Replicate: replicator{}, Map: newMapper(), Deliver: deliverer{}}
}

// mapper keeps the schemas, which every validation reads.
type mapper struct{ schemas []integration.ObjectSchema }

func newMapper() mapper { return mapper{schemas: describe()} }

type deliverer struct{}

// Of names the row of an entity. Invoices and bills stay in the books.
func (mapper) Of(e canonical.Entity) string {
	switch e {
	case canonical.TMSVendor, canonical.TMSCustomer:
		return companies
	case canonical.TMSContact:
		return contacts
	case canonical.TMSLoad:
		return deals
	case canonical.TMSInvoice, canonical.TMSBill:
		return ""
	}
	return ""
}

// OAuth describes HubSpot's token endpoint; its refresh tokens stay the same.
func (deliverer) OAuth() *integration.OAuth {
	return &integration.OAuth{TokenURL: "https://api.hubapi.com/oauth/v1/token"} //nolint:gosec // an address
}

// Limits are those of the smallest plan; searches are limited apart.
func (deliverer) Limits() integration.Limits {
	return integration.Limits{PerSecond: 10, InFlight: 10, SearchRate: 5}
}

// unique is the property that holds the source record's id.
func unique(s integration.Settings) string {
	if v, ok := s["unique_property"].(string); ok && propertyName(v) {
		return v
	}
	return defaultUnique
}

// propertyName reports a name that HubSpot keeps as it is: others it lower-cases
// or refuses.
func propertyName(s string) bool {
	if s == "" || len(s) > 100 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
