package delivery

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/postgres"
)

func FuzzBackoffStaysInBounds(f *testing.F) {
	f.Add(0, int64(0), 0.5)
	f.Add(500, int64(time.Hour), 0.99)
	f.Fuzz(func(t *testing.T, attempt int, after int64, chance float64) {
		if attempt < 0 || after < 0 || after > int64(24*time.Hour) || !(chance >= 0 && chance < 1) {
			return
		}
		cfg := Config{}.withDefaults()
		got := backoff(cfg, attempt, time.Duration(after), chance)
		if after > 0 && (got < time.Duration(after) || got > 2*time.Duration(after)) {
			t.Fatalf("attempt %d: asked for %s, waits %s", attempt, time.Duration(after), got)
		}
		if after == 0 && (got < cfg.BackoffMin/2 || got > cfg.BackoffMax) {
			t.Fatalf("attempt %d waits %s", attempt, got)
		}
	})
}

// A bucket of rate r and burst b lets b + r*t calls through in any time t.
func TestABucketKeepsBothLimits(t *testing.T) {
	for _, l := range []integration.Limits{{PerSecond: 10, PerMinute: 500}, {PerSecond: 19}, {PerMinute: 500}, {PerSecond: 0.5}, {PerSecond: 100, PerMinute: 600}} {
		rate, burst := bucket(l)
		if rate <= 0 || burst < 1 {
			t.Errorf("%+v: rate %g, burst %g", l, rate, burst)
		}
		if l.PerMinute > 0 && burst+60*rate > float64(l.PerMinute)+1 {
			t.Errorf("%+v: %g calls in a minute", l, burst+60*rate)
		}
		if l.PerSecond >= 1 && burst+rate > l.PerSecond+1 {
			t.Errorf("%+v: %g calls in a second", l, burst+rate)
		}
	}
	if rate, _ := bucket(integration.Limits{}); rate != 0 {
		t.Errorf("no limit is a rate of %g", rate)
	}
}

func lanes(accounts ...string) []postgres.Lane {
	out := make([]postgres.Lane, len(accounts))
	for i, a := range accounts {
		out[i] = postgres.Lane{ID: int32(i + 1), LaneKey: postgres.LaneKey{App: "shop", RemoteAccount: a}}
	}
	return out
}

func give(quotas []postgres.Quota) (byLane map[int32]int, total int) {
	byLane = map[int32]int{}
	for _, q := range quotas {
		byLane[q.Lane] += int(q.Limit)
		total += int(q.Limit)
	}
	return byLane, total
}

func TestRoomIsSharedEvenly(t *testing.T) {
	a := newAccounts(256)
	got, total := give(a.quotas(lanes("a", "b", "c", "d"), 100, time.Now()))
	if total != 100 {
		t.Errorf("%d of 100 were given", total)
	}
	for lane, n := range got {
		if n != 25 {
			t.Errorf("lane %d was given %d, want 25: %v", lane, n, got)
		}
	}
}

func TestWhatOneAccountMayNotUseGoesToTheOthers(t *testing.T) {
	a := newAccounts(256)
	a.limit(account{"shop", "a"}, 2)
	got, total := give(a.quotas(lanes("a", "b"), 30, time.Now()))
	if got[1] != 2 || got[2] != 28 || total != 30 {
		t.Errorf("given %v, want 2 and 28", got)
	}
}

func TestTwoTenantsOfOneAccountShareItsWindow(t *testing.T) {
	a := newAccounts(256)
	got, total := give(a.quotas(lanes("a", "a"), 200, time.Now()))
	if total != firstWindow || got[1] != firstWindow/2 || got[2] != firstWindow/2 {
		t.Errorf("given %v, want half of %d each", got, firstWindow)
	}
}

// Six accounts that nobody knows yet: two that hang must not have every slot
// before it shows.
func TestFreshAccountsTogetherHaveNoMoreThanThereIs(t *testing.T) {
	a := newAccounts(32)
	got, total := give(a.quotas(lanes("a", "b", "c", "d", "e", "f"), a.room(), time.Now()))
	if total > a.total+6*few {
		t.Errorf("%d slots, given %v", a.total, got)
	}
	for lane := range int32(6) {
		if got[lane+1] < few {
			t.Errorf("lane %d was given %d: %v", lane+1, got[lane+1], got)
		}
	}
}

func TestSilenceShrinksAnAccountAndAnswersLetItGrow(t *testing.T) {
	a := newAccounts(256)
	id, now := account{"shop", "a"}, time.Now()
	for range 20 {
		now = now.Add(2 * halvingPause)
		a.silent(id, now)
	}
	if _, total := give(a.quotas(lanes("a"), 200, now)); total != 1 {
		t.Errorf("a silent account is given %d", total)
	}
	for range 10_000 {
		a.answered(id)
	}
	if _, total := give(a.quotas(lanes("a"), 1000, now)); total != a.each+a.prefetch() {
		t.Errorf("an account that answers is given %d", total)
	}
	a.exhausted(id, now.Add(time.Second))
	if _, total := give(a.quotas(lanes("a"), 1000, now)); total != 0 {
		t.Errorf("an account without rate is given %d", total)
	}
}

func TestAnAccountThatHoldsEverythingLeavesRoom(t *testing.T) {
	a := newAccounts(256)
	for range 10_000 {
		a.answered(account{"shop", "a"})
	}
	a.take(account{"shop", "a"}, a.each+a.prefetch())
	if room := a.room(); room < 50 {
		t.Errorf("room for %d", room)
	}
	if _, total := give(a.quotas(lanes("b"), a.room(), time.Now())); total < 30 {
		t.Errorf("a fresh account is given %d", total)
	}
}

func TestAnAccountThatHoldsNothingIsGivenRowsHoweverLittleRoomThereIs(t *testing.T) {
	a := newAccounts(32)
	for _, id := range []string{"a", "b", "c"} {
		a.take(account{"shop", id}, 32)
	}
	if room := a.room(); room != 8 {
		t.Fatalf("room for %d", room)
	}
	if got, _ := give(a.quotas(lanes("a", "b", "c", "d"), a.room(), time.Now())); got[4] != few {
		t.Errorf("given %v", got)
	}
}

// A job is never kept waiting by another, and the end waits for all.
func TestACrewDoesEveryJobAtOnce(t *testing.T) {
	c := newCrew()
	var done atomic.Int32
	for range 3 { // in the second and third round they find others' goroutines
		release := make(chan struct{})
		var begun sync.WaitGroup
		for range 50 {
			begun.Add(1)
			c.do(func() {
				begun.Done()
				<-release
				done.Add(1)
			})
		}
		begun.Wait()
		close(release)
	}
	c.end()
	if got := done.Load(); got != 150 {
		t.Errorf("%d of 150 jobs were done", got)
	}
}
