package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/failpoint"
	"github.com/fluxnex/fluxnex/pkg/httpapi"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/schemas"
)

// Config of the service; zero values take the default in brackets.
type Config struct {
	// InFlight is how many calls one process makes at a time to one remote
	// account [256]; a quarter more is kept for the others.
	InFlight int
	// Lease is how long a claimed row belongs to one process [60s]. A call ends
	// Margin [10s] before it.
	Lease  time.Duration
	Margin time.Duration
	// BackoffMin and BackoffMax bound the wait after a retryable failure that
	// says no time of its own [1s, 5m].
	BackoffMin time.Duration
	BackoffMax time.Duration
	// Tries bounds attempts that fail without a known class [5].
	Tries int
	// WaitTTL is how long a row may wait for another record's id [24h].
	WaitTTL time.Duration
	// ReferenceGrace is how long the record referred to may be unheard of at the
	// target before somebody is told [5m]; OptionalWait how long a reference that
	// can be left out is waited for [60s].
	ReferenceGrace time.Duration
	OptionalWait   time.Duration
	// BreakerAfter is how many calls of a lane in a row fail in one process before
	// its rows are left alone by all for BreakerPause, twice that after each further
	// failure, at most BackoffMax or 30 s [10, 1s].
	BreakerAfter int
	BreakerPause time.Duration
	// Poll is how often due rows are looked for when nothing told of any [100ms].
	Poll time.Duration
}

func (c Config) withDefaults() Config {
	setDefault(&c.InFlight, 256)
	setDefault(&c.Lease, 60*time.Second)
	setDefault(&c.Margin, 10*time.Second)
	setDefault(&c.BackoffMin, time.Second)
	setDefault(&c.BackoffMax, 5*time.Minute)
	setDefault(&c.Tries, 5)
	setDefault(&c.WaitTTL, 24*time.Hour)
	setDefault(&c.ReferenceGrace, 5*time.Minute)
	setDefault(&c.OptionalWait, time.Minute)
	setDefault(&c.BreakerAfter, 10)
	setDefault(&c.BreakerPause, time.Second)
	setDefault(&c.Poll, 100*time.Millisecond)
	return c
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Source reads the outbound topics, beginning where [Service.StartOffsets]
// says; Run is called again after it returned an error of the handler.
type Source interface {
	Run(ctx context.Context, handle func(ctx context.Context, batch []kafka.Record) error) error
}

// Producer writes results, notifications and dead letters.
type Producer interface {
	Send(ctx context.Context, msgs ...kafka.Message) ([]kafka.Position, error)
}

// Inbox writes the gateway topic.
type Inbox interface {
	Send(ctx context.Context, events []record.GatewayEvent, headers []kafka.Header) ([]kafka.Position, error)
}

// Snapshots is the control plane as this process knows it.
type Snapshots interface {
	Current() *controlplane.Snapshot
	// Refresh returns once the snapshot has at least that version.
	Refresh(ctx context.Context, atLeast int64) error
}

// Credentials puts a connection's credentials on calls.
type Credentials interface {
	Authorizer(c *controlplane.Connection, oauth *integration.OAuth) httpapi.Authorizer
	// Version grows when somebody re-authorises the connection.
	Version(ctx context.Context, c *controlplane.Connection) (int64, error)
}

// Limiter shares token buckets between processes.
type Limiter interface {
	Take(ctx context.Context, key string, rate, burst float64, n int) (ok bool, wait time.Duration, err error)
}

// Deps are what the service is made of.
type Deps struct {
	Rows         *postgres.Deliveries
	Source       func(start StartOffsets) (Source, error) // nil: nothing is consumed
	Codecs       *schemas.Codecs
	Producer     Producer
	Inbox        Inbox // nil: what destinations hold is not told
	Topics       record.Topics
	Snapshots    Snapshots
	Sources      *postgres.Fetches // when sources could not be asked; nil: they always could
	Replicas     Replicas          // nil: nobody knows what sources say of their records
	Integrations Integrations
	HTTP         *httpapi.Client
	Credentials  Credentials
	Limiter      Limiter
	Registerer   prometheus.Registerer
	Log          *slog.Logger
	Clock        func() time.Time
	// Owner is this process's name, for work that one process does at a time.
	Owner string
	// Failpoint is called between every two writes; where it returns an error
	// the attempt is abandoned as a crash would. nil in production.
	Failpoint func(point string) error
}

// StartOffsets is [postgres.Deliveries.StartOffsets].
type StartOffsets func(ctx context.Context, topic string, partitions []int32) (map[int32]int64, error)

// Service delivers. Start it with [Service.Run].
type Service struct {
	cfg  Config
	deps Deps
	log  *slog.Logger

	metrics  *metrics
	consumer *consumer
	accounts *accounts
	breakers *breakers
	store    *batcher[postgres.Stored, bool]
	finish   *batcher[postgres.Finished, bool]
	wake     chan struct{} // rows may be due
	due      dueLanes
	trialing atomic.Int64 // attempts under way with a lane's trial call
	probes   sync.WaitGroup

	probingMu sync.Mutex
	probing   map[int32]bool // lanes that are being asked about

	stood atomic.Pointer[postgres.Standstill]
	// The configuration whose routes were looked at last, and when it was new.
	routes   int64
	routesAt time.Time
}

// New wires the service; it does nothing before Run.
func New(cfg Config, deps Deps) (*Service, error) {
	if deps.Rows == nil || deps.Snapshots == nil || deps.Integrations == nil || deps.HTTP == nil || deps.Credentials == nil || deps.Log == nil || deps.Clock == nil {
		return nil, errors.New("delivery: rows, snapshots, integrations, HTTP, credentials, log and clock are required")
	}
	cfg = cfg.withDefaults()
	if cfg.Margin >= cfg.Lease {
		return nil, errors.New("delivery: the margin must be smaller than the lease")
	}
	s := &Service{
		cfg: cfg, deps: deps, log: deps.Log,
		metrics:  newMetrics(deps.Registerer),
		accounts: newAccounts(cfg.InFlight),
		breakers: newBreakers(),
		wake:     make(chan struct{}, 1),
		probing:  map[int32]bool{},
		routes:   -1,
	}
	s.consumer = newConsumer(s)
	s.store = newBatcher("store", deps.Rows.Store, s.metrics, s.log)
	s.finish = newBatcher("finish", deps.Rows.Finish, s.metrics, s.log)
	return s, nil
}

// Run consumes and delivers until ctx ends; then it gives back what it has not
// sent, and waits for the calls in flight.
func (s *Service) Run(ctx context.Context) error {
	// What is in flight outlives ctx, but no lease.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	batches, stopBatches := context.WithCancel(work)
	defer stopBatches()
	writers, _ := errgroup.WithContext(batches)
	for range batchWriters {
		writers.Go(func() error { return s.store.run(batches) })
		writers.Go(func() error { return s.finish.run(batches) })
	}
	g, running := errgroup.WithContext(ctx)
	if s.deps.Source != nil {
		g.Go(func() error { return s.consumer.run(running) })
	}
	g.Go(func() error { return s.schedule(running, work) })
	g.Go(func() error { return s.sweep(running) })
	g.Go(func() error { return s.vacuum(running) })
	if s.deps.Producer != nil {
		g.Go(func() error { return s.publish(running) })
	}
	err := g.Wait()
	stopBatches()
	if werr := writers.Wait(); err == nil {
		err = werr
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil
	}
	return err
}

// nudge says that rows may be due.
func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Service) failpoint(point string) error {
	failpoint.Hit(point)
	if s.deps.Failpoint == nil {
		return nil
	}
	return s.deps.Failpoint(point)
}
