package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience bounds every wait for something that must come.
const patience = 90 * time.Second

// restartAfter is the pause of the supervisor: what ends by itself is started
// again, as a cluster would do.
const restartAfter = time.Second

// process is one operating system process that can be killed, frozen and
// started again under the same addresses.
type process struct {
	name   string
	bin    string
	args   []string
	env    []string
	log    string
	web    string // base URL of what it serves
	admin  string // base URL of its probes, "" if it has none
	onExit func(name string, err error)

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
	wanted bool
}

// start is nothing where the process runs already.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
	return p.launch()
}

// launch needs the lock.
func (p *process) launch() error {
	if p.exited != nil {
		select {
		case <-p.exited:
		default:
			return nil
		}
	}
	out, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(p.bin, p.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = p.env, out, out, childAttr()
	exited := make(chan struct{})
	started := make(chan error, 1)
	go func() {
		// The parent-death signal is sent when the forking thread ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		err := cmd.Wait()
		p.mu.Lock()
		wanted := p.wanted // before those who wait may want it again
		p.mu.Unlock()
		close(exited)
		if wanted {
			p.supervise(err)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.cmd, p.exited = cmd, exited
	return nil
}

// supervise is told of a process that nobody ended.
func (p *process) supervise(err error) {
	if p.onExit != nil {
		p.onExit(p.name, err)
	}
	time.AfterFunc(restartAfter, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.wanted {
			// It is told to the log; the drain shows what it costs.
			_ = p.launch()
		}
	})
}

func (p *process) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return fmt.Errorf("%s was never started", p.name)
	}
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// end sends a signal, waits until the process is gone, and leaves it so. What
// does not go in time is killed and is an error.
func (p *process) end(s syscall.Signal, grace time.Duration) error {
	p.mu.Lock()
	p.wanted = false
	cmd, exited := p.cmd, p.exited
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-exited:
		return nil
	case <-timer.C:
		err := cmd.Process.Kill()
		<-exited
		return errors.Join(fmt.Errorf("%s did not end within %s of %s", p.name, grace, s), err)
	}
}

func (p *process) kill() error { return p.end(syscall.SIGKILL, patience) }

// ready waits until /readyz says so, and what it serves takes connections.
func (p *process) ready(ctx context.Context) error {
	if p.admin != "" {
		if err := await(ctx, p.name+" is ready", func() (bool, string) {
			status, body, err := get(ctx, p.admin+"/readyz")
			if err != nil {
				return false, err.Error() + "; the end of its log: " + tail(p.log, 3)
			}
			return status == http.StatusOK, strings.TrimSpace(body)
		}); err != nil {
			return err
		}
	}
	if p.web == "" {
		return nil
	}
	return await(ctx, p.name+" listens", func() (bool, string) {
		_, _, err := get(ctx, p.web)
		return err == nil, fmt.Sprint(err)
	})
}

// await polls until done: there is no event to wait for across processes. The
// last thing seen is in the error.
func await(ctx context.Context, what string, done func() (ok bool, saw string)) error {
	return awaitFor(ctx, patience, what, done)
}

func awaitFor(ctx context.Context, limit time.Duration, what string, done func() (ok bool, saw string)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, saw := done()
		if ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited until %s (%w); last saw: %s", what, ctx.Err(), saw)
		}
	}
}

// rest is how long a fault lasts: the duration is the fault itself here.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func get(ctx context.Context, url string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// freePort is below the ports that the system gives to outgoing connections.
// taken remembers what was handed out, because nothing listens there yet.
func (r *Rig) freePort() (int, error) {
	for range 500 {
		port := 15000 + r.ports.IntN(17000)
		if r.taken[port] {
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return 0, err
		}
		r.taken[port] = true
		return port, nil
	}
	return 0, errors.New("no free port between 15000 and 32000 on 127.0.0.1")
}

// tail is the end of a log for an error.
func tail(path string, lines int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "no log: " + err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], " | ")
}
