package sandbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/fluxnex/fluxnex/sandbox/call"
	"github.com/fluxnex/fluxnex/sandbox/faults"
	"github.com/fluxnex/fluxnex/sandbox/hubspot"
	"github.com/fluxnex/fluxnex/sandbox/ledger"
	"github.com/fluxnex/fluxnex/sandbox/limit"
	"github.com/fluxnex/fluxnex/sandbox/oauth"
	"github.com/fluxnex/fluxnex/sandbox/quickbooks"
	"github.com/fluxnex/fluxnex/sandbox/salesforce"
	"github.com/fluxnex/fluxnex/sandbox/store"
)

// Config is what a sandbox needs to know. The zero value is usable: the
// example tenant, in memory, with the documented limits.
type Config struct {
	// Clock is time.Now unless given. Tokens, limits, search lag and the times
	// on objects follow it; delays and retries follow the machine.
	Clock func() time.Time
	// Limits is "documented" (or ""), "off", or requests per second and account.
	Limits string
	// Dir keeps objects, tokens and ledger over restarts; "" keeps them in memory.
	Dir string
	// Seed is ExampleSeed unless given.
	Seed *Seed
	// Logger is discarded unless given.
	Logger *slog.Logger
	// SearchLag is how far HubSpot's search is behind; 2 s if 0, none if negative.
	SearchLag time.Duration
	// TokenTTL is the life of QuickBooks' and HubSpot's access tokens; if 0, an
	// hour and half an hour, as documented.
	TokenTTL time.Duration
	// RefreshGrace is how long QuickBooks still takes a replaced refresh token;
	// a minute if 0, not at all if negative.
	RefreshGrace time.Duration
}

// app is a vendor's API with what the sandbox's own pages need.
type app interface {
	call.App
	Grants() *oauth.Registry
	Seed(now time.Time) error
	Restore(store.Saved) error
	Accounts() map[string]string
	Counts(account string) map[string]int
	List(account, object string) ([]json.RawMessage, error)
	Get(account, object, id string) (json.RawMessage, error)
	Edit(c *call.Call, account, object, id string, fields map[string]any) (json.RawMessage, error)
}

// Server is one sandbox.
type Server struct {
	pipeline   *call.Pipeline
	apps       []app
	modes      map[string]*limit.Switch
	quickbooks *quickbooks.App
	salesforce *salesforce.App
	outbound   *salesforce.Outbox
	handler    http.Handler
}

// New makes a sandbox and reads back what an earlier one left in Dir.
func New(cfg Config) (*Server, error) {
	mode, err := limit.ParseMode(cfg.Limits)
	if err != nil {
		return nil, err
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	seed := ExampleSeed()
	if cfg.Seed != nil {
		seed = *cfg.Seed
	}
	saved, contents, err := store.Open(cfg.Dir, cfg.Logger)
	if err != nil {
		return nil, err
	}
	s := &Server{
		pipeline: &call.Pipeline{Clock: cfg.Clock, Log: cfg.Logger, Ledger: &ledger.Ledger{}, Store: saved, Faults: &faults.Script{}, Markers: &call.Markers{}},
		modes:    map[string]*limit.Switch{},
	}
	for _, name := range []string{"quickbooks", "hubspot", "salesforce"} {
		s.modes[name] = &limit.Switch{}
		s.modes[name].Set(mode)
	}
	grace := max(0, cmp.Or(cfg.RefreshGrace, time.Minute))
	s.quickbooks = quickbooks.New(seed.QuickBooks, cfg.Clock, s.modes["quickbooks"], oauth.Policy{TTL: cmp.Or(cfg.TokenTTL, time.Hour), Rotate: true, Grace: grace})
	s.salesforce = salesforce.New(seed.Salesforce, cfg.Clock, s.modes["salesforce"], oauth.Policy{TTL: 2 * time.Hour})
	s.outbound = salesforce.NewOutbox(s.salesforce, cfg.Clock, cfg.Logger)
	s.apps = []app{
		s.quickbooks,
		hubspot.New(seed.HubSpot, cfg.Clock, s.modes["hubspot"], oauth.Policy{TTL: cmp.Or(cfg.TokenTTL, 30*time.Minute)}, max(0, cmp.Or(cfg.SearchLag, 2*time.Second))),
		s.salesforce,
	}
	if err := s.fill(contents); err != nil {
		return nil, errors.Join(err, saved.Close())
	}
	s.handler = s.routes()
	return s, nil
}

func (s *Server) fill(contents store.Contents) error {
	s.pipeline.Ledger.Restore(contents.Ledger, contents.LastSeq)
	for _, v := range contents.Values {
		for _, a := range s.apps {
			if err := a.Restore(v); err != nil {
				return err
			}
		}
	}
	for _, a := range s.apps {
		if err := a.Seed(s.pipeline.Clock()); err != nil {
			return err
		}
	}
	return nil
}

// Handler serves the vendors' paths and the sandbox's own under /_sandbox/.
func (s *Server) Handler() http.Handler { return s.handler }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	paths := map[string][]string{
		"quickbooks": {"/v3/company/", "/oauth2/v1/tokens/bearer"},
		"hubspot":    {"/crm/", "/oauth/v1/", "/account-info/"},
		"salesforce": {"/services/"},
	}
	for _, a := range s.apps {
		for _, path := range paths[a.Name()] {
			mux.Handle(path, s.pipeline.Handler(a))
		}
	}
	s.adminRoutes(mux)
	return mux
}

// Run serves on addr until ctx ends, then closes the sandbox.
func (s *Server) Run(ctx context.Context, addr string) error {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("sandbox: %w (is another one running? choose another address)", err)
	}
	return s.Serve(ctx, l)
}

// Serve is Run on a listener that is already there.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	// Calls that a fault leaves hanging end with the server.
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	srv := &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return calls }}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return errors.Join(err, s.Close())
	case <-ctx.Done():
	}
	cancel()
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	err := srv.Shutdown(last)
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return errors.Join(err, s.Close())
}

// Close ends what runs in the background and closes the data file.
func (s *Server) Close() error {
	s.outbound.Close()
	return s.pipeline.Store.Close()
}
