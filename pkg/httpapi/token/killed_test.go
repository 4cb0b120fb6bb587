package token_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/httpapi/token"
	"github.com/fluxnex/fluxnex/pkg/record"
)

var errKilled = errors.New("killed")

// mortal is a process's way to the store; it dies at one point of a refresh.
type mortal struct {
	*memory
	at string
}

func (m *mortal) Refresh(ctx context.Context, t record.TenantID, c string, fn func(context.Context, map[string]token.Secret) (map[string]token.Secret, error)) error {
	if m.at == "locked" {
		return errKilled
	}
	if m.at == "rotated" {
		m.crash = func() error { return errKilled }
		defer func() { m.crash = nil }()
	}
	err := m.memory.Refresh(ctx, t, c, fn)
	if m.at == "durable" && err == nil {
		return errKilled // before anybody used what is stored
	}
	return err
}

// TestAProcessKilledAnywhereInARefresh leaves at most one further try with the
// old token, and then a connection that works, or one that somebody has to
// re-authorise: where the provider had rotated, nobody stored it, and the
// provider has forgotten the old one. That gap cannot be closed from our side.
func TestAProcessKilledAnywhereInARefresh(t *testing.T) {
	for _, c := range []struct {
		at          string
		grace       bool // the provider takes the token before the last one still
		refreshes   int
		reused      int
		reauthorise bool
	}{
		{at: "locked", refreshes: 1},
		{at: "rotated", grace: true, refreshes: 2, reused: 1},
		{at: "rotated", refreshes: 1, reused: 1, reauthorise: true},
		{at: "durable", refreshes: 1},
	} {
		p, store := newProvider(t), newMemory()
		p.grace = c.grace
		if _, err := newProcess(t, p, &mortal{memory: store, at: c.at}, time.Now).call(t.Context(), connection(p, 1)); err == nil {
			t.Errorf("killed at %s: the call was made all the same", c.at)
		}
		// Two other processes go on, one after the other.
		for range 2 {
			status, err := newProcess(t, p, store, time.Now).call(t.Context(), connection(p, 1))
			if c.reauthorise != (fault.Of(err) != nil && fault.Of(err).Class == fault.Auth) || !c.reauthorise && status != http.StatusOK {
				t.Errorf("killed at %s, grace %t: status %d, %v", c.at, c.grace, status, err)
			}
			if c.reauthorise {
				break // the connection is blocked: nobody asks again
			}
		}
		if p.refreshes != c.refreshes || p.reused != c.reused {
			t.Errorf("killed at %s, grace %t: %d refreshes and %d uses of an old token, want %d and %d", c.at, c.grace, p.refreshes, p.reused, c.refreshes, c.reused)
		}
	}
}
