package fetcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/httpapi"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/schemas"
)

// Config of the service; zero values take the default in brackets.
type Config struct {
	// Grace is how long a missing record may arrive by itself [2s].
	Grace time.Duration
	// Lease is how long one process has a record to itself [60s].
	Lease time.Duration
	// BackoffMin and BackoffMax bound the wait after a failure that says no time
	// of its own [1s, 5m].
	BackoffMin time.Duration
	BackoffMax time.Duration
	// Tries bounds attempts that fail without a known class [5].
	Tries int
	// InFlight is how many calls one process makes at a time [16].
	InFlight int
	// Poll is how often due rows are looked for [200ms].
	Poll time.Duration
	// Removals is how often each connection is asked for removals that its app
	// does not announce [15m].
	Removals time.Duration
}

func (c Config) withDefaults() Config {
	setDefault(&c.Grace, 2*time.Second)
	setDefault(&c.Lease, 60*time.Second)
	setDefault(&c.BackoffMin, time.Second)
	setDefault(&c.BackoffMax, 5*time.Minute)
	setDefault(&c.Tries, 5)
	setDefault(&c.InFlight, 16)
	setDefault(&c.Poll, 200*time.Millisecond)
	setDefault(&c.Removals, 15*time.Minute)
	return c
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Source reads the fetch-request topic.
type Source interface {
	Run(ctx context.Context, handle func(ctx context.Context, batch []kafka.Record) error) error
}

// Inbox writes the gateway topic.
type Inbox interface {
	Send(ctx context.Context, events []record.GatewayEvent, headers []kafka.Header) ([]kafka.Position, error)
}

// Replicas tells which records are known by now. An error means that the view
// is not ready, never that a record is absent.
type Replicas interface {
	Live(ctx context.Context, keys []record.Key) (map[record.Key]bool, error)
	// Replicas returns the ones that are known.
	Replicas(ctx context.Context, keys []record.Key) (map[record.Key]*record.Replica, error)
}

// Snapshots is the control plane as this process knows it.
type Snapshots interface {
	Current() *controlplane.Snapshot
}

// Credentials puts a connection's credentials on calls.
type Credentials interface {
	Authorizer(c *controlplane.Connection, oauth *integration.OAuth) httpapi.Authorizer
}

// Limiter shares token buckets between processes.
type Limiter interface {
	Take(ctx context.Context, key string, rate, burst float64, n int) (ok bool, wait time.Duration, err error)
}

// Deps are what the service is made of.
type Deps struct {
	Fetches      *postgres.Fetches
	Source       Source // nil: nothing is consumed
	Codecs       *schemas.Codecs
	Inbox        Inbox
	Replicas     Replicas // nil: every record is asked for
	Snapshots    Snapshots
	Integrations func(app string) (*integration.Integration, bool)
	HTTP         *httpapi.Client
	Credentials  Credentials
	Limiter      Limiter
	Registerer   prometheus.Registerer
	Log          *slog.Logger
	Clock        func() time.Time
}

// Service fetches. Start it with [Service.Run].
type Service struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	metrics *metrics
	wake    chan struct{}
}

// New wires the service; it does nothing before Run.
func New(cfg Config, deps Deps) (*Service, error) {
	if deps.Fetches == nil || deps.Inbox == nil || deps.Snapshots == nil || deps.Integrations == nil || deps.HTTP == nil || deps.Credentials == nil || deps.Log == nil || deps.Clock == nil {
		return nil, errors.New("fetcher: fetches, inbox, snapshots, integrations, HTTP, credentials, log and clock are required")
	}
	return &Service{cfg: cfg.withDefaults(), deps: deps, log: deps.Log, metrics: newMetrics(deps.Registerer), wake: make(chan struct{}, 1)}, nil
}

// Run consumes and fetches until ctx ends and the calls in flight are over.
func (s *Service) Run(ctx context.Context) error {
	g, running := errgroup.WithContext(ctx)
	if s.deps.Source != nil {
		g.Go(func() error { return s.deps.Source.Run(running, s.handle) })
	}
	g.Go(func() error { return s.work(running) })
	g.Go(func() error { return s.watch(running) })
	err := g.Wait()
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was told to stop
	}
	return err
}

// handle makes requests durable. What cannot be read is skipped with a line:
// whoever needs the record asks again when it is overdue.
func (s *Service) handle(ctx context.Context, batch []kafka.Record) error {
	var requests []*record.FetchRequest
	for i := range batch {
		r := &batch[i]
		request, err := s.deps.Codecs.FetchRequest.Decode(ctx, r.Value)
		if err != nil {
			f := fault.Of(err)
			if f.Class != fault.Poison {
				return fmt.Errorf("fetcher: %w", err)
			}
			s.metrics.answers.WithLabelValues("", "unreadable").Inc()
			s.log.Warn("fetch request unreadable, skipped", slog.String("topic", r.Topic), slog.Int("partition", int(r.Partition)), slog.Int64("offset", r.Offset), slog.String("code", f.Code), slog.String("error", f.Error()))
			continue
		}
		requests = append(requests, request)
	}
	if len(requests) == 0 {
		return nil
	}
	if err := s.deps.Fetches.Request(ctx, requests, s.cfg.Grace); err != nil {
		return err
	}
	s.metrics.requests.Add(float64(len(requests)))
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}
