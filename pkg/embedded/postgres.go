package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrNotInstalled reports that the machine has no server binary of a part.
var ErrNotInstalled = errors.New("not installed")

// Server is a running part: its address and what it is.
type Server struct {
	URL string
	// Kind says where it came from, for people: "installed PostgreSQL 15".
	Kind string
	stop func() error
}

// Close stops the part and keeps its data.
func (s *Server) Close() error { return s.stop() }

// PostgresOptions are the choices for a private PostgreSQL.
type PostgresOptions struct {
	Dir  string // kept between starts
	Port int    // 0 takes a free one
	// Volatile trades durability for speed (fsync off): tests only.
	Volatile bool
}

const (
	postgresUser  = "fluxnex"
	postgresStart = 60 * time.Second
	postgresStop  = 20 * time.Second
)

// InstalledPostgres starts a private instance of the newest PostgreSQL that is
// installed on this machine; ErrNotInstalled if there is none.
func InstalledPostgres(ctx context.Context, o PostgresOptions) (*Server, error) {
	bin, err := postgresBinaries("")
	if err != nil {
		return nil, err
	}
	return startPostgres(ctx, bin, "installed PostgreSQL", o)
}

// postgresBinaries finds the folder with initdb and postgres of a major
// version; "" takes the newest.
func postgresBinaries(major string) (string, error) {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is constant, so the error cannot be
	slices.SortFunc(dirs, func(a, b string) int { return majorOf(b) - majorOf(a) })
	if p, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	for _, d := range dirs {
		if major != "" && filepath.Base(filepath.Dir(d)) != major {
			continue
		}
		if isFile(filepath.Join(d, "postgres")) && isFile(filepath.Join(d, "initdb")) {
			return d, nil
		}
	}
	return "", fmt.Errorf("PostgreSQL: %w", ErrNotInstalled)
}

func majorOf(binDir string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(binDir)))
	if err != nil {
		return 0
	}
	return n
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && !st.IsDir()
}

// startPostgres runs the server of bin on o.Dir, making the cluster first
// where there is none.
func startPostgres(ctx context.Context, bin, kind string, o PostgresOptions) (*Server, error) {
	as := serverAccount()
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := as.own(dir, 0o700); err != nil {
		return nil, fmt.Errorf("PostgreSQL folder: %w", err)
	}
	password, err := initCluster(ctx, as, bin, dir, o.Volatile)
	if err != nil {
		return nil, err
	}
	port := o.Port
	for attempt := 1; ; attempt++ {
		if o.Port == 0 {
			if port, err = freePort(ctx); err != nil {
				return nil, err
			}
		} else if err := checkPort(ctx, "PostgreSQL", port); err != nil {
			return nil, err
		}
		p, err := bootPostgres(ctx, as, bin, dir, port, o.Volatile)
		if err == nil {
			u := url.URL{Scheme: "postgres", User: url.UserPassword(postgresUser, password), Host: "127.0.0.1:" + strconv.Itoa(port), Path: "/postgres", RawQuery: "sslmode=disable"}
			version, _ := os.ReadFile(filepath.Join(dir, "data", "PG_VERSION"))
			return &Server{URL: u.String(), Kind: kind + " " + strings.TrimSpace(string(version)), stop: func() error { return p.stop(syscall.SIGINT, postgresStop) }}, nil
		}
		if attempt >= 5 || ctx.Err() != nil {
			return nil, err
		}
	}
}

// initCluster makes the cluster once and returns its superuser's password. A
// folder that initdb did not finish is made again: initdb is finished when the
// password file has its final name.
func initCluster(ctx context.Context, as account, bin, dir string, volatile bool) (string, error) {
	final := filepath.Join(dir, "password")
	if b, err := os.ReadFile(final); err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
		return "", err
	}
	password := rand.Text()
	draft := final + ".new"
	if err := os.WriteFile(draft, []byte(password+"\n"), 0o600); err != nil {
		return "", err
	}
	if err := as.ownFile(draft); err != nil {
		return "", err
	}
	args := []string{"-D", filepath.Join(dir, "data"), "-U", postgresUser, "--auth=scram-sha-256", "--pwfile=" + draft, "-E", "UTF8", "--locale=C.UTF-8"}
	if volatile {
		args = append(args, "--no-sync")
	}
	if err := run(ctx, as, dir, filepath.Join(bin, "initdb"), args...); err != nil {
		return "", fmt.Errorf("make a PostgreSQL cluster in %s: %w", dir, err)
	}
	return password, os.Rename(draft, final)
}

// bootPostgres starts the postmaster and waits until it takes connections,
// which it says in its pid file.
func bootPostgres(ctx context.Context, as account, bin, dir string, port int, volatile bool) (*process, error) {
	logPath := filepath.Join(dir, "postgres.log")
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	args := []string{"-D", filepath.Join(dir, "data"), "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200", "-c", "shared_buffers=64MB"}
	if volatile {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	// SIGQUIT: when we are killed, the server ends at once, as after a crash,
	// and recovers from its log at the next start.
	p, err := startProcess(as, syscall.SIGQUIT, dir, logFile, filepath.Join(bin, "postgres"), args...)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(postgresStart)
	defer deadline.Stop()
	for {
		select {
		case <-p.exited:
			return nil, fmt.Errorf("PostgreSQL ended while starting: %s", lastLinesOf(logPath, 4))
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), p.stop(syscall.SIGQUIT, postgresStop))
		case <-deadline.C:
			return nil, errors.Join(fmt.Errorf("PostgreSQL was not ready after %s: %s", postgresStart, lastLinesOf(logPath, 4)), p.stop(syscall.SIGQUIT, postgresStop))
		case <-tick.C:
			if postmasterReady(filepath.Join(dir, "data", "postmaster.pid"), p.cmd.Process.Pid) {
				return p, nil
			}
		}
	}
}

// postmasterReady reads the pid file: line 1 is the pid, line 8 the status.
func postmasterReady(path string, pid int) bool {
	b, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	lines := strings.Split(string(b), "\n")
	return len(lines) >= 8 && lines[0] == strconv.Itoa(pid) && strings.TrimSpace(lines[7]) == "ready"
}
