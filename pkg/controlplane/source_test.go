package controlplane_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
)

// postgresThatComesAndGoes has one tenant whose slug is its version's letter.
type postgresThatComesAndGoes struct {
	mu      sync.Mutex
	version int64
	away    bool
}

func (p *postgresThatComesAndGoes) set(version int64, away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.version, p.away = version, away
}

func (p *postgresThatComesAndGoes) ConfigVersion(context.Context) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return 0, errors.New("connection refused")
	}
	return p.version, nil
}

func (p *postgresThatComesAndGoes) LoadConfig(ctx context.Context) (controlplane.Stored, error) {
	version, err := p.ConfigVersion(ctx)
	spec := []byte(`{"kind":"Tenant","id":"envoy","slug":"` + string(rune('a'+version)) + `"}`)
	return controlplane.Stored{Version: version, Objects: []controlplane.StoredObject{
		{Key: controlplane.Key{Kind: controlplane.KindTenant, Name: "envoy"}, Spec: spec, Version: version},
	}}, err
}

func TestLastConfigurationIsUsedWhilePostgresIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &postgresThatComesAndGoes{version: 1, away: true}
		s := controlplane.NewSource(store, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()
		if s.Current() != nil || s.Ready() == nil {
			t.Fatal("ready without a configuration")
		}
		store.set(1, false)
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
		synctest.Wait()
		if err := s.Ready(); err != nil {
			t.Fatal(err)
		}
		if _, ok := s.Current().TenantBySlug("b"); !ok {
			t.Fatalf("version %d has no tenant with its slug", s.Current().Version)
		}
		store.set(2, true)
		time.Sleep(time.Minute) //nolint:forbidigo // the bubble's clock
		if c := s.Current(); c.Version != 1 || s.Ready() != nil {
			t.Errorf("version %d, ready: %v, while Postgres is away", c.Version, s.Ready())
		}
		store.set(2, false)
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
		synctest.Wait()
		if c := s.Current(); c.Version != 2 {
			t.Errorf("version %d after Postgres came back", c.Version)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRefreshWaitsForTheVersionItNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &postgresThatComesAndGoes{version: 1}
		s := controlplane.NewSource(store, slog.New(slog.DiscardHandler))
		if err := s.Refresh(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		reached := make(chan error)
		go func() { reached <- s.Refresh(t.Context(), 2) }()
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
		select {
		case err := <-reached:
			t.Fatalf("returned before version 2 was there: %v", err)
		default:
		}
		store.set(2, false)
		if err := <-reached; err != nil || s.Current().Version != 2 {
			t.Errorf("version %d, %v", s.Current().Version, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Refresh(ctx, 3); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a version that never comes: %v", err)
		}
	})
}
