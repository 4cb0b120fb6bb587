package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// patience bounds every wait for something that must come.
const patience = 90 * time.Second

var binary struct {
	sync.Once
	path string
	err  error
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(brokerDir); dir != "" {
		os.Exit(serveBroker(dir, os.Getenv(brokerPort)))
	}
	code := m.Run()
	if binary.path != "" {
		// What cannot be removed is in the system's temporary folder.
		_ = os.RemoveAll(filepath.Dir(binary.path))
	}
	os.Exit(code)
}

// fluxnex is the path of the binary under test: FLUXNEX_TEST_BINARY, or this
// tree's, built once.
func fluxnex(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("FLUXNEX_TEST_BINARY"); path != "" {
		return path
	}
	binary.Do(func() {
		dir, err := os.MkdirTemp("", "fluxnex-e2e-")
		if err != nil {
			binary.err = err
			return
		}
		binary.path = filepath.Join(dir, "fluxnex")
		out, err := exec.Command("go", "build", "-o", binary.path, "../../cmd/fluxnex").CombinedOutput()
		if err != nil {
			binary.err = fmt.Errorf("build cmd/fluxnex: %w\n%s", err, out)
		}
	})
	if binary.err != nil {
		t.Fatal(binary.err)
	}
	return binary.path
}

// process is one service process that can be killed, frozen and started again
// with the same addresses.
type process struct {
	name   string
	args   []string
	env    []string
	bin    string
	log    string
	web    string // base URL of what it serves
	serves bool   // whether it serves anything there
	admin  string // base URL of its probes and metrics, "" if it has none

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
	err    error
}

func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
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
		p.err = err
		p.mu.Unlock()
		close(exited)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.cmd, p.exited = cmd, exited
	return nil
}

func (p *process) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return fmt.Errorf("%s was never started", p.name)
	}
	return p.cmd.Process.Signal(s)
}

// gone is closed when the process has ended.
func (p *process) gone() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exited
}

// end sends a signal and waits; what does not go in time is killed.
func (p *process) end(s syscall.Signal, grace time.Duration) error {
	if err := p.signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.gone():
		return nil
	case <-timer.C:
		err := p.signal(syscall.SIGKILL)
		<-p.gone()
		return errors.Join(fmt.Errorf("%s did not end within %s of %s", p.name, grace, s), err)
	}
}

// victim is the process as a nemesis sees it.
func (p *process) victim() torture.Victim {
	return torture.Victim{
		Name:   p.name,
		Kill:   func() error { return p.end(syscall.SIGKILL, patience) },
		Start:  p.start,
		Freeze: func() error { return p.signal(syscall.SIGSTOP) },
		Thaw:   func() error { return p.signal(syscall.SIGCONT) },
	}
}

// ready waits until /readyz says so.
func (p *process) ready(t testing.TB) {
	t.Helper()
	if p.admin == "" {
		return
	}
	last := ""
	await(t, p.name+" is ready", func() (bool, string) {
		select {
		case <-p.gone():
			t.Fatalf("%s ended before it was ready: %v\n%s", p.name, p.err, tail(p.log, 20))
		default:
		}
		status, body, err := get(p.admin + "/readyz")
		if err != nil {
			return false, err.Error()
		}
		last = strings.TrimSpace(body)
		return status == http.StatusOK, last
	})
	if p.serves {
		// It is ready a moment before it listens.
		await(t, p.name+" listens", func() (bool, string) {
			_, _, err := get(p.web)
			return err == nil, fmt.Sprint(err)
		})
	}
}

// await polls until done; there is no event to wait for across processes. The
// last thing seen is in the failure.
func await(t testing.TB, what string, done func() (ok bool, saw string)) {
	t.Helper()
	awaitFor(t, patience, what, done)
}

func awaitFor(t testing.TB, limit time.Duration, what string, done func() (ok bool, saw string)) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		ok, saw := done()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited %s until %s; last saw: %s", limit, what, saw)
		case <-t.Context().Done():
			t.Fatalf("the test ended before %s; last saw: %s", what, saw)
		}
	}
}

var plain = &http.Client{Timeout: 30 * time.Second}

// doHeader sends a request of a test's own making.
func doHeader(t testing.TB, req *http.Request) (status int, header http.Header, body string) {
	t.Helper()
	resp, err := plain.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

func get(url string) (status int, body string, err error) {
	resp, err := plain.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// handedOut are ports that a process may not have taken yet.
var handedOut sync.Map

// freePort is below the ports that the system gives to outgoing connections,
// and never the same one twice.
func freePort(t testing.TB) int {
	t.Helper()
	for range 200 {
		port := 15000 + rand.IntN(17000)
		if _, twice := handedOut.LoadOrStore(port, true); twice {
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return port
		}
	}
	t.Fatal("no free port between 15000 and 32000 on 127.0.0.1")
	return 0
}

// command runs a subcommand to its end and returns what it printed and its exit
// code.
func command(t testing.TB, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, fluxnex(t), args...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run fluxnex %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// tail is the end of a log for a failure.
func tail(path string, lines int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "no log: " + err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}

// complaints are the last lines of a log that are more than information.
func complaints(path string, lines int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "no log: " + err.Error()
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if !strings.Contains(line, `"level":"INFO"`) {
			out = append(out, line)
		}
	}
	return strings.Join(out[max(0, len(out)-lines):], "")
}
