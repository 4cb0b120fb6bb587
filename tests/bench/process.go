package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	readyWithin = 90 * time.Second
	endWithin   = 20 * time.Second
)

// process is one child: a service, or this program in another role.
type process struct {
	name  string
	probe string // URL that answers 200 when it is ready; "" for a role
	hello string // the line with which a role says that it is ready
	log   string
	cmd   *exec.Cmd
	done  chan struct{}
}

func start(ctx context.Context, name, log, bin string, env []string, args ...string) (*process, io.Reader, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer out.Close()
	p := &process{name: name, log: log, done: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, bin, args...)
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = endWithin
	p.cmd.Env, p.cmd.Stderr = env, out
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, stdout, nil
}

// reap waits for the child; its output must have been read to the end.
func (p *process) reap() {
	_ = p.cmd.Wait() // how it ended is in its log
	close(p.done)
}

// role starts this program in another role and waits for its first line.
func role(ctx context.Context, dir, name string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, stdout, err := start(ctx, name, filepath.Join(dir, name+".log"), self, os.Environ(), append([]string{roleFlag}, args...)...)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(stdout)
	ok := lines.Scan()
	p.hello = lines.Text()
	go func() {
		_, _ = io.Copy(io.Discard, stdout)
		p.reap()
	}()
	if !ok {
		<-p.done
		return nil, fmt.Errorf("%s did not start: %s", name, tail(p.log))
	}
	return p, nil
}

// serve starts a service and waits until it is ready.
func serve(ctx context.Context, dir, bin, name string, env []string, listen, admin string) (*process, error) {
	env = append(slices.Clip(env), "FLUXNEX_LISTEN="+listen, "FLUXNEX_ADMIN_LISTEN="+admin)
	p, stdout, err := start(ctx, name, filepath.Join(dir, name+".log"), bin, env, name)
	if err != nil {
		return nil, err
	}
	p.probe = "http://" + admin + "/readyz"
	if name == "sandbox" { // which has no listener beside its own
		p.probe = "http://" + listen + "/_sandbox/"
	}
	go func() {
		_, _ = io.Copy(io.Discard, stdout)
		p.reap()
	}()
	return p, p.ready(ctx)
}

func (p *process) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		status, body, err := get(ctx, p.probe)
		if err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready: %s", p.name, tail(p.log))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s: %s %w\n%s", p.name, readyWithin, body, errors.Join(err, ctx.Err()), tail(p.log))
		}
	}
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // one that has ended needs none
	timer := time.NewTimer(endWithin)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// command runs a subcommand of the binary to its end.
func command(ctx context.Context, bin string, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(bin), strings.Join(args, " "), err, out)
	}
	return nil
}

func get(ctx context.Context, url string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(b), err
}

func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// clockTick is USER_HZ, which Linux never changes for its own interfaces.
const clockTick = 10 * time.Millisecond

// cpu is what the process has used so far, in steps of 10 ms.
func (p *process) cpu() time.Duration {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/stat")
	if err != nil {
		return 0
	}
	// The name, in brackets, may hold blanks.
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * clockTick
}

// rss is the memory that the process holds now, in bytes.
func (p *process) rss() int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

func cpuOf(ps []*process) time.Duration {
	var sum time.Duration
	for _, p := range ps {
		sum += p.cpu()
	}
	return sum
}
