package replica_test

import (
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/record"
)

func TestADestinationsRecordBecomesAReplicaOfItsOwn(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct{ app, id, payload, entity, field string }{
		{"quickbooks", "Vendor:56", `{"Id":"56","SyncToken":"3","DisplayName":"Acme","Balance":1000.0}`, "quickbooks_vendor", "Balance=1000.0"},
		{"hubspot", "companies:512", `{"id":"512","properties":{"zip":"04001"},"updatedAt":"2026-11-24T11:00:00Z"}`, "hubspot_companies", "zip=04001"},
	} {
		e := b.event(record.OriginDestination, "rest", c.payload)
		e.SourceApp, e.RecordID = c.app, record.NewID(c.app, c.id)
		if outcome := b.send(e); outcome != "applied" {
			t.Errorf("%s: %s", c.id, outcome)
		}
		r, err := b.codecs.Replica.Decode(t.Context(), b.view[e.Key()])
		if err != nil {
			t.Fatal(err)
		}
		name, want, _ := strings.Cut(c.field, "=")
		if r.EntityType != c.entity || r.Text(name) != want || r.Version == "" || !r.Live() {
			t.Errorf("%s is %+v", c.id, r)
		}
	}
}

// TestARecordKnowsHowFarFromWhatWasSentItIs by the shortest way.
func TestARecordKnowsHowFarFromWhatWasSentItIs(t *testing.T) {
	b := newBench(t)
	depth := func(e record.GatewayEvent, want int32) {
		t.Helper()
		b.send(e)
		if got := b.state(acme).Depth; got != want {
			t.Errorf("after a %s %d steps away the depth is %d, want %d", e.Origin, e.Depth, got, want)
		}
	}
	fetched := b.account(record.OriginFetch, "01", "Name=Acme")
	fetched.Depth = 3
	depth(fetched, 3)
	fetched.Depth = 5
	depth(fetched, 3)
	fetched.Depth = 2
	depth(fetched, 2)
	wake := b.event(record.OriginWake, "", "")
	wake.Outcome = record.OutcomeNone
	depth(wake, 2)
	depth(b.account(record.OriginWebhook, "02", "Name=Acme Inc"), 0)
	depth(fetched, 0)
}
