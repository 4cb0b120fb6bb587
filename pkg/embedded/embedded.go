package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Options say where the parts keep their data and listen. A port of 0 takes a
// free one, which moves at each start.
type Options struct {
	// DataDir holds everything that survives a restart; one process at a time.
	DataDir string
	// PostgresURL is a PostgreSQL that exists; "" starts a private one:
	// installed on this machine, else embedded.
	PostgresURL string
	// CacheDir keeps the embedded PostgreSQL's programs; "" is a folder in
	// DataDir.
	CacheDir                                         string
	KafkaPort, RegistryPort, PostgresPort, RedisPort int
}

// Parts are running parts.
type Parts struct {
	Brokers      []string
	RegistryURL  string
	PostgresURL  string
	PostgresKind string // for people: "given by address", "installed PostgreSQL 15"
	RedisURL     string

	closers []io.Closer // in the order of starting
}

// Start starts all parts, or none: one that cannot start is one error line
// that says what to do.
func Start(ctx context.Context, o Options) (*Parts, error) {
	if o.DataDir == "" {
		return nil, errors.New("embedded parts need a data directory")
	}
	p := &Parts{}
	if err := p.start(ctx, o); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Close stops the parts in reverse order.
func (p *Parts) Close() error {
	var errs []error
	for _, v := range slices.Backward(p.closers) {
		errs = append(errs, v.Close())
	}
	p.closers = nil
	return errors.Join(errs...)
}

func (p *Parts) start(ctx context.Context, o Options) error {
	// 0711: PostgreSQL runs under another account and must get to its folder.
	if err := os.MkdirAll(o.DataDir, 0o711); err != nil { //nolint:gosec // folders below are 0700
		return fmt.Errorf("data directory: %w", err)
	}
	lock, err := lockDir(o.DataDir)
	if err != nil {
		return err
	}
	p.closers = append(p.closers, lock)

	broker, err := StartBroker(ctx, filepath.Join(o.DataDir, "kafka"), o.KafkaPort)
	if err != nil {
		return err
	}
	p.closers, p.Brokers = append(p.closers, broker), broker.Addrs

	registry, err := StartRegistry(ctx, filepath.Join(o.DataDir, "registry", "schemas.json"), o.RegistryPort)
	if err != nil {
		return err
	}
	p.closers, p.RegistryURL = append(p.closers, registry), registry.URL

	redis, err := StartRedis(ctx, o.RedisPort)
	if err != nil {
		return err
	}
	p.closers, p.RedisURL = append(p.closers, redis), redis.URL

	if o.PostgresURL != "" {
		p.PostgresURL, p.PostgresKind = o.PostgresURL, "given by address"
		return nil
	}
	cache := o.CacheDir
	if cache == "" {
		cache = filepath.Join(o.DataDir, "cache")
	}
	pg, err := LocalPostgres(ctx, cache, PostgresOptions{Dir: filepath.Join(o.DataDir, "postgres"), Port: o.PostgresPort})
	if err != nil {
		return err
	}
	p.closers, p.PostgresURL, p.PostgresKind = append(p.closers, pg), pg.URL, pg.Kind
	return nil
}

// LocalPostgres starts a private PostgreSQL: the installed one, else the
// embedded one, whose programs are kept in cache. A folder that has data is
// opened by the version that made it.
func LocalPostgres(ctx context.Context, cache string, o PostgresOptions) (*Server, error) {
	as := serverAccount()
	asked := o.Dir
	var err error
	if o.Dir, err = as.place(o.Dir); err != nil {
		return nil, fmt.Errorf("PostgreSQL folder: %w", err)
	}
	if cache, err = filepath.Abs(cache); err != nil {
		return nil, err
	}
	if !as.reaches(cache) {
		cache = filepath.Join(systemDir, "cache")
	}
	s, err := localPostgres(ctx, cache, o)
	if err == nil && filepath.Base(asked) != filepath.Base(o.Dir) {
		s.Kind += ", data in " + o.Dir
	}
	return s, err
}

func localPostgres(ctx context.Context, cache string, o PostgresOptions) (*Server, error) {
	major, err := clusterMajor(o.Dir)
	if err != nil {
		return nil, err
	}
	if bin, err := postgresBinaries(major); err == nil {
		return startPostgres(ctx, bin, "installed PostgreSQL", o)
	}
	if major != "" && major != embeddedMajor {
		return nil, fmt.Errorf("the data in %s were made by PostgreSQL %s, which is no longer installed: install postgresql-%s, or move the data directory away to begin anew", o.Dir, major, major)
	}
	bin, err := embeddedBinaries(ctx, cache)
	if err != nil {
		return nil, err
	}
	return startPostgres(ctx, bin, "embedded PostgreSQL", o)
}

// clusterMajor is the version that made the data; "" if there are none.
func clusterMajor(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "data", "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("PostgreSQL folder: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// lockDir takes the data directory for this process; the system gives it back
// when the process ends in any way.
func lockDir(dir string) (io.Closer, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid, _ := io.ReadAll(io.LimitReader(f, 32))
		_ = f.Close()
		return nil, fmt.Errorf("another fluxnex (process %s) runs on %s: stop it, or choose another folder with FLUXNEX_DATA_DIR", strings.TrimSpace(string(pid)), dir)
	}
	if err := errors.Join(f.Truncate(0), writePID(f)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func writePID(f *os.File) error {
	_, err := fmt.Fprintf(f, "%d\n", os.Getpid())
	return err
}
