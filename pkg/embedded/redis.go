package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const redisStart, redisStop = 20 * time.Second, 5 * time.Second

// InstalledRedis starts a private redis-server that keeps nothing on disk, with
// many databases; ErrNotInstalled if there is none on this machine. dir holds
// its log.
func InstalledRedis(ctx context.Context, dir string, port int) (*Server, error) {
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("redis-server: %w", ErrNotInstalled)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		p, addr, err := bootRedis(ctx, bin, dir, port)
		if err == nil {
			return &Server{URL: "redis://" + addr, Kind: "installed redis-server", stop: func() error { return p.stop(syscall.SIGTERM, redisStop) }}, nil
		}
		if attempt >= 5 || port != 0 || ctx.Err() != nil {
			return nil, err
		}
	}
}

func bootRedis(ctx context.Context, bin, dir string, port int) (*process, string, error) {
	if port == 0 {
		var err error
		if port, err = freePort(ctx); err != nil {
			return nil, "", err
		}
	} else if err := checkPort(ctx, "Redis", port); err != nil {
		return nil, "", err
	}
	logPath := filepath.Join(dir, "redis.log")
	logFile, err := os.Create(logPath)
	if err != nil {
		return nil, "", err
	}
	defer logFile.Close()
	p, err := startProcess(account{}, syscall.SIGKILL, dir, logFile, bin, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--databases", "1024")
	if err != nil {
		return nil, "", err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if err := waitForLine(ctx, p, logPath, "Ready to accept connections", redisStart); err != nil {
		return nil, "", errors.Join(fmt.Errorf("redis-server: %w: %s", err, lastLinesOf(logPath, 3)), p.stop(syscall.SIGKILL, redisStop))
	}
	return p, addr, nil
}

// waitForLine waits until the log has the line or the process is gone. A
// connection would prove less: it may reach another process that took the port.
func waitForLine(ctx context.Context, p *process, logPath, line string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.exited:
			return errors.New("ended while starting")
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", ctx.Err())
		case <-tick.C:
			b, err := os.ReadFile(logPath)
			if err == nil && bytes.Contains(b, []byte(line)) {
				return nil
			}
		}
	}
}
