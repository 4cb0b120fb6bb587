package e2e_test

import (
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/parts"
	"github.com/fluxnex/fluxnex/tests/torture"
)

// records is the size of the volume test.
func records(t testing.TB) int {
	t.Helper()
	text := os.Getenv("FLUXNEX_E2E_RECORDS")
	if text == "" {
		return 1000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("FLUXNEX_E2E_RECORDS=%q: want a number of records", text)
	}
	return n
}

// seed is FLUXNEX_E2E_SEED or a new one; it is printed, and decides the load
// and the faults.
func seed(t testing.TB) uint64 {
	t.Helper()
	s := rand.Uint64()
	if text := os.Getenv("FLUXNEX_E2E_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("FLUXNEX_E2E_SEED=%q: want a number", text)
		}
		s = n
	}
	t.Logf("seed: FLUXNEX_E2E_SEED=%d", s)
	return s
}

func TestEveryRecordEndsInItsLastState(t *testing.T) {
	parts.EachKafka(t, func(t *testing.T, cluster parts.Cluster) {
		n := records(t)
		p := install(t, cluster, shape{tenants: 3})
		r := p.load(t, torture.NewPlan(seed(t), p.tenants, torture.Size{Records: n, DeleteShare: 0.1}), torture.Load{})
		r.sent(t)
		r.verdict(t, patience+time.Duration(n)*50*time.Millisecond, torture.Tolerance{}, nil)
	})
}

// TestTiesEndRightByFetch: two saves within a second, and one save that comes
// as two messages with different fields, can only be told by asking Salesforce.
func TestTiesEndRightByFetch(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{tenants: 2})
	plan := torture.NewPlan(seed(t), p.tenants, torture.Size{Records: 300, TieShare: 0.5})
	p.holdTruth(t, plan)
	r := p.load(t, plan, torture.Load{})
	r.sent(t)
	r.verdict(t, 3*patience, torture.Tolerance{}, nil)
}

// TestDocumentedLimitsAreKept: with the vendors' own limits on, the platform
// paces itself instead of running into them.
func TestDocumentedLimitsAreKept(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{documented: true})
	r := p.load(t, torture.NewPlan(seed(t), p.tenants, torture.Size{Records: 60, DeleteShare: 0.1}), torture.Load{})
	r.sent(t)
	r.verdict(t, 3*patience, torture.Tolerance{}, nil)
	calls, refused := 0, 0
	for _, l := range p.ledger(t) {
		if l.App != "quickbooks" && l.App != "hubspot" {
			continue
		}
		calls++
		if l.Status == http.StatusTooManyRequests {
			refused++
		}
	}
	t.Logf("%d calls, %d refused by a limit", calls, refused)
	if refused*20 > calls { // HubSpot asks for fewer than one error in twenty
		t.Errorf("%d of %d calls ran into a limit, more than one in twenty", refused, calls)
	}
}
