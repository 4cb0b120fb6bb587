package quickbooks

import (
	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

// App is the name of the integration in connections, topics and record ids.
const App = "quickbooks"

// minorVersion is the API's own version; lower ones are ignored since 2025.
const minorVersion = "75"

// Rows and types. A row is Vendor, Customer, Invoice or Bill; CreditMemo and
// VendorCredit are what an Invoice and a Bill are while their total is negative.
const (
	vendor       = "Vendor"
	customer     = "Customer"
	invoice      = "Invoice"
	creditMemo   = "CreditMemo"
	bill         = "Bill"
	vendorCredit = "VendorCredit"
)

// New is the integration.
func New() *integration.Integration {
	return &integration.Integration{App: App, Short: "qb", Replicate: replicator{}, Map: newMapper(), Deliver: deliverer{}}
}

// mapper keeps the schemas, which every validation reads.
type mapper struct{ schemas []integration.ObjectSchema }

func newMapper() mapper { return mapper{schemas: describe()} }

type deliverer struct{}

// Of names the row of an entity.
func (mapper) Of(e canonical.Entity) string {
	switch e {
	case canonical.TMSVendor:
		return vendor
	case canonical.TMSCustomer:
		return customer
	case canonical.TMSInvoice:
		return invoice
	case canonical.TMSBill:
		return bill
	case canonical.TMSLoad, canonical.TMSContact:
		return ""
	}
	return ""
}

// OAuth describes Intuit's token endpoint: its refresh tokens change about
// once a day and the old one stops soon after.
func (deliverer) OAuth() *integration.OAuth {
	return &integration.OAuth{ //nolint:gosec // an address
		TokenURL:  "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
		BasicAuth: true,
		Rotates:   true,
	}
}

// Limits hold per company over everybody who calls for this app.
func (deliverer) Limits() integration.Limits {
	return integration.Limits{PerSecond: 10, PerMinute: 500, InFlight: 10}
}

// isName reports the types QuickBooks keeps in lists and never deletes.
func isName(typ string) bool { return typ == vendor || typ == customer }

// resource is a type's path segment.
func resource(typ string) string {
	switch typ {
	case vendor:
		return "vendor"
	case customer:
		return "customer"
	case invoice:
		return "invoice"
	case creditMemo:
		return "creditmemo"
	case bill:
		return "bill"
	case vendorCredit:
		return "vendorcredit"
	}
	return ""
}

// marker is the field of a type that holds the source record's id.
func marker(typ string) string {
	switch typ {
	case vendor:
		return "AcctNum"
	case customer:
		return "Notes"
	}
	return "PrivateNote"
}
