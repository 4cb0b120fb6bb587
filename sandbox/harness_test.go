package sandbox_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/sandbox"
	"github.com/fluxnex/fluxnex/sandbox/ledger"
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) Advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

// bed is a sandbox with a client for each vendor.
type bed struct {
	t      testing.TB
	url    string
	clock  *clock
	qbo    string // QuickBooks access token
	server *sandbox.Server
}

func start(t testing.TB, cfg sandbox.Config) *bed {
	t.Helper()
	c := &clock{now: time.Date(2026, 11, 24, 18, 0, 0, 0, time.UTC)}
	cfg.Clock = c.Now
	if cfg.Limits == "" {
		cfg.Limits = "off"
	}
	s, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	b := &bed{t: t, url: srv.URL, clock: c, server: s}
	b.qbo = b.authorize("quickbooks", sandbox.ExampleRealm)
	return b
}

func (b *bed) authorize(app, account string) string {
	b.t.Helper()
	_, body := b.call(http.MethodPost, "/_sandbox/"+app+"/"+account+"/authorize", "", nil)
	var tokens []struct {
		Access string `json:"access_token"`
	}
	b.decode(body, &tokens)
	return tokens[0].Access
}

func (b *bed) decode(body []byte, v any) {
	b.t.Helper()
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(v); err != nil {
		b.t.Fatalf("not JSON (%v): %s", err, body)
	}
}

// try sends one request; a body that is no []byte or string goes as JSON.
func (b *bed) try(method, path, token string, body any) (*http.Response, []byte, error) {
	var in io.Reader
	switch v := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(v)
	default:
		raw, err := json.Marshal(v)
		if err != nil {
			b.t.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, in)
	if err != nil {
		b.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	out, err := io.ReadAll(res.Body)
	return res, out, err
}

func (b *bed) call(method, path, token string, body any) (*http.Response, []byte) {
	b.t.Helper()
	res, out, err := b.try(method, path, token, body)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return res, out
}

// must is call that wants a status and decodes the answer.
func (b *bed) must(status int, method, path, token string, body any) map[string]any {
	b.t.Helper()
	res, out := b.call(method, path, token, body)
	if res.StatusCode != status {
		b.t.Fatalf("%s %s: status %d, want %d: %s", method, path, res.StatusCode, status, out)
	}
	if len(out) == 0 {
		return nil
	}
	var v any
	b.decode(out, &v)
	m, ok := v.(map[string]any)
	if !ok {
		return map[string]any{"list": v}
	}
	return m
}

type object = map[string]any

// qb calls the example company.
func (b *bed) qb(status int, method, path string, body any) map[string]any {
	b.t.Helper()
	return b.must(status, method, "/v3/company/"+sandbox.ExampleRealm+"/"+path, b.qbo, body)
}

func (b *bed) create(entity string, body object) object {
	b.t.Helper()
	return b.qb(200, http.MethodPost, strings.ToLower(entity), body)[entity].(object)
}

func (b *bed) query(q string) object {
	b.t.Helper()
	return b.qb(200, http.MethodGet, "query?query="+url.QueryEscape(q), nil)["QueryResponse"].(object)
}

// faultOf is the code and detail of the first error of a Fault.
func faultOf(t testing.TB, body object) (code, detail string) {
	t.Helper()
	f, ok := body["Fault"].(object)
	if !ok {
		t.Fatalf("no Fault in %v", body)
	}
	first := f["Error"].([]any)[0].(object)
	return first["code"].(string), first["Detail"].(string)
}

func (b *bed) refused(code, method, path string, body any) string {
	b.t.Helper()
	got, detail := faultOf(b.t, b.qb(400, method, path, body))
	if got != code {
		b.t.Errorf("%s %s: fault %s (%s), want %s", method, path, got, detail, code)
	}
	return detail
}

// hs calls the example portal as its private app.
func (b *bed) hs(status int, method, path string, body any) map[string]any {
	b.t.Helper()
	return b.must(status, method, path, sandbox.ExampleHubSpotPrivateToken, body)
}

func (b *bed) ledger(query string) []ledger.Entry {
	b.t.Helper()
	_, body := b.call(http.MethodGet, "/_sandbox/ledger?"+query, "", nil)
	var out []ledger.Entry
	dec := json.NewDecoder(bytes.NewReader(body))
	for dec.More() {
		var e ledger.Entry
		if err := dec.Decode(&e); err != nil {
			b.t.Fatalf("ledger: %v in %s", err, body)
		}
		out = append(out, e)
	}
	return out
}

func (b *bed) script(rules ...object) {
	b.t.Helper()
	b.must(201, http.MethodPost, "/_sandbox/faults", "", rules)
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	var cfg net.ListenConfig
	l, err := cfg.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// sample reads a real answer; the test is skipped where they are not at hand.
func sample(t testing.TB, path string) object {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "shared", "samples", path))
	if err != nil {
		t.Skipf("the samples are not here: %v", err)
	}
	var v object
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// sameKeys compares which keys two objects have, but for those left out.
func sameKeys(t testing.TB, what string, got, want object, except ...string) {
	t.Helper()
	for k := range want {
		if _, ok := got[k]; !ok && !slices.Contains(except, k) {
			t.Errorf("%s lacks %q, which the real answer has; got %v", what, k, got)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok && !slices.Contains(except, k) {
			t.Errorf("%s has %q, which the real answer has not", what, k)
		}
	}
}
