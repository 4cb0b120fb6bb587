package e2e_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/parts"
	"github.com/fluxnex/fluxnex/tests/torture"
)

// services in the order of a record's way.
func services() []string {
	return []string{"gateway", "replica", "normalizer", "router", "delivery", "fetcher", "console"}
}

// platform is one installation: its parts, its sandbox and its services.
type platform struct {
	dir     string
	env     []string // what every process and command gets
	redis   string
	sandbox *process
	all     map[string][]*process
	tenants []torture.Tenant
	limits  string // of the tenants' destinations, as YAML
}

// shape is what a test wants of its installation.
type shape struct {
	tenants    int                    // 0: one
	documented bool                   // the vendors' limits hold
	copies     int                    // processes of each service; 0: one
	env        []string               // further environment
	as         func([]torture.Tenant) // changes the tenants before they exist; may be nil
}

// install prepares everything and starts all services; it returns when all are
// ready. Everything ends with the test.
func install(t testing.TB, cluster parts.Cluster, s shape) *platform {
	t.Helper()
	p := prepare(t, cluster, s)
	p.startServices(t, max(s.copies, 1))
	return p
}

// prepare does all but start the services.
func prepare(t testing.TB, cluster parts.Cluster, s shape) *platform {
	t.Helper()
	p := &platform{dir: t.TempDir(), all: map[string][]*process{}, limits: unlimited, tenants: tenants(t, max(s.tenants, 1))}
	if s.documented {
		p.limits = ""
	}
	if s.as != nil {
		s.as(p.tenants)
	}
	redis, _ := parts.RedisAlone(t)
	p.redis = redis
	p.env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "FLUXNEX_") }),
		"FLUXNEX_KAFKA_BROKERS="+strings.Join(cluster.Brokers, ","),
		"FLUXNEX_SCHEMA_REGISTRY_URL="+cluster.RegistryURL,
		"FLUXNEX_TOPIC_PREFIX="+cluster.Prefix,
		"FLUXNEX_POSTGRES_URL="+parts.Postgres(t),
		"FLUXNEX_REDIS_URL="+redis,
		"FLUXNEX_KEYSET_FILE="+filepath.Join(p.dir, "keyset.json"),
		"FLUXNEX_SANDBOX_LIMITS="+map[bool]string{true: "documented", false: "off"}[s.documented],
		"FLUXNEX_LOG_LEVEL=info",
	)
	p.env = append(p.env, s.env...)
	t.Cleanup(func() { p.stop(t) })
	p.startSandbox(t)
	p.run(t, "migrate")
	p.run(t, "keyset", "create")
	p.run(t, "topics", "apply")
	p.run(t, "schemas", "register")
	p.apply(t, "tenants.yaml", p.configuration())
	return p
}

// run runs a subcommand that must succeed.
func (p *platform) run(t testing.TB, args ...string) string {
	t.Helper()
	stdout, stderr, code := command(t, p.env, args...)
	if code != 0 {
		t.Fatalf("fluxnex %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

func (p *platform) apply(t testing.TB, file, text string) {
	t.Helper()
	path := filepath.Join(p.dir, file)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.run(t, "apply", "-f", path)
}

func (p *platform) startSandbox(t testing.TB) {
	t.Helper()
	port := freePort(t)
	address := "127.0.0.1:" + strconv.Itoa(port)
	p.sandbox = &process{
		name: "sandbox", args: []string{"sandbox"}, bin: fluxnex(t),
		log: filepath.Join(p.dir, "sandbox.log"), web: "http://" + address,
		env: append(slices.Clone(p.env),
			"FLUXNEX_LISTEN="+address,
			"FLUXNEX_ADMIN_LISTEN=127.0.0.1:"+strconv.Itoa(freePort(t)),
			"FLUXNEX_DATA_DIR="+p.dir,
			"FLUXNEX_SANDBOX_SEED="+p.seedSandbox(t),
		),
	}
	p.env = append(p.env, "FLUXNEX_ALLOW_DIAL="+address)
	p.secrets()
	if err := p.sandbox.start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the sandbox answers", func() (bool, string) {
		select {
		case <-p.sandbox.gone():
			t.Fatalf("the sandbox ended: %v\n%s", p.sandbox.err, tail(p.sandbox.log, 20))
		default:
		}
		status, body, err := get(p.sandbox.web + "/_sandbox/")
		return err == nil && status == http.StatusOK, fmt.Sprint(status, " ", body, " ", err)
	})
}

// secrets puts what the declarations refer to into the environment: secrets come
// by reference only.
func (p *platform) secrets() {
	p.env = append(p.env, "E2E_SECRET="+clientSecret)
	for _, t := range p.tenants {
		p.env = append(p.env,
			"E2E_KEY_"+t.ID+"="+t.WebhookKey,
			"E2E_SIGNING_"+t.ID+"="+t.SigningSecret,
			"E2E_REFRESH_"+t.ID+"="+refreshToken(t),
			"E2E_TOKEN_"+t.ID+"="+privateToken(t))
	}
}

func (p *platform) startServices(t testing.TB, copies int) {
	t.Helper()
	for _, name := range services() {
		for i := range copies {
			if err := p.add(t, name, i).start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range services() {
		for _, s := range p.all[name] {
			s.ready(t)
		}
	}
}

// add makes one more process of a service; it is not started yet.
func (p *platform) add(t testing.TB, name string, number int) *process {
	t.Helper()
	web, admin := "127.0.0.1:"+strconv.Itoa(freePort(t)), "127.0.0.1:"+strconv.Itoa(freePort(t))
	s := &process{
		name: name + strconv.Itoa(number), args: []string{name}, bin: fluxnex(t),
		log:    filepath.Join(p.dir, name+strconv.Itoa(number)+".log"),
		web:    "http://" + web,
		serves: name == "gateway",
		admin:  "http://" + admin,
		env:    append(slices.Clone(p.env), "FLUXNEX_LISTEN="+web, "FLUXNEX_ADMIN_LISTEN="+admin, "FLUXNEX_INSTANCE="+name+strconv.Itoa(number)),
	}
	p.all[name] = append(p.all[name], s)
	return s
}

// stop ends everything, the services first, and shows the logs of a failure.
func (p *platform) stop(t testing.TB) {
	t.Helper()
	var running []*process
	for _, name := range services() {
		running = append(running, p.all[name]...)
	}
	if p.sandbox != nil {
		running = append(running, p.sandbox)
		if t.Failed() {
			p.keepLedger(t)
		}
	}
	for _, s := range running {
		if s.cmd == nil {
			continue
		}
		// A frozen process cannot end; one that is gone says so.
		_ = s.signal(syscall.SIGCONT)
		_ = s.signal(syscall.SIGTERM)
	}
	for _, s := range running {
		if s.cmd == nil {
			continue
		}
		asked := time.Now()
		if err := s.end(syscall.SIGTERM, 30*time.Second); err != nil {
			t.Errorf("stop: %v", err)
		}
		if took := time.Since(asked); took > 5*time.Second {
			t.Logf("%s ended %s after SIGTERM", s.name, took.Round(time.Millisecond))
		}
		if s.err != nil {
			t.Errorf("%s after SIGTERM: %v, want exit code 0:\n%s", s.name, s.err, complaints(s.log, 8))
		}
		if t.Failed() {
			t.Logf("%s:\n%s", s.log, complaints(s.log, 8))
		}
	}
	if t.Failed() {
		keepLogs(t, p.dir)
	}
}

// keepLogs saves the logs of a failed test where FLUXNEX_E2E_LOGS says.
func keepLogs(t testing.TB, dir string) {
	t.Helper()
	to := os.Getenv("FLUXNEX_E2E_LOGS")
	if to == "" {
		return
	}
	var logs []string
	for _, form := range []string{"*.log", "*.ndjson", "*.md"} {
		found, err := filepath.Glob(filepath.Join(dir, form))
		if err != nil {
			t.Error(err)
		}
		logs = append(logs, found...)
	}
	into := filepath.Join(to, strings.ReplaceAll(t.Name(), "/", "_"))
	if err := os.MkdirAll(into, 0o750); err != nil {
		t.Error(err)
	}
	for _, l := range logs {
		b, err := os.ReadFile(l)
		if err == nil {
			err = os.WriteFile(filepath.Join(into, filepath.Base(l)), b, 0o600)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// keepLedger puts what the destinations saw beside the logs.
func (p *platform) keepLedger(t testing.TB) {
	t.Helper()
	_, text, err := get(p.sandbox.web + "/_sandbox/ledger")
	if err == nil {
		err = os.WriteFile(filepath.Join(p.dir, "ledger.ndjson"), []byte(text), 0o600)
	}
	if err != nil {
		t.Logf("the ledger is not kept: %v", err)
	}
}

func (p *platform) gateways() []string {
	var out []string
	for _, g := range p.all["gateway"] {
		out = append(out, g.web)
	}
	return out
}

// tenants are n tenants with secrets and accounts of their own.
func tenants(t testing.TB, n int) []torture.Tenant {
	t.Helper()
	out := make([]torture.Tenant, n)
	for i := range out {
		key, signing := make([]byte, 32), make([]byte, 32)
		for _, b := range [][]byte{key, signing} {
			if _, err := rand.Read(b); err != nil {
				t.Fatal(err)
			}
		}
		out[i] = torture.Tenant{
			ID:            fmt.Sprintf("t%d", i+1),
			Slug:          fmt.Sprintf("tenant-%d", i+1),
			Organization:  torture.LongID(fmt.Sprintf("00D5g0000%06d", i+1)),
			Realm:         fmt.Sprintf("91303477981%05d", i+1),
			Portal:        fmt.Sprintf("4455%04d", i+1),
			WebhookKey:    hex.EncodeToString(key),
			SigningSecret: "whsec_" + base64.StdEncoding.EncodeToString(signing),
		}
	}
	return out
}
