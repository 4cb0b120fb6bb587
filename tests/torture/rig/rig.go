package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// Config is one run.
type Config struct {
	Binary   string // fluxnex, the binary under test
	Self     string // the torture command, which is broker and registry too; "" is this program
	Root     string // of the repository, for tools/parts; used with a real broker only
	Broker   Broker
	Seed     uint64 // of the load and of the faults
	Events   int    // notifications, about
	Tenants  int
	Copies   int           // processes of each service
	Duration time.Duration // over which load and faults are spread
	KillMean time.Duration // between two kills of F1
	// Faults by their names of reliability.md §3; nil is all that can be done to
	// these parts.
	Faults []string
	// Drain bounds the wait for quiet after the faults.
	Drain time.Duration
	// Settle bounds the wait for views, notifications and groups after the last
	// write, and with a third more for another write; 0 is a minute and a half.
	Settle time.Duration
	Env    []string // further environment of every service
	Keep   string   // folder for logs, ledger and intents of a wrong run; "" keeps none
	Log    *slog.Logger

	crash bool // every process is armed with the crash points of its service
}

// Rig is one installation: parts, sandbox, services.
type Rig struct {
	cfg     Config
	dir     string
	ports   *rand.Rand
	taken   map[int]bool
	parts   parts
	env     []string // what every process and command gets
	sandbox *process
	all     map[string][]*process
	tenants []torture.Tenant

	mu         sync.Mutex
	deeds      []torture.Deed
	exits      map[string]int // of processes that nobody ended
	complaints []string
	injected   poisoned
	portions   int
	extra      func(ctx context.Context) error // done beside the schedule
	outside    string                          // where the services find the vendors
	brokerDown sync.Mutex                      // one fault of the broker's process at a time
	revoked    []torture.Revocation
	outages    []outage
	burst      *torture.Load // what F17 sends
	burstSum   torture.Summary
	traffic    chan struct{} // if set: a load that lasts until it is closed
}

// services in the order of a record's way.
func services() []string {
	return []string{"gateway", "replica", "normalizer", "router", "delivery", "fetcher", "console"}
}

// install starts everything and returns when all is ready.
func install(ctx context.Context, cfg Config) (*Rig, error) {
	if cfg.Settle == 0 {
		cfg.Settle = patience
	}
	if err := cfg.known(); err != nil {
		return nil, err
	}
	// The name under which tools/parts finds what a killed run left behind.
	dir, err := os.MkdirTemp("", fmt.Sprintf("fluxnex-run-%d.torture-", os.Getpid()))
	if err != nil {
		return nil, err
	}
	// PostgreSQL runs under another account and must get through.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	r := &Rig{
		cfg: cfg, dir: dir, taken: map[int]bool{}, all: map[string][]*process{}, exits: map[string]int{},
		ports: rand.New(rand.NewPCG(rand.Uint64(), 0)),
	}
	if err := r.prepare(ctx); err != nil {
		return nil, errors.Join(err, r.stop(true))
	}
	return r, nil
}

func (r *Rig) prepare(ctx context.Context) error {
	var err error
	if r.tenants, err = newTenants(r.cfg.Tenants); err != nil {
		return err
	}
	r.cfg.Log.Info("starting the parts", slog.String("broker", r.cfg.Broker.Kind), slog.String("folder", r.dir))
	if err := r.startParts(ctx); err != nil {
		return err
	}
	prefix := r.cfg.Broker.Prefix
	if prefix == "" {
		prefix = "torture"
	}
	r.env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "FLUXNEX_") }),
		"FLUXNEX_KAFKA_BROKERS="+r.parts.brokers,
		"FLUXNEX_SCHEMA_REGISTRY_URL="+r.parts.registryURL,
		"FLUXNEX_TOPIC_PREFIX="+prefix,
		"FLUXNEX_POSTGRES_URL="+r.parts.postgresURL,
		"FLUXNEX_REDIS_URL="+r.parts.redisURL,
		"FLUXNEX_KEYSET_FILE="+filepath.Join(r.dir, "keyset.json"),
		"FLUXNEX_SANDBOX_LIMITS=off",
	)
	for _, p := range r.cfg.provoked() {
		r.env = append(r.env, p.env...)
	}
	r.env = append(r.env, r.cfg.Env...)
	if err := r.startSandbox(ctx); err != nil {
		return err
	}
	if _, err := r.run(ctx, "keyset", "create"); err != nil {
		return err
	}
	for _, args := range [][]string{{"migrate"}, {"topics", "apply"}, {"schemas", "register"}} {
		// A part that has just been started may not be quick enough yet.
		err := await(ctx, "fluxnex "+strings.Join(args, " ")+" is done", func() (bool, string) {
			_, err := r.run(ctx, args...)
			return err == nil, fmt.Sprint(err)
		})
		if err != nil {
			return err
		}
	}
	path := filepath.Join(r.dir, "tenants.yaml")
	if err := os.WriteFile(path, []byte(r.declarations()), 0o600); err != nil {
		return err
	}
	if _, err := r.run(ctx, "apply", "-f", path); err != nil {
		return err
	}
	return r.startServices(ctx)
}

func (r *Rig) startServices(ctx context.Context) error {
	r.cfg.Log.Info("starting the services", slog.Int("processes", r.cfg.Copies*len(services())))
	for _, name := range services() {
		for i := range r.cfg.Copies {
			p, err := r.newService(name, strconv.Itoa(i))
			if err != nil {
				return err
			}
			r.all[name] = append(r.all[name], p)
			if err := p.start(); err != nil {
				return err
			}
		}
	}
	for _, name := range services() {
		for _, p := range r.all[name] {
			if err := p.ready(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// newService is one more process of a service; it is not started.
func (r *Rig) newService(name, number string) (*process, error) {
	web, err := r.freePort()
	if err != nil {
		return nil, err
	}
	admin, err := r.freePort()
	if err != nil {
		return nil, err
	}
	listen, adminListen := "127.0.0.1:"+strconv.Itoa(web), "127.0.0.1:"+strconv.Itoa(admin)
	p := &process{
		name: name + number, bin: r.cfg.Binary, args: []string{name}, log: filepath.Join(r.dir, name+number+".log"),
		admin: "http://" + adminListen, onExit: r.exitedByItself,
		env: append(slices.Clone(r.env), "FLUXNEX_LISTEN="+listen, "FLUXNEX_ADMIN_LISTEN="+adminListen, "FLUXNEX_INSTANCE="+name+number),
	}
	armed, err := r.ambush(name)
	if r.cfg.crash {
		armed, err = r.armed(name, crashPoints()[name])
	}
	if err != nil {
		return nil, err
	}
	p.env = append(p.env, armed...)
	if name == "gateway" {
		p.web = "http://" + listen
	}
	return p, nil
}

func (r *Rig) startSandbox(ctx context.Context) error {
	port, err := r.freePort()
	if err != nil {
		return err
	}
	admin, err := r.freePort()
	if err != nil {
		return err
	}
	seed, err := r.sandboxSeed()
	if err != nil {
		return err
	}
	listen := "127.0.0.1:" + strconv.Itoa(port)
	outside, err := r.proxied("destinations", listen)
	if err != nil {
		return err
	}
	r.outside = "http://" + outside
	r.env = append(r.env, "FLUXNEX_ALLOW_DIAL="+outside)
	r.secrets()
	r.sandbox = &process{
		name: "sandbox", bin: r.cfg.Binary, args: []string{"sandbox"}, log: filepath.Join(r.dir, "sandbox.log"),
		web: "http://" + listen, onExit: r.exitedByItself,
		env: append(slices.Clone(r.env), "FLUXNEX_LISTEN="+listen, "FLUXNEX_ADMIN_LISTEN=127.0.0.1:"+strconv.Itoa(admin),
			"FLUXNEX_DATA_DIR="+r.dir, "FLUXNEX_SANDBOX_SEED="+seed),
	}
	if err := r.sandbox.start(); err != nil {
		return err
	}
	if err := r.sandbox.ready(ctx); err != nil {
		return err
	}
	// An invoice's total tells its state, as an account's name does.
	_, err = r.ask(ctx, http.MethodPut, "/_sandbox/markers", map[string]string{"quickbooks/Invoice": "TotalAmt"})
	return err
}

// run runs a subcommand that must succeed.
func (r *Rig) run(ctx context.Context, args ...string) (string, error) {
	return r.runIn(ctx, r.env, args...)
}

func (r *Rig) runIn(ctx context.Context, env []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.cfg.Binary, args...)
	var errs bytes.Buffer
	cmd.Env, cmd.Stderr = env, &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("fluxnex %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return string(out), nil
}

// ask calls the sandbox's own interface.
func (r *Rig) ask(ctx context.Context, method, path string, body any) (string, error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return "", err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.sandbox.web+path, in)
	if err != nil {
		return "", err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("sandbox %s %s: %w; its log ends: %s", method, path, err, tail(r.sandbox.log, 3))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode/100 != 2 {
		return "", fmt.Errorf("sandbox %s %s: %s: %s", method, path, resp.Status, answer)
	}
	return string(answer), nil
}

// note writes a deed down.
func (r *Rig) note(what, victim string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deeds = append(r.deeds, torture.Deed{At: time.Now(), What: what, Victim: victim})
	r.cfg.Log.Info("fault", slog.String("what", what), slog.String("victim", victim))
}

func (r *Rig) exitedByItself(name string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exits[name]++
	r.cfg.Log.Warn("a process ended by itself and is started again", slog.String("process", name), slog.Any("error", err))
}

func (r *Rig) gateways() []string {
	var out []string
	for _, p := range r.all["gateway"] {
		out = append(out, p.web)
	}
	return out
}

// stop ends everything, the services first. What a wrong run leaves is kept
// where the configuration says.
func (r *Rig) stop(wrong bool) error {
	var running []*process
	for _, name := range services() {
		running = append(running, r.all[name]...)
	}
	if r.sandbox != nil {
		running = append(running, r.sandbox)
	}
	var wg sync.WaitGroup
	errs := make([]error, len(running))
	for i, p := range running {
		wg.Go(func() {
			_ = p.signal(syscall.SIGCONT) // a frozen one cannot end; one never started says so
			errs[i] = p.end(syscall.SIGTERM, 30*time.Second)
		})
	}
	wg.Wait()
	errs = append(errs, r.stopParts())
	if wrong && r.cfg.Keep != "" {
		errs = append(errs, r.keep())
	}
	return errors.Join(append(errs, os.RemoveAll(r.dir))...)
}

func (r *Rig) keep() error {
	if err := os.MkdirAll(r.cfg.Keep, 0o750); err != nil {
		return err
	}
	var errs []error
	for _, form := range []string{"*.log", "*.ndjson", "*.yaml"} {
		files, err := filepath.Glob(filepath.Join(r.dir, form))
		errs = append(errs, err)
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err == nil {
				err = os.WriteFile(filepath.Join(r.cfg.Keep, filepath.Base(f)), b, 0o600)
			}
			errs = append(errs, err)
		}
	}
	r.cfg.Log.Info("kept logs, ledger and intents", slog.String("folder", r.cfg.Keep))
	return errors.Join(errs...)
}
