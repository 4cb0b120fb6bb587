package delivery

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

func TestABreakerOpensAfterFailuresInARow(t *testing.T) {
	var b breaker
	now := time.Date(2026, 11, 24, 22, 0, 0, 0, time.UTC)
	for i := range 2 {
		if b.failed(now, 3, time.Second, 3*time.Second) {
			t.Fatalf("open after %d failures", i+1)
		}
	}
	b.answered()
	for range 2 {
		b.failed(now, 3, time.Second, 3*time.Second)
	}
	// Two more after the window do not add to those before it.
	now = now.Add(2 * breakerWindow)
	for range 2 {
		if b.failed(now, 3, time.Second, 3*time.Second) {
			t.Fatal("failures of two windows were added")
		}
	}
	if !b.failed(now, 3, time.Second, 3*time.Second) || !b.open(now) || b.halfOpen(now) {
		t.Fatalf("three in a row leave %+v", b)
	}
	for _, pause := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second} {
		if b.until.Sub(now) != pause {
			t.Errorf("pause of %s, want %s", b.until.Sub(now), pause)
		}
		now = b.until
		if b.open(now) || !b.halfOpen(now) {
			t.Fatalf("after the pause it is %+v", b)
		}
		if !b.failed(now, 3, time.Second, 3*time.Second) {
			t.Fatal("a failure when half open leaves it closed")
		}
	}
	if !b.answered() || b.open(now) || b.halfOpen(now) {
		t.Errorf("an answer leaves %+v", b)
	}
}

// TestAnAccountThatIsDownCostsItsRowsNoAttempts: with the breaker open nothing
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
