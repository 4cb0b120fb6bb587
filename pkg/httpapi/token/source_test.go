package token_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/httpapi"
	"github.com/fluxnex/fluxnex/pkg/httpapi/token"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// provider rotates refresh tokens, notices when an old one is used again, and
// serves an API that takes its newest access token only.
type provider struct {
	*httptest.Server
	mu        sync.Mutex
	refreshes int
	reused    int
	refused   int
	current   string
	access    string
	revoked   bool
	refuses   bool   // the API refuses whatever the token endpoint gives
	grace     bool   // the token before the current one is taken still
	previous  string // that one
}

func newProvider(t *testing.T) *provider {
	p := &provider{current: "rt-0"}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /api", p.api)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	user, pass, _ := r.BasicAuth()
	refresh := r.PostFormValue("refresh_token")
	if refresh != p.current {
		p.reused++
	}
	if user != "client" || pass != "s3cret" || p.revoked || refresh != p.current && (!p.grace || refresh != p.previous) {
		p.refused++
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_grant"})
		return
	}
	p.refreshes++
	p.previous = p.current
	p.current, p.access = fmt.Sprint("rt-", p.refreshes), fmt.Sprint("at-", p.refreshes)
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": p.access, "refresh_token": p.current, "expires_in": 3600})
}

func (p *provider) api(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.revoked || p.refuses || r.Header.Get("Authorization") != "Bearer "+p.access {
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// memory is a store shared by several sources, as Postgres is by processes.
type memory struct {
	lock   sync.Mutex
	mu     sync.Mutex
	values map[string]token.Secret
	// crash, if set, loses an answer of the provider before it is durable.
	crash func() error
}

func newMemory() *memory {
	return &memory{values: map[string]token.Secret{token.FieldRefreshToken: {Text: "rt-0"}, token.FieldClientSecret: {Text: "s3cret"}}}
}

func (m *memory) Secrets(context.Context, record.TenantID, string) (map[string]token.Secret, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]token.Secret{}
	maps.Copy(out, m.values)
	return out, nil
}

func (m *memory) Refresh(ctx context.Context, t record.TenantID, c string, fn func(context.Context, map[string]token.Secret) (map[string]token.Secret, error)) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	stored, _ := m.Secrets(ctx, t, c)
	replaced, err := fn(ctx, stored)
	if err != nil {
		return err
	}
	if m.crash != nil && len(replaced) > 0 {
		if err := m.crash(); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.Copy(m.values, replaced)
	return nil
}

func connection(p *provider, version int64) *controlplane.Connection {
	return &controlplane.Connection{
		Tenant: "envoy", Name: "QB", App: "quickbooks", BaseURL: p.URL, Version: version,
		Auth: controlplane.Auth{Kind: controlplane.AuthRefreshToken, TokenURL: p.URL + "/token", ClientID: "client"},
	}
}

// process is one source with a client of its own.
type process struct {
	client *httpapi.Client
	source *token.Source
}

func newProcess(t *testing.T, p *provider, store token.Store, clock func() time.Time) *process {
	client := httpapi.New(httpapi.Config{Allowed: []string{strings.TrimPrefix(p.URL, "http://")}})
	t.Cleanup(client.Close)
	return &process{client: client, source: token.New(client, store, nil, slog.New(slog.DiscardHandler), clock)}
}

func (p *process) call(ctx context.Context, c *controlplane.Connection) (int, error) {
	a, err := p.client.Do(ctx, c.BaseURL, integration.Request{Method: http.MethodGet, Path: "/api"}, p.source.Authorizer(c, &integration.OAuth{BasicAuth: true, Rotates: true}))
	return a.Status, err
}

func TestManyCallsOfManyProcessesRefreshOnce(t *testing.T) {
	p, store := newProvider(t), newMemory()
	processes := []*process{newProcess(t, p, store, time.Now), newProcess(t, p, store, time.Now), newProcess(t, p, store, time.Now)}
	c := connection(p, 1)
	all := func() {
		var wg sync.WaitGroup
		for _, proc := range processes {
			for range 50 {
				wg.Go(func() {
					if status, err := proc.call(context.Background(), c); err != nil || status != http.StatusOK {
						t.Errorf("status %d, %v", status, err)
					}
				})
			}
		}
		wg.Wait()
	}
	all()
	if p.refreshes != 1 || p.reused != 0 {
		t.Fatalf("%d refreshes, %d uses of an old token; want 1, 0", p.refreshes, p.reused)
	}
}

// Another process rotates; this one's token is refused, and it finds the other's.
func TestARefusedTokenIsReplacedByWhatAnotherProcessStored(t *testing.T) {
	p, store := newProvider(t), newMemory()
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	one, other := newProcess(t, p, store, clock), newProcess(t, p, store, clock)
	c := connection(p, 1)
	for _, proc := range []*process{one, other} {
		if status, err := proc.call(t.Context(), c); err != nil || status != http.StatusOK {
			t.Fatalf("status %d, %v", status, err)
		}
	}
	p.mu.Lock()
	p.access = "revoked by the provider"
	p.mu.Unlock()
	mu.Lock()
	now = now.Add(10 * time.Minute)
	mu.Unlock()
	for _, proc := range []*process{one, other, one} {
		if status, err := proc.call(t.Context(), c); err != nil || status != http.StatusOK {
			t.Fatalf("status %d, %v", status, err)
		}
	}
	if p.refreshes != 2 || p.reused != 0 {
		t.Fatalf("%d refreshes, %d uses of an old token; want 2, 0", p.refreshes, p.reused)
	}
}

// This one's token has ended, and so has the one that another process got in its
// place: nothing is wrong with the credential.
func TestATokenThatEndedWhereItWasFoundIsReplaced(t *testing.T) {
	p, store := newProvider(t), newMemory()
	now := time.Now()
	clock := func() time.Time { return now }
	one, idle := newProcess(t, p, store, clock), newProcess(t, p, store, clock)
	end := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.access = "none"
	}
	call := func(proc *process) {
		t.Helper()
		if status, err := proc.call(t.Context(), connection(p, 1)); err != nil || status != http.StatusOK {
			t.Fatalf("status %d, %v", status, err)
		}
	}
	call(one)
	call(idle)
	end()
	call(one)
	end()
	call(idle)
	if p.refreshes != 3 || p.reused != 0 {
		t.Fatalf("%d refreshes, %d uses of an old token; want 3, 0", p.refreshes, p.reused)
	}
}

func TestADeadCredentialIsAskedForOnce(t *testing.T) {
	p, store := newProvider(t), newMemory()
	p.revoked = true
	proc := newProcess(t, p, store, time.Now)
	c := connection(p, 1)
	for range 20 {
		_, err := proc.call(t.Context(), c)
		if f := fault.Of(err); f.Class != fault.Auth || f.Code != "invalid_grant" || f.Scope != fault.ScopeConnection || f.Remedy == "" {
			t.Fatalf("got %+v", f)
		}
	}
	p.mu.Lock()
	p.revoked = false
	p.mu.Unlock()
	// Re-authorising bumps the connection's version, and that is all it takes.
	if status, err := proc.call(t.Context(), connection(p, 2)); err != nil || status != http.StatusOK {
		t.Fatalf("after re-authorisation: status %d, %v", status, err)
	}
}

// TestOneOfManyProcessesAsksForADeadCredential: the others find its answer.
func TestOneOfManyProcessesAsksForADeadCredential(t *testing.T) {
	p, store := newProvider(t), newMemory()
	p.revoked = true
	var wg sync.WaitGroup
	for range 8 {
		proc := newProcess(t, p, store, time.Now)
		wg.Go(func() {
			_, err := proc.call(t.Context(), connection(p, 1))
			if f := fault.Of(err); f == nil || f.Class != fault.Auth || f.Code != "invalid_grant" || f.Remedy == "" {
				t.Errorf("got %+v", f)
			}
		})
	}
	wg.Wait()
	if p.refused != 1 {
		t.Errorf("the provider refused %d refreshes, want 1", p.refused)
	}
	// A restart asks no sooner; after a while the credential is tried again.
	later := func() time.Time { return time.Now().Add(time.Hour) }
	if _, err := newProcess(t, p, store, time.Now).call(t.Context(), connection(p, 1)); fault.Of(err).Class != fault.Auth || p.refused != 1 {
		t.Errorf("after a restart: %v, %d refused", err, p.refused)
	}
	if _, err := newProcess(t, p, store, later).call(t.Context(), connection(p, 1)); fault.Of(err).Class != fault.Auth || p.refused != 2 {
		t.Errorf("an hour later: %v, %d refused", err, p.refused)
	}
}

// A token that replaces a refused one, and is refused too, ends in the 401 and
// not in a loop.
func TestASecondFreshTokenThatIsRefusedIsNotReplacedAgain(t *testing.T) {
	p, store := newProvider(t), newMemory()
	proc := newProcess(t, p, store, time.Now)
	c := connection(p, 1)
	if _, err := proc.call(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.refuses = true
	p.mu.Unlock()
	for range 5 {
		if status, err := proc.call(t.Context(), c); err != nil || status != http.StatusUnauthorized {
			t.Fatalf("status %d, %v; want the 401", status, err)
		}
	}
	if p.refreshes != 2 {
		t.Fatalf("%d refreshes, want 2", p.refreshes)
	}
}

// What is lost between the provider and the store is never used: the old token
// is tried again, and if the provider has forgotten it a person has to act.
// TestTokensThatWereGoodAreReplacedHoweverSoonTheyEnd: several in a row.
func TestTokensThatWereGoodAreReplacedHoweverSoonTheyEnd(t *testing.T) {
	p, store := newProvider(t), newMemory()
	now := time.Now()
	one := newProcess(t, p, store, func() time.Time { return now })
	for ended := range 3 {
		if status, err := one.call(t.Context(), connection(p, 1)); err != nil || status != http.StatusOK {
			t.Fatalf("after %d tokens that ended at once: %d %v, want the call to succeed with another one", ended, status, err)
		}
		p.mu.Lock()
		p.access = "" // the token ends
		p.mu.Unlock()
	}
	if p.refreshes != 3 {
		t.Errorf("%d refreshes of 3 tokens", p.refreshes)
	}
}

func TestATokenThatIsNotDurableIsNotUsed(t *testing.T) {
	p, store := newProvider(t), newMemory()
	store.crash = func() error { return errors.New("killed") }
	c := connection(p, 1)
	_, err := newProcess(t, p, store, time.Now).call(t.Context(), c)
	if f := fault.Of(err); f.Class != fault.Retryable || f.Unknown {
		t.Fatalf("got %+v; want retryable, and no call made", f)
	}
	store.crash = nil
	_, err = newProcess(t, p, store, time.Now).call(t.Context(), c)
	if f := fault.Of(err); f.Class != fault.Auth || f.Code != "invalid_grant" {
		t.Fatalf("got %+v", f)
	}
}
