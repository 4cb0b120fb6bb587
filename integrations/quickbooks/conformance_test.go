package quickbooks

import (
	"testing"

	"github.com/fluxnex/fluxnex/integrations/integrationtest"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

func settings() integration.Settings {
	return integration.Settings{"item_ref": "1", "expense_account_ref": "60", "home_currency": "USD"}
}

func TestConformance(t *testing.T) {
	integrationtest.Destination(t, New(), integration.Account{Remote: "9130", Settings: settings()})
}

func FuzzClassify(f *testing.F) {
	f.Add(400, []byte(`{"Fault":{"Error":[{"Message":"m","Detail":"d","code":"6240"}],"type":"ValidationFault"}}`))
	f.Add(401, []byte(`{"fault":{"error":[{"code":"003200"}],"type":"AUTHENTICATION"}}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		integrationtest.Classified(t, deliverer{}.Classify, status, body)
	})
}
