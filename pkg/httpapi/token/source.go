package token

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/failpoint"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/httpapi"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/secret"
)

// Names of stored secrets.
const (
	FieldToken        = "token"
	FieldAccessToken  = "access_token"
	FieldRefreshToken = "refresh_token"
	FieldClientSecret = "client_secret"
	FieldPrivateKey   = "private_key"
	// FieldRefused says which credential the provider refused last, so that of
	// many processes one asks.
	FieldRefused = "refused"
)

const (
	// expirySlack is how long before its end a token is no longer used: a call
	// may take a while, and clocks differ.
	expirySlack = 60 * time.Second
	// defaultLife is assumed where the provider says none (Salesforce).
	defaultLife = 30 * time.Minute
	// settleTime is how long a token that replaced a refused one is not replaced
	// because it is refused too, and a dead credential is not tried again: no loops.
	settleTime = 30 * time.Second
	// refreshTimeout bounds the token endpoint's answer. It is less than the time
	// others wait for the lock.
	refreshTimeout = 8 * time.Second
	// maxAsking is how many connections one process refreshes at a time.
	maxAsking = 4
)

// Secret is one stored secret in the clear.
type Secret struct {
	Text      secret.Secret
	ExpiresAt time.Time // zero: it does not expire
}

// Store keeps a connection's secrets.
type Store interface {
	Secrets(ctx context.Context, tenant record.TenantID, connection string) (map[string]Secret, error)
	// Refresh runs fn while no other process does for this connection. What fn
	// returns is durable when Refresh returns nil.
	Refresh(ctx context.Context, tenant record.TenantID, connection string, fn func(ctx context.Context, stored map[string]Secret) (map[string]Secret, error)) error
}

// Source gives out tokens. Safe for concurrent use.
type Source struct {
	client    *httpapi.Client
	store     Store
	clock     func() time.Time
	log       *slog.Logger
	refreshes *prometheus.CounterVec

	asking chan struct{} // bounds refreshes under way: each holds a database session

	mu      sync.Mutex
	holders map[holderKey]*holder
}

type holderKey struct {
	tenant record.TenantID
	name   string
}

// holder is what this process knows of one connection's token.
type holder struct {
	turn chan struct{} // held by whoever asks the store or the provider

	mu       sync.Mutex
	version  int64 // of the connection it belongs to
	text     secret.Secret
	expires  time.Time
	replaces time.Time // when it replaced a token that was refused; zero: it did not, or has been good since
	number   int64     // names the token without saying it
	dead     *fault.Error
	died     time.Time
}

// New makes a source. reg may be nil.
func New(client *httpapi.Client, store Store, reg prometheus.Registerer, log *slog.Logger, clock func() time.Time) *Source {
	s := &Source{
		client: client, store: store, clock: clock, log: log, holders: map[holderKey]*holder{}, asking: make(chan struct{}, maxAsking),
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluxnex_token_refreshes_total", Help: "Token refreshes by their outcome."}, []string{"app", "outcome"}),
	}
	if reg != nil {
		reg.MustRegister(s.refreshes)
	}
	return s
}

// Version grows when somebody re-authorises the connection.
func (s *Source) Version(_ context.Context, c *controlplane.Connection) (int64, error) {
	return c.Version, nil
}

// Authorizer is for calls of one connection.
func (s *Source) Authorizer(c *controlplane.Connection, oauth *integration.OAuth) httpapi.Authorizer {
	return &authorizer{s: s, c: c, oauth: oauth}
}

type authorizer struct {
	s     *Source
	c     *controlplane.Connection
	oauth *integration.OAuth
}

// Authorize implements [httpapi.Authorizer].
func (a *authorizer) Authorize(ctx context.Context, h http.Header) (string, error) {
	if a.c.Auth.Kind == controlplane.AuthNone {
		return "", nil
	}
	held := a.s.holder(a.c)
	text, number, err := held.current(a.s.clock())
	if err != nil {
		return "", err
	}
	if text == "" {
		if err := a.renew(ctx, held, 0); err != nil {
			return "", err
		}
		if text, number, err = held.current(a.s.clock()); err != nil {
			return "", err
		}
		if text == "" {
			return "", fault.Retry("token_expired", 0, fmt.Errorf("the token of connection %q ended while it was fetched", a.c.Name))
		}
	}
	h.Set("Authorization", "Bearer "+text.Reveal())
	return strconv.FormatInt(number, 10), nil
}

// Refused implements [httpapi.Authorizer].
func (a *authorizer) Refused(ctx context.Context, token string) (bool, error) {
	number, err := strconv.ParseInt(token, 10, 64)
	if err != nil {
		return false, nil //nolint:nilerr // no token was used
	}
	held := a.s.holder(a.c)
	if again, known := held.replaced(number, a.s.clock()); known {
		return again, nil
	}
	if err := a.renew(ctx, held, number); err != nil {
		return false, err
	}
	again, _ := held.replaced(number, a.s.clock())
	return again, nil
}

// Accepted implements [httpapi.Authorizer].
func (a *authorizer) Accepted(token string) {
	number, err := strconv.ParseInt(token, 10, 64)
	if err != nil {
		return // no token was used
	}
	a.s.holder(a.c).accepted(number)
}

func (s *Source) holder(c *controlplane.Connection) *holder {
	s.mu.Lock()
	key := holderKey{c.Tenant, c.Name}
	h := s.holders[key]
	if h == nil {
		h = &holder{turn: make(chan struct{}, 1)}
		s.holders[key] = h
	}
	s.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.version != c.Version {
		// Re-authorised or re-configured: nothing of before counts.
		h.version, h.text, h.dead = c.Version, "", nil
		h.number++
	}
	return h
}

// current is the token in hand; "" if a new one is due.
func (h *holder) current(now time.Time) (secret.Secret, int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead != nil && now.Sub(h.died) < settleTime {
		return "", 0, h.dead
	}
	if h.text == "" || (!h.expires.IsZero() && !now.Before(h.expires)) {
		return "", h.number, nil
	}
	return h.text, h.number, nil
}

// replaced reports whether a refused token has been replaced already. known is
// false where it has to be.
func (h *holder) replaced(number int64, now time.Time) (again, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if number != h.number {
		return h.text != "", true
	}
	if now.Sub(h.replaces) < settleTime && !h.replaces.IsZero() {
		return false, true // the second one that the provider gave and the API refuses
	}
	return false, false
}

// accepted: a token that was good for a call may end as early as it likes, and is
// replaced again.
func (h *holder) accepted(number int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if number == h.number {
		h.replaces = time.Time{}
	}
}

// set takes over a token. refused: the provider gave it for one that the API had
// refused.
func (h *holder) set(s Secret, refused bool, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.text == s.Text {
		h.expires = s.ExpiresAt
		return
	}
	h.text, h.expires, h.dead = s.Text, s.ExpiresAt, nil
	h.number++
	h.replaces = time.Time{}
	if refused {
		h.replaces = now
	}
}

func (h *holder) kill(f *fault.Error, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text, h.dead, h.died = "", f, now
}

// renew makes the holder have a token other than the refused one (0: none).
// One goroutine at a time asks; the rest find its answer.
func (a *authorizer) renew(ctx context.Context, h *holder, refused int64) error {
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return fault.Retry("token_timeout", 0, context.Cause(ctx))
	}
	now := a.s.clock()
	text, number, err := h.current(now)
	if err != nil {
		return err
	}
	if text != "" && number != refused {
		return nil
	}
	var bad secret.Secret
	if refused != 0 && number == refused {
		bad = text
	}
	if a.c.Auth.Kind == controlplane.AuthStaticToken {
		return a.static(ctx, h, bad)
	}
	return a.refresh(ctx, h, bad)
}

func (a *authorizer) static(ctx context.Context, h *holder, bad secret.Secret) error {
	stored, err := a.s.store.Secrets(ctx, a.c.Tenant, a.c.Name)
	if err != nil {
		return fault.Retry("credentials_unreadable", 0, err)
	}
	s, ok := stored[FieldToken]
	if !ok || s.Text == "" {
		return a.missing(FieldToken)
	}
	if s.Text == bad {
		return nil // there is no other one; the 401 stands
	}
	h.set(s, false, a.s.clock())
	return nil
}

func (a *authorizer) missing(field string) error {
	return &fault.Error{
		Class: fault.Auth, Code: "credential_missing", Scope: fault.ScopeConnection,
		Remedy: fmt.Sprintf("apply connection %q with its secret %s", a.c.Name, field),
		Err:    fmt.Errorf("connection %q has no secret %s", a.c.Name, field),
	}
}

func (a *authorizer) refresh(ctx context.Context, h *holder, bad secret.Secret) error {
	select {
	case a.s.asking <- struct{}{}:
		defer func() { <-a.s.asking }()
	case <-ctx.Done():
		return fault.Retry("token_timeout", 0, context.Cause(ctx))
	}
	var got Secret
	var refusal *fault.Error
	fresh := false
	err := a.s.store.Refresh(ctx, a.c.Tenant, a.c.Name, func(ctx context.Context, stored map[string]Secret) (map[string]Secret, error) {
		// Another process may have been here while we waited.
		if have := stored[FieldAccessToken]; have.Text != "" && have.Text != bad && a.s.clock().Before(have.ExpiresAt) {
			got = have
			return nil, nil
		}
		if refusal = a.refusedBefore(stored); refusal != nil {
			return nil, nil
		}
		ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
		defer cancel()
		answer, err := a.grant(ctx, stored)
		if f := fault.Of(err); f != nil && f.Class == fault.Auth {
			refusal = f
			return a.remember(stored, f), nil
		}
		if err != nil {
			return nil, err
		}
		got, fresh = answer[FieldAccessToken], true
		failpoint.Hit("token-answered")
		return answer, nil
	})
	now := a.s.clock()
	if err == nil && refusal != nil {
		err = refusal
	}
	if err == nil {
		h.set(got, fresh && bad != "", now)
		if fresh {
			failpoint.Hit("token-stored")
			a.s.refreshes.WithLabelValues(a.c.App, "refreshed").Inc()
		}
		return nil
	}
	f := fault.Of(err)
	if f.Class == fault.Auth {
		h.kill(f, now)
		a.s.refreshes.WithLabelValues(a.c.App, "dead").Inc()
		a.s.log.Warn("credential refused", slog.String("tenant", string(a.c.Tenant)), slog.String("connection", a.c.Name), slog.String("code", f.Code))
		return f
	}
	a.s.refreshes.WithLabelValues(a.c.App, "failed").Inc()
	if f.Class == fault.Unclassified {
		f = fault.Retry("credentials_unreadable", 0, err)
	}
	g := *f
	g.Unknown = false // whatever became of the token, the call was not made
	return &g
}
