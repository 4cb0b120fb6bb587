package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/fluxnex/fluxnex/pkg/app"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/redis"
	"github.com/fluxnex/fluxnex/schemas"
)

// process is one service being run: its configuration, its observability, and
// the clients it has opened. `dev` makes one for each service in one process of
// the operating system.
type process struct {
	name    string
	cfg     app.Config
	kafka   kafka.Config
	log     *slog.Logger
	metrics prometheus.Registerer
	probes  *app.Probes

	mu      sync.Mutex
	closers []func()
}

// newProcess checks what every service has in common before it opens anything.
func newProcess(name string, cfg app.Config, log *slog.Logger, metrics prometheus.Registerer, probes *app.Probes) (*process, error) {
	k, err := kafkaConfig(cfg)
	if err != nil {
		return nil, err
	}
	// A process that has not opened its clients yet has no other probe, and would
	// be ready.
	probes.Add(name, func() error { return errors.New("starting") })
	return &process{
		name: name, cfg: cfg, kafka: k, log: log.With(slog.String("service", name)),
		metrics: prometheus.WrapRegistererWith(prometheus.Labels{"service": name}, metrics), probes: probes,
	}, nil
}

// ready ends "starting" for a service whose clients' probes say all there is.
func (p *process) ready() { p.probes.Add(p.name, func() error { return nil }) }

// Between two looks for what is away at the start: soon enough for a broker
// that restarts, rare enough for one that is gone for an hour.
const (
	firstLook   = time.Second
	longestLook = 10 * time.Second
)

// patiently opens what the service cannot start without. What is away comes
// back, and a supervisor that restarts the service meanwhile would wait longer
// each time: it waits itself, is not ready, and says what for. What is wrong,
// a partition count or a password, ends it at once.
func patiently[T any](ctx context.Context, p *process, open func() (T, error)) (T, error) {
	for wait := firstLook; ; wait = min(2*wait, longestLook) {
		opened, err := open()
		if err == nil || fault.Of(err).Class != fault.Retryable || ctx.Err() != nil {
			return opened, err
		}
		p.probes.Add(p.name, func() error { return fmt.Errorf("waits for what it needs: %w", err) })
		p.log.WarnContext(ctx, "waiting for what the service needs", slog.String("again_in", wait.String()), slog.String("error", err.Error()))
		select {
		case <-ctx.Done():
			return opened, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// atEnd runs what a client needs when the service has stopped, last opened
// first.
func (p *process) atEnd(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closers = append(p.closers, f)
}

func (p *process) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range slices.Backward(p.closers) {
		v()
	}
	p.closers = nil
}

// topics refuses topics that this installation cannot work with.
func (p *process) topics(ctx context.Context) error {
	_, err := patiently(ctx, p, func() (struct{}, error) {
		return struct{}{}, kafka.Check(ctx, p.kafka, destinationApps(), p.log)
	})
	return err
}

func (p *process) codecs(ctx context.Context) (*schemas.Codecs, error) {
	return patiently(ctx, p, func() (*schemas.Codecs, error) { return openCodecs(ctx, p.kafka) })
}

func (p *process) postgres(ctx context.Context, connections int) (*postgres.DB, error) {
	db, err := patiently(ctx, p, func() (*postgres.DB, error) { return openPostgres(ctx, p.cfg, connections, p.name) })
	if err != nil {
		return nil, err
	}
	p.atEnd(db.Close)
	p.probes.Add(p.name+" postgres", func() error {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		return db.Ping(ctx)
	})
	return db, nil
}

const probeTimeout = 2 * time.Second

func (p *process) redis() (*redis.Client, error) {
	c, err := redis.Open(redis.Config{URL: p.cfg.RedisURL, Prefix: p.cfg.TopicPrefix}, p.log)
	if err != nil {
		return nil, err
	}
	p.atEnd(func() { _ = c.Close() })
	return c, nil
}

func (p *process) inbox(codecs *schemas.Codecs) (*kafka.Inbox, error) {
	in, err := kafka.NewInbox(p.kafka, codecs.Gateway.Append, p.log)
	if err != nil {
		return nil, err
	}
	p.atEnd(in.Close)
	return in, nil
}

func (p *process) producer() (*kafka.Producer, error) {
	out, err := kafka.NewProducer(p.kafka, p.log)
	if err != nil {
		return nil, err
	}
	p.atEnd(out.Close)
	return out, nil
}

// service is one subcommand that runs until it is told to stop.
type service struct {
	name  string
	short string
	needs []app.Need
	run   func(ctx context.Context, p *process) error
}

// command runs a service as a process of its own, with its admin server.
func (s service) command(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   s.name,
		Short: s.short,
		Args:  withArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := e.load(s.needs...)
			if err != nil {
				return err
			}
			log, flush, err := app.NewLogger(e.err, cfg)
			if err != nil {
				return &usageError{err}
			}
			defer flush()
			registry, probes := app.NewRegistry(), &app.Probes{}
			p, err := newProcess(s.name, cfg, log, registry, probes)
			if err != nil {
				return err
			}
			g, ctx := errgroup.WithContext(c.Context())
			ended := make(chan struct{})
			defer close(ended)
			go endBy(ctx, cfg.ShutdownTimeout, ended, func() {
				fmt.Fprintf(e.err, "fluxnex: %s did not end within %s after it was told to; its goroutines:\n\n", s.name, cfg.ShutdownTimeout)
				_ = pprof.Lookup("goroutine").WriteTo(e.err, 1) // nothing is left to do about it
				flush()
				os.Exit(exitFailed)
			})
			g.Go(func() error { return app.Serve(ctx, log, cfg.AdminListen, app.Admin(registry, probes), time.Second) })
			g.Go(func() error {
				defer p.close()
				if err := p.topics(ctx); err != nil {
					return stopped(ctx, err)
				}
				p.log.InfoContext(ctx, "started", slog.String("version", version))
				if err := s.run(ctx, p); err != nil {
					return stopped(ctx, err)
				}
				if ctx.Err() == nil {
					return errors.New(s.name + " ended by itself")
				}
				p.log.InfoContext(context.WithoutCancel(ctx), "stopped")
				return nil
			})
			return g.Wait()
		},
	}
}

// endBy calls late if the process has not ended a while after ctx: whoever
// stopped it waits no longer than it was told to.
func endBy(ctx context.Context, timeout time.Duration, ended <-chan struct{}, late func()) {
	<-ctx.Done()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		late()
	}
}

// stopped turns an error that only says "you were told to stop" into none.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
