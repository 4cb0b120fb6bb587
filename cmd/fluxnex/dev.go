package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/fluxnex/fluxnex/pkg/app"
	"github.com/fluxnex/fluxnex/pkg/embedded"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/secret"
)

// Offsets from the port base; docs/contract.md promises them.
const (
	defaultPortBase = 18080
	portAdmin       = 1
	portKafka       = 12
	portRegistry    = 13
	portPostgres    = 14
	portRedis       = 15
	portSandbox     = 220
)

// devOptions are the flags of dev and demo.
type devOptions struct {
	partsOnly bool
	verbose   bool
}

func newDevCommand(e *environment) *cobra.Command {
	var o devOptions
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process, on embedded parts",
		Long:  "Run everything in one process: embedded Kafka broker, schema registry, PostgreSQL and Redis, the sandbox, and all services. Data is kept in FLUXNEX_DATA_DIR.",
		Args:  withArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return e.dev(c.Context(), o, func(ctx context.Context, d *devPlatform) error {
				d.describe(e.out)
				<-ctx.Done()
				return nil
			})
		},
	}
	c.Flags().BoolVar(&o.partsOnly, "parts-only", false, "serve only the parts and the sandbox, and print the environment for services started one by one")
	c.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "log to the terminal instead of FLUXNEX_DATA_DIR/dev.log")
	return c
}

// devPlatform is a running dev.
type devPlatform struct {
	cfg     app.Config
	parts   *embedded.Parts
	sandbox string // URL
	gateway string // URL; "" with parts only
	secrets devSecrets
	logFile string
	probes  *app.Probes
}

// dev starts everything, calls use when it is ready, and stops when use returns
// or ctx ends.
func (e *environment) dev(ctx context.Context, o devOptions, use func(ctx context.Context, d *devPlatform) error) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	base, err := e.portBase()
	if err != nil {
		return err
	}
	if cfg.DataDir, err = filepath.Abs(cfg.DataDir); err != nil {
		return err
	}
	parts, err := embedded.Start(ctx, embedded.Options{
		DataDir: cfg.DataDir, PostgresURL: cfg.PostgresURL.Reveal(), CacheDir: embeddedCache(),
		KafkaPort: base + portKafka, RegistryPort: base + portRegistry, PostgresPort: base + portPostgres, RedisPort: base + portRedis,
	})
	if err != nil {
		return err
	}
	defer func() { _ = parts.Close() }()

	d := &devPlatform{parts: parts, sandbox: "http://" + local(base+portSandbox), probes: &app.Probes{}, logFile: filepath.Join(cfg.DataDir, "dev.log")}
	if d.secrets, err = openDevSecrets(filepath.Join(cfg.DataDir, "secrets.json")); err != nil {
		return err
	}
	cfg.KafkaBrokers, cfg.RegistryURL = parts.Brokers, parts.RegistryURL
	cfg.PostgresURL, cfg.RedisURL = secret.Secret(parts.PostgresURL), secret.Secret(parts.RedisURL)
	cfg.KeysetFile = filepath.Join(cfg.DataDir, "keyset.json")
	cfg.Listen, cfg.AdminListen = local(base), local(base+portAdmin)
	cfg.AllowDial = append(cfg.AllowDial, local(base+portSandbox))
	cfg.ReplicationFactor = 1
	// The broker is this process's own, so nobody else can have the name: after a
	// kill the transactions that it left open end at once.
	cfg.Instance = "dev"
	d.cfg, d.gateway = cfg, "http://"+cfg.Listen

	log, closeLog, err := d.logger(e.err, o)
	if err != nil {
		return err
	}
	defer closeLog()
	if err := d.prepare(ctx, log); err != nil {
		return err
	}

	g, gctx := errgroup.WithContext(ctx)
	running, stop := context.WithCancel(gctx)
	d.start(running, g, log, o)
	g.Go(func() error {
		defer stop()
		if err := d.awaitReady(running); err != nil {
			return stopped(running, err)
		}
		if err := d.announce(); err != nil {
			return err
		}
		return use(running, d)
	})
	return g.Wait()
}

// prepare does what an operator does once: schema, key set, topics.
func (d *devPlatform) prepare(ctx context.Context, log *slog.Logger) error {
	if _, err := os.Stat(d.cfg.KeysetFile); errors.Is(err, os.ErrNotExist) {
		if err := secret.Create(d.cfg.KeysetFile); err != nil {
			return err
		}
	}
	db, err := openPostgres(ctx, d.cfg, 2, "migrate")
	if err != nil {
		return err
	}
	defer db.Close()
	if err := postgres.Migrate(ctx, db); err != nil {
		return err
	}
	k, err := kafkaConfig(d.cfg)
	if err != nil {
		return err
	}
	_, err = kafka.Apply(ctx, k, destinationApps(), log)
	return err
}

// start runs the sandbox, the admin server and every service.
func (d *devPlatform) start(ctx context.Context, g *errgroup.Group, log *slog.Logger, o devOptions) {
	registry := app.NewRegistry()
	g.Go(func() error {
		return runSandbox(ctx, d.cfg, d.sandboxAddr(), log.With(slog.String("service", "sandbox")))
	})
	if o.partsOnly {
		d.gateway = ""
		return
	}
	g.Go(func() error {
		return app.Serve(ctx, log, d.cfg.AdminListen, app.Admin(registry, d.probes), time.Second)
	})
	for _, s := range services() {
		g.Go(func() error {
			p, err := newProcess(s.name, d.cfg, log, registry, d.probes)
			if err != nil {
				return err
			}
			defer p.close()
			if err := s.run(ctx, p); err != nil {
				if err = stopped(ctx, err); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
			}
			return nil
		})
	}
}

func (d *devPlatform) sandboxAddr() string { return d.sandbox[len("http://"):] }

const readyTimeout = 90 * time.Second

// awaitReady waits until every probe says yes.
func (d *devPlatform) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := d.probes.Ready()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("not ready after %s, see %s:\n%w", readyTimeout, d.logFile, err)
			}
			return ctx.Err()
		}
	}
}

func (d *devPlatform) logger(stderr io.Writer, o devOptions) (*slog.Logger, func(), error) {
	if o.verbose {
		return app.NewLogger(stderr, d.cfg)
	}
	f, err := os.OpenFile(d.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	log, flush, err := app.NewLogger(f, d.cfg)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return log, func() {
		flush()
		_ = f.Close()
	}, nil
}

// environ are the variables that let services be started one by one on d's
// parts.
func (d *devPlatform) environ() [][2]string {
	return [][2]string{
		{"FLUXNEX_KAFKA_BROKERS", d.parts.Brokers[0]},
		{"FLUXNEX_SCHEMA_REGISTRY_URL", d.parts.RegistryURL},
		{"FLUXNEX_POSTGRES_URL", d.parts.PostgresURL},
		{"FLUXNEX_REDIS_URL", d.parts.RedisURL},
		{"FLUXNEX_KEYSET_FILE", d.cfg.KeysetFile},
		{"FLUXNEX_ALLOW_DIAL", d.sandboxAddr()},
		{"FLUXNEX_REPLICATION_FACTOR", "1"},
	}
}

func (d *devPlatform) describe(w io.Writer) {
	fmt.Fprintf(w, "FluxNex is up.\n\n  PostgreSQL  %s\n  Kafka       %s\n  sandbox     %s/_sandbox/\n", d.parts.PostgresKind, d.parts.Brokers[0], d.sandbox)
	if d.gateway != "" {
		fmt.Fprintf(w, "  webhooks    POST %s/webhooks/{source}/{tenant}\n  metrics     http://%s/metrics\n  log         %s\n", d.gateway, d.cfg.AdminListen, d.logFile)
	}
	fmt.Fprintln(w, "\nFor the other commands, in another terminal:")
	fmt.Fprintln(w)
	for _, kv := range d.environ() {
		fmt.Fprintf(w, "  export %s=%s\n", kv[0], kv[1])
	}
	fmt.Fprintln(w, "\nCtrl-C stops everything; data stays in "+d.cfg.DataDir)
}

func (e *environment) portBase() (int, error) {
	text, ok := e.lookup("FLUXNEX_DEV_PORT_BASE")
	if !ok || text == "" {
		return defaultPortBase, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1024 || n > 32000 {
		return 0, &usageError{fmt.Errorf("FLUXNEX_DEV_PORT_BASE: %q is not a port between 1024 and 32000", text)}
	}
	return n, nil
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// embeddedCache is where the embedded PostgreSQL's programs are kept, for all
// data directories of this user; "" lets it be a folder of the data directory.
func embeddedCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "fluxnex")
}
