package postgres_test

import (
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// halfOpen waits until the pause of the only lane's breaker is over.
func (b *bench) halfOpen() postgres.Lane {
	b.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for {
		lanes, err := b.d.DueLanes(b.t.Context())
		if err != nil || len(lanes) != 1 {
			b.t.Fatalf("due lanes %+v, %v", lanes, err)
		}
		if lanes[0].Breaker.HalfOpen() {
			return lanes[0]
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			b.t.Fatalf("not half open within a minute: %+v", lanes[0].Breaker)
		}
	}
}

func TestABreakerIsOneForAllProcesses(t *testing.T) {
	b, _ := newBench(t)
	ctx := t.Context()
	b.consume(command("A", 1, record.VerbUpsert, "1"), command("B", 1, record.VerbUpsert, "1"))
	lanes, err := b.d.DueLanes(ctx)
	if err != nil || len(lanes) != 1 || lanes[0].Breaker.Openings != 0 {
		t.Fatalf("due lanes %+v, %v", lanes, err)
	}
	lane := lanes[0].ID
	open := func(seen int32, pause time.Duration) (postgres.Breaker, bool) {
		t.Helper()
		stands, opened, err := b.d.OpenBreaker(ctx, lane, seen, pause, time.Hour, "http_503")
		if err != nil {
			t.Fatal(err)
		}
		return stands, opened
	}
	claim := func(trial bool) int {
		t.Helper()
		rows, err := b.d.Claim(ctx, []postgres.Quota{{Lane: lane, Limit: 1, Trial: trial}}, lease)
		if err != nil {
			t.Fatal(err)
		}
		return len(rows)
	}
	// Two processes find out at once: it opens once.
	if stands, opened := open(0, 50*time.Millisecond); !opened || stands.Openings != 1 || stands.Since.IsZero() || stands.Code != "http_503" {
		t.Errorf("the first to open it: %t, %+v", opened, stands)
	}
	if stands, opened := open(0, time.Hour); opened || stands.Openings != 1 || stands.Left > time.Minute {
		t.Errorf("the second opened it too: %t, %+v", opened, stands)
	}
	if n := claim(false); n != 0 {
		t.Errorf("%d rows were claimed of an open lane", n)
	}
	b.halfOpen()
	first, err := b.d.TakeTrial(ctx, lane, time.Hour)
	if err != nil || first.IsZero() {
		t.Fatalf("trial %s, %v", first, err)
	}
	second, err := b.d.TakeTrial(ctx, lane, time.Hour)
	if err != nil || !second.IsZero() {
		t.Errorf("two have the one call of a half-open lane: %s, %v", second, err)
	}
	if n := claim(false); n != 0 {
		t.Errorf("%d rows were claimed of a half-open lane without its call", n)
	}
	if n := claim(true); n != 1 {
		t.Errorf("%d rows were claimed with the call", n)
	}
	// Nothing came of it; somebody else may.
	if err := b.d.DropTrial(ctx, lane, first); err != nil {
		t.Fatal(err)
	}
	if second, err = b.d.TakeTrial(ctx, lane, time.Hour); err != nil || second.IsZero() {
		t.Errorf("a trial that was given back: %s, %v", second, err)
	}
	if stands, opened := open(1, time.Minute); !opened || stands.Openings != 2 || stands.Left < time.Minute {
		t.Errorf("the second opening lasts %s (%t), want twice the pause", stands.Left, opened)
	}
	states, err := b.d.Lanes(ctx)
	if err != nil || !states[0].Breaker.Open() || states[0].Breaker.Code != "http_503" {
		t.Errorf("the lane is shown as %+v, %v", states, err)
	}
	for i, want := range []bool{true, false} {
		if closed, err := b.d.CloseBreaker(ctx, lane, time.Hour); err != nil || closed != want {
			t.Errorf("close %d: %t, %v", i, closed, err)
		}
	}
	if lanes, err = b.d.DueLanes(ctx); err != nil || lanes[0].Breaker != (postgres.Breaker{}) || lanes[0].Opened >= 0 {
		t.Errorf("closed after a short outage: %+v, %v", lanes, err)
	}
	// After a long one it drains with a ramp.
	open(0, time.Minute)
	if _, err := b.d.CloseBreaker(ctx, lane, 0); err != nil {
		t.Fatal(err)
	}
	if lanes, err = b.d.DueLanes(ctx); err != nil || lanes[0].Opened < 0 {
		t.Errorf("after a long outage: %+v, %v", lanes, err)
	}
}
