package revenova

import "github.com/fluxnex/fluxnex/pkg/integration"

// App is the source name in webhook URLs and record ids.
const App = "revenova"

// New is the integration; it holds no state.
func New() *integration.Integration {
	return &integration.Integration{
		App:       App,
		LocalID:   normalID,
		Webhook:   webhook{},
		Replicate: replicator{},
		Normalize: normalizer{},
		Fetch:     fetcher{},
		Poll:      poller{},
	}
}

// Formats of one event's payload.
const (
	formatSOAP       = "outbound-message"      // one <Notification>, self-contained
	formatOMJSON     = "outbound-message-json" // what a converter made of one notification
	formatAccounting = "accounting-event"      // one of Revenova's own events
	formatCDC        = "cdc"                   // one Salesforce change event
	formatREST       = "rest"                  // one record of the REST API
)

// formatJSON is a whole body's format: which of the JSON forms it holds is
// known only after its sender is.
const formatJSON = "json"
