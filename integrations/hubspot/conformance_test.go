package hubspot

import (
	"testing"

	"github.com/fluxnex/fluxnex/integrations/integrationtest"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

func settings() integration.Settings {
	return integration.Settings{"pipeline": "default", "deal_stages": map[string]any{"Delivered": "closedwon", "default": "appointmentscheduled"}}
}

func TestConformance(t *testing.T) {
	integrationtest.Destination(t, New(), integration.Account{Remote: "44", Settings: settings()})
}

func FuzzClassify(f *testing.F) {
	f.Add(400, []byte(`{"status":"error","message":"INVALID_EMAIL","category":"VALIDATION_ERROR"}`))
	f.Add(429, []byte(`{"errorType":"RATE_LIMIT","policyName":"DAILY"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		integrationtest.Classified(t, deliverer{}.Classify, status, body)
	})
}
