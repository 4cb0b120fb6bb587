package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

// tokens is a shared limiter without refill; with away set it does not answer.
type tokens struct {
	mu   sync.Mutex
	left int
	away bool
}

func (s *tokens) Take(_ context.Context, _ string, _, _ float64, n int) (bool, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return false, 0, errors.New("away")
	}
	if s.left < n {
		return false, time.Second, nil
	}
	s.left -= n
	return true, 0, nil
}

// limited is one process of a tenant that may send 500 a second.
func limited(t *testing.T, l Limiter, now func() time.Time) func() bool {
	t.Helper()
	g, err := New(Config{}, Deps{
		Config: func() *controlplane.Snapshot { return nil }, Webhooks: map[string]integration.Webhook{"lines": lines{}}, Inbox: &memoryInbox{},
		Limiter: l, Log: slog.New(slog.DiscardHandler), Now: now, Metrics: prometheus.NewPedanticRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() bool {
		ok, _ := g.admit(t.Context(), &controlplane.Tenant{ID: "envoy"}, 500)
		return ok
	}
}

func TestProcessesShareATenantsRate(t *testing.T) {
	shared := &tokens{left: 105}
	now := time.Unix(1_790_000_000, 0)
	clock := func() time.Time { return now }
	one, two := limited(t, shared, clock), limited(t, shared, clock)
	admitted := 0
	for range 200 {
		if one() {
			admitted++
		}
		if two() {
			admitted++
		}
	}
	if admitted != 105 {
		t.Errorf("two processes admitted %d webhooks on 105 tokens", admitted)
	}
}

func TestTokensThatAProcessDoesNotUseAreGivenUp(t *testing.T) {
	shared := &tokens{left: 20}
	now := time.Unix(1_790_000_000, 0)
	admit := limited(t, shared, func() time.Time { return now })
	if !admit() {
		t.Fatal("the first webhook is refused")
	}
	now = now.Add(time.Second)
	admitted := 0
	for range 30 {
		if admit() {
			admitted++
		}
	}
	if admitted != 10 {
		t.Errorf("admitted %d on what was left a second later, want 10", admitted)
	}
}

func TestALimiterThatIsAwayRefusesNobody(t *testing.T) {
	shared := &tokens{away: true}
	now := time.Unix(1_790_000_000, 0)
	admit := limited(t, shared, func() time.Time { return now })
	for i := range 100 {
		if !admit() {
			t.Fatalf("webhook %d is refused while the limiter is away", i)
		}
	}
	shared.away, shared.left = false, 0
	now = now.Add(time.Second)
	if admit() {
		t.Error("the limiter is back and has no tokens, and the webhook is admitted")
	}
}
