package delivery

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

func TestABreakerOpensAfterFailuresInARow(t *testing.T) {
	b := newBreakers()
	const lane, after = 7, 3
	now := time.Date(2026, 11, 24, 22, 0, 0, 0, time.UTC)
	fails := func() bool {
		_, open := b.failed(lane, false, now, after)
		return open
	}
	for i := range 2 {
		if fails() {
			t.Fatalf("open after %d failures", i+1)
		}
	}
	b.answered(lane)
	fails()
	fails()
	// Two more after the window do not add to those before it.
	now = now.Add(2 * breakerWindow)
	if first, second := fails(), fails(); first || second {
		t.Fatal("failures of two windows were added")
	}
	if _, open := b.failed(lane+1, false, now, after); open {
		t.Fatal("failures of two lanes were added")
	}
	if !fails() {
		t.Fatal("three in a row leave it closed")
	}
	b.learn(lane, 1)
	if !b.shut(lane) || b.shut(lane+1) {
		t.Errorf("shut: %t, the other lane: %t", b.shut(lane), b.shut(lane+1))
	}
	if fails() {
		t.Error("a call that was under way when it opened opened it once more")
	}
	if seen, open := b.failed(lane, true, now, after); !open || seen != 1 {
		t.Errorf("the trial's failure opened it: %t, after %d openings", open, seen)
	}
	if !b.answered(lane) {
		t.Error("an answer does not close it")
	}
}

// TestOneProcessFindsOutForAll: a destination is down, one process finds out and
// ends; another that starts afterwards makes no call to it, but delivers
// elsewhere, and another tenant's connection to the same account is tried.
func TestOneProcessFindsOutForAll(t *testing.T) {
	r := newRig(t)
	r.tune = func(c *Config, _ *Deps) {
		c.BreakerAfter = 5
		c.BreakerPause, c.BackoffMax = 30*time.Minute, time.Hour
	}
	r.shop.fault = func(e shopEntry) shopFault { return shopFault{cut: e.Account == "a-envoy"} }
	for i := range 10 {
		r.upsert(fmt.Sprint("R", i), 1)
	}
	stop := r.start()
	r.broken("envoy", func(b postgres.Breaker) bool { return b.Open() })
	stop()
	before := r.shop.count()
	for i := range 10 {
		r.upsert(fmt.Sprint("S", i), 1)
	}
	r.start()
	for i := range 20 {
		r.consume(command("acme", fmt.Sprint("A", i), 1, record.VerbUpsert))
		r.atShop(fmt.Sprint("A", i), 1)
	}
	if got := r.shop.count() - before; got != 20 {
		t.Errorf("%d calls of the second process, want those to the account that is up: %+v", got, r.shop.entries()[before:])
	}
}

// broken waits until a tenant's breaker stands so.
func (r *rig) broken(tenant record.TenantID, want func(postgres.Breaker) bool) {
	r.t.Helper()
	r.eventually("the breaker stands as it should", func() (bool, string) {
		lanes, err := r.rows.Lanes(context.Background())
		if err != nil {
			return false, err.Error()
		}
		for _, l := range lanes {
			if l.Tenant == tenant {
				return want(l.Breaker), fmt.Sprintf("%+v", l.Breaker)
			}
		}
		return false, "no lane"
	})
}

// TestAHalfOpenBreakerLetsOneCallThroughOverAllProcesses: and with its answer
// everything goes.
func TestAHalfOpenBreakerLetsOneCallThroughOverAllProcesses(t *testing.T) {
	r := newRig(t)
	var down, hang atomic.Bool
	down.Store(true)
	released := make(chan struct{})
	var trying, most atomic.Int64
	r.shop.fault = func(e shopEntry) shopFault {
		if e.Account != "a-envoy" || !down.Load() {
			return shopFault{}
		}
		if !hang.Load() {
			return shopFault{cut: true}
		}
		most.Store(max(most.Load(), trying.Add(1)))
		<-released
		trying.Add(-1)
		return shopFault{}
	}
	r.tune = func(c *Config, _ *Deps) {
		c.BreakerAfter, c.BreakerPause, c.BackoffMax = 5, 50*time.Millisecond, 50*time.Millisecond
		c.Lease = time.Minute
	}
	const rows = 50
	for i := range rows {
		r.upsert(fmt.Sprint("R", i), 1)
	}
	stop := r.start()
	r.broken("envoy", func(b postgres.Breaker) bool { return b.Openings > 2 })
	stop()
	hang.Store(true)
	r.start()
	r.start()
	r.start()
	r.eventually("a trial call is under way", func() (bool, string) { return trying.Load() > 0, fmt.Sprint(trying.Load()) })
	for i := range 20 { // all processes look for due rows meanwhile
		r.consume(command("acme", fmt.Sprint("A", i), 1, record.VerbUpsert))
		r.atShop(fmt.Sprint("A", i), 1)
	}
	if got := most.Load(); got != 1 {
		t.Errorf("%d calls at a time to a destination that is half open, want 1", got)
	}
	down.Store(false)
	close(released)
	for i := range rows {
		r.atShop(fmt.Sprint("R", i), 1)
	}
	r.broken("envoy", func(b postgres.Breaker) bool { return b.Openings == 0 && b.Since.IsZero() })
	r.inOrder()
}

// TestAnAccountThatIsDownCostsItsRowsFewAttempts: with the breaker open nothing
// is tried but one call at a time, and all is delivered when the account is back.
func TestAnAccountThatIsDownCostsItsRowsFewAttempts(t *testing.T) {
	r := newRig(t)
	var down atomic.Bool
	down.Store(true)
	const rows = 60
	r.shop.fault = func(shopEntry) shopFault { return shopFault{cut: down.Load()} }
	r.tune = func(c *Config, _ *Deps) {
		c.BreakerAfter = 5
		c.BackoffMin, c.BackoffMax = time.Second, 2*time.Second
		c.InFlight = 4
	}
	r.start()
	for i := range rows {
		r.upsert(fmt.Sprint("R", i), 1)
	}
	// The breaker has opened again and again, and one call has gone each time.
	r.eventually("calls go on", func() (bool, string) { return r.shop.count() >= 10, fmt.Sprint(r.shop.count()) })
	untouched := 0
	for i := range rows {
		got, err := r.rows.Of(t.Context(), "envoy", record.ID(fmt.Sprint("revenova:R", i)))
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Attempt == 0 && got[0].Status != postgres.StatusDone {
			untouched++
		}
	}
	if untouched < rows/2 {
		t.Errorf("%d of %d rows spent an attempt on an account that is down (%d calls)", rows-untouched, rows, r.shop.count())
	}
	down.Store(false)
	for i := range rows {
		r.atShop(fmt.Sprint("R", i), 1)
	}
	r.inOrder()
}

func TestARampDoublesEachSecond(t *testing.T) {
	for _, c := range []struct {
		opened time.Duration
		limit  float64
		rate   float64
		ok     bool
	}{
		{-1, 10, 0, false},
		{0, 10, 1, true},
		{1999 * time.Millisecond, 10, 2, true},
		{3 * time.Second, 10, 8, true},
		{4 * time.Second, 10, 16, false},
		{7 * time.Second, 0, 128, true},
		{8 * time.Second, 0, 0, false},
	} {
		if rate, ok := ramp(c.opened, c.limit); rate != c.rate || ok != c.ok {
			t.Errorf("%s after opening, limit %g: %g, %t", c.opened, c.limit, rate, ok)
		}
	}
}
