package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluxnex/fluxnex/pkg/failpoint"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/redis"
)

const (
	defaultMaxBatch       = 2_000
	defaultCommitInterval = 10 * time.Millisecond

	rejoinPause = 250 * time.Millisecond
	backoffMin  = 50 * time.Millisecond
	backoffMax  = 2 * time.Second

	// drainGrace bounds what is finished after the stop signal.
	drainGrace = 10 * time.Second
)

// Config is one stage of one installation.
type Config struct {
	Name  string // "replica": label of metrics, logs and dead letters
	Group string // without the installation's prefix
	// TransactionalIDPrefix gets the process's name as its suffix, or a random one.
	TransactionalIDPrefix string
	Input                 string // topic
	// Changelog is the compacted topic that the stage alone writes, and
	// ChangelogView the view derived from it; "" = the stage keeps no state.
	Changelog     string
	ChangelogView View
	// Foreign are the views of other stages that this one reads: view → topic.
	Foreign map[View]string
	Kafka   kafka.Config
	// MaxBatch is the most records of one transaction; 0 = 2,000.
	MaxBatch int
	// CommitInterval is the least time between two transactions while records
	// keep coming; an idle stage commits at once. 0 = 10 ms.
	CommitInterval time.Duration
	// TransactionTimeout must be less than SessionTimeout; 0 = 10 s and 15 s.
	TransactionTimeout time.Duration
	SessionTimeout     time.Duration
}

// Validate names every setting that cannot work.
func (c Config) Validate() error {
	var errs []error
	for name, v := range map[string]string{"name": c.Name, "group": c.Group, "transactional id prefix": c.TransactionalIDPrefix, "input topic": c.Input} {
		if v == "" {
			errs = append(errs, fmt.Errorf("stage %s: %s is required", c.Name, name))
		}
	}
	if (c.Changelog == "") != (c.ChangelogView == "") {
		errs = append(errs, fmt.Errorf("stage %s: changelog topic and view go together", c.Name))
	}
	return errors.Join(append(errs, c.Kafka.Validate())...)
}

// Deps are what a runner shares with its process.
type Deps struct {
	Log        *slog.Logger
	Now        func() time.Time
	Registerer prometheus.Registerer
	Redis      *redis.Client // nil for a stage without views
	// DeadLetters turns a record that the stage could not compute into messages:
	// the dead letter and a notification. An error means a dependency is away.
	DeadLetters func(ctx context.Context, d *record.DeadLetter) ([]Output, error)
}

// Runner runs one stage in one process.
type Runner struct {
	cfg     Config
	stage   Stage
	deps    Deps
	views   *redis.Views
	metrics *metrics
	txnID   string
	status  atomic.Pointer[string] // why not ready; nil = ready
	owned   atomic.Pointer[[]int32]
	// failpoint lets a test die between two steps; nil outside tests.
	failpoint func(point string) error
}

// New does not connect.
func New(cfg Config, s Stage, deps Deps) (*Runner, error) {
	if cfg.MaxBatch == 0 {
		cfg.MaxBatch = defaultMaxBatch
	}
	if cfg.CommitInterval == 0 {
		cfg.CommitInterval = defaultCommitInterval
	}
	if cfg.TransactionTimeout == 0 {
		cfg.TransactionTimeout = kafka.DefaultTransactionTimeout
	}
	if cfg.SessionTimeout == 0 {
		cfg.SessionTimeout = kafka.DefaultSessionTimeout
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if (cfg.Changelog != "" || len(cfg.Foreign) > 0) && deps.Redis == nil {
		return nil, fmt.Errorf("stage %s reads views and has no Redis", cfg.Name)
	}
	m, err := newMetrics(deps.Registerer, cfg.Name)
	if err != nil {
		return nil, err
	}
	name := cfg.Kafka.Instance
	if name == "" {
		name = uuid.NewString()
	}
	r := &Runner{cfg: cfg, stage: s, deps: deps, metrics: m, txnID: cfg.TransactionalIDPrefix + "." + name}
	if deps.Redis != nil {
		r.views = deps.Redis.Views()
	}
	r.setStatus("not started")
	return r, nil
}

// Run takes part in the stage until ctx ends; then the transaction in hand is
// finished and the group is left. It returns an error only if it cannot start
// at all, or with [kafka.ErrSuperseded]: everything that time may heal is waited
// for.
func (r *Runner) Run(ctx context.Context) error {
	if r.deps.Redis != nil {
		if err := r.untilDone(ctx, "redis", func() error { return r.deps.Redis.Ping(ctx) }); err != nil {
			return nil //nolint:nilerr // stopped while waiting
		}
		if err := r.deps.Redis.Check(ctx); ctx.Err() != nil {
			return nil //nolint:nilerr // stopped while it was asked
		} else if err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		err := r.join(ctx)
		if errors.Is(err, errCrash) || errors.Is(err, kafka.ErrSuperseded) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			r.deps.Log.Warn("joining again", slog.Any("stage", r.cfg.Name), slog.String("error", err.Error()))
			r.setStatus("joining again: " + err.Error())
			r.metrics.rejoins.Inc()
			kafka.Wait(ctx, rejoinPause)
		}
	}
	r.setStatus("stopped")
	return nil
}

// errCrash ends Run at a failpoint as a crash would.
var errCrash = errors.New("crash")

func (r *Runner) at(point string) error {
	failpoint.Hit(point)
	if r.failpoint == nil {
		return nil
	}
	return r.failpoint(point)
}

// Owned lists the partitions this process works on, their views complete. It
// may be out of date by the time it is read: what follows from it must be safe
// to do twice.
func (r *Runner) Owned() []int32 {
	if p := r.owned.Load(); p != nil {
		return *p
	}
	return nil
}

// Ready says what the stage waits for, or nil while it processes.
func (r *Runner) Ready() error {
	if why := r.status.Load(); why != nil {
		return fmt.Errorf("stage %s: %s", r.cfg.Name, *why)
	}
	return nil
}

func (r *Runner) setStatus(why string) {
	if why == "" {
		r.status.Store(nil)
		return
	}
	r.status.Store(&why)
}

// untilDone repeats f with backoff until it succeeds or ctx ends. Nothing is
// counted: a dependency that is away costs no attempt.
func (r *Runner) untilDone(ctx context.Context, what string, f func() error) error {
	backoff := backoffMin
	for first := true; ; first = false {
		err := f()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		if first {
			r.deps.Log.Warn("waiting for a dependency", slog.Any("stage", r.cfg.Name), slog.Any("what", what), slog.String("error", err.Error()))
		}
		r.setStatus("waiting for " + what + ": " + err.Error())
		r.metrics.waits.Inc()
		kafka.Wait(ctx, backoff)
		backoff = min(2*backoff, backoffMax)
	}
}
