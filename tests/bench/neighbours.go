package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// Of a hundred tenants with a company each, one company hangs in every call,
// and of all records one in twenty is an invoice whose load the source cannot
// give now.
const (
	tenants       = 100
	deadTenant    = 0
	waitingShare  = 20 // one in so many
	neighbourRate = 200
)

// neighbour is one of the tenants.
type neighbour struct{ id, slug, org, realm string }

func neighbourOf(n int) neighbour {
	return neighbour{
		id: fmt.Sprintf("n%03d", n), slug: fmt.Sprintf("neighbour-%03d", n),
		org: torture.LongID(fmt.Sprintf("00D5g0000%06d", 900+n)), realm: fmt.Sprintf("91303477989%05d", n),
	}
}

func (n neighbour) declaration(sandbox string) string {
	return fmt.Sprintf(`---
kind: Tenant
id: %[1]s
slug: %[2]s
name: %[2]s
limits: {webhooks_per_second: 5000}
---
kind: Connection
tenant: %[1]s
name: Revenova
app: revenova
base_url: %[5]s
remote_account: %[3]s
auth: {kind: client_credentials, token_url: "%[5]s/services/oauth2/token", client_id: sf-%[1]s, client_secret: {env: BENCH_SECRET}}
webhook:
  organization: %[3]s
  secrets: [{env: BENCH_KEY}]
  signing_secrets: [{env: BENCH_SIGNING}]
settings: {vendor_types: [Carrier, Vendor], time_zone: America/Chicago}
---
kind: Connection
tenant: %[1]s
name: Books
app: quickbooks
base_url: %[5]s
remote_account: "%[4]s"
auth: {kind: refresh_token, token_url: "%[5]s/oauth2/v1/tokens/bearer", client_id: qb-%[1]s, client_secret: {env: BENCH_SECRET}, refresh_token: {env: BENCH_REFRESH_%[1]s}}
settings: {home_currency: USD, item_ref: {default: "1"}, expense_account_ref: "3"}
limits: {per_second: 5000, per_minute: 300000, in_flight: 64}
---
kind: Route
tenant: %[1]s
entity: TMS_VENDOR
target: Books
---
kind: Route
tenant: %[1]s
entity: TMS_INVOICE
target: Books
`, n.id, n.slug, n.org, n.realm, sandbox)
}

// sandboxSeed writes the accounts that the sandbox is started with.
func sandboxSeed(path string) error {
	var qb, sf []map[string]any
	for i := range tenants {
		n := neighbourOf(i)
		qb = append(qb, map[string]any{"realm": n.realm, "name": n.slug, "tenant": n.id, "grants": []any{map[string]string{"client_id": "qb-" + n.id, "client_secret": "benchmark", "refresh_token": "refresh-" + n.id}}})
		sf = append(sf, map[string]any{"id": n.org, "name": n.slug, "tenant": n.id, "grants": []any{map[string]string{"client_id": "sf-" + n.id, "client_secret": "benchmark"}}})
	}
	b, err := json.Marshal(map[string]any{"quickbooks": qb, "salesforce": sf})
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// street is where the neighbours live: the platform, whole, and its sandbox.
type street struct {
	b       *bench
	p       *platform
	sandbox string
	first   int // number of the next account
	since   int64
}

// neighbours measures the healthy tenants' time from webhook to destination
// alone, and beside a dead destination and waiting records, by turns.
func (b *bench) neighbours(ctx context.Context, c cluster, dir, postgresURL string) (*result, error) {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, err
	}
	seed := filepath.Join(dir, "accounts.json")
	if err := sandboxSeed(seed); err != nil {
		return nil, err
	}
	listen, admin, err := twoAddresses(ctx)
	if err != nil {
		return nil, err
	}
	sb, err := serve(ctx, dir, b.bin, "sandbox", append(os.Environ(), "FLUXNEX_SANDBOX_LIMITS=off", "FLUXNEX_SANDBOX_SEED="+seed, "FLUXNEX_DATA_DIR="+dir), listen, admin)
	if err != nil {
		return nil, err
	}
	defer sb.stop()
	s := &street{b: b, sandbox: "http://" + listen}
	var config strings.Builder
	env := []string{"FLUXNEX_ALLOW_DIAL=" + listen}
	for i := range tenants {
		n := neighbourOf(i)
		config.WriteString(n.declaration(s.sandbox))
		env = append(env, "BENCH_REFRESH_"+n.id+"=refresh-"+n.id)
	}
	s.p, err = install(ctx, c, dir, b.bin, postgresURL, shape{config: config.String(), env: env},
		"gateway", "replica", "normalizer", "router", "delivery", "fetcher")
	if err != nil {
		return nil, err
	}
	defer s.p.close()
	if _, err := s.ask(ctx, http.MethodPut, "/_sandbox/markers", map[string]string{"quickbooks/Vendor": "DisplayName"}); err != nil {
		return nil, err
	}
	res := &result{Name: fmt.Sprintf("webhook → destination, healthy tenants, p99: 1 of %d destinations dead and 1 in %d records waiting, over without", tenants, waitingShare), On: c.Name, Unit: "ms"}
	for i := range b.pairs + 1 {
		h := look(ctx)
		if err := s.calm(ctx); err != nil {
			return nil, err
		}
		quiet, err := s.phase(ctx, false)
		if err != nil {
			return nil, fmt.Errorf("quiet: %w", err)
		}
		if err := s.trouble(ctx); err != nil {
			return nil, err
		}
		beside, err := s.phase(ctx, true)
		if err != nil {
			return nil, fmt.Errorf("beside trouble: %w", err)
		}
		q, t := milliseconds(percentile(quiet, 0.99)), milliseconds(percentile(beside, 0.99))
		b.progress("%s, %s: %.1f ms, without %.1f ms\n", res.Name, res.On, t, q)
		if i == 0 {
			continue // warms up
		}
		res.Samples = append(res.Samples, sample{Subject: t, Bare: q, Ratio: t / q, Host: h, Note: fmt.Sprintf("p50 %.1f, without %.1f; %d and %d records",
			milliseconds(percentile(beside, 0.5)), milliseconds(percentile(quiet, 0.5)), len(beside), len(quiet))})
	}
	res.finish(func(r *result) []goal { return []goal{atMost("p99 over without", r.Ratio, 1.2)} })
	res.Notes = append(res.Notes, fmt.Sprintf("%d records a second over all tenants, each a new vendor; bare = the quiet turns; the dead company hangs in every call, the source answers 503 for the loads; QuickBooks sandbox without latency", neighbourRate))
	return res, nil
}

// trouble begins.
func (s *street) trouble(ctx context.Context) error {
	_, err := s.ask(ctx, http.MethodPost, "/_sandbox/faults", []map[string]any{
		{"id": "dead", "app": "quickbooks", "account": neighbourOf(deadTenant).realm, "action": "hang"},
		{"id": "away", "app": "salesforce", "action": "status", "status": 503, "body": "service unavailable"},
	})
	return err
}

func (s *street) calm(ctx context.Context) error {
	_, err := s.ask(ctx, http.MethodDelete, "/_sandbox/faults", nil)
	return err
}

// phase sends new vendors of all tenants, and tells how long each of a healthy
// one took from when it was due until its company had it.
func (s *street) phase(ctx context.Context, waiting bool) ([]time.Duration, error) {
	n := s.b.seconds * neighbourRate
	requests, marks := make([][]byte, n), make(map[string]int, n)
	for i := range n {
		t, number := neighbourOf(i%tenants), s.first+i
		id, object := accountID(20_000_000+number), "Account"
		fs := fields(id, 1)
		if waiting && i%waitingShare == waitingShare/2 {
			id, object = torture.LongID(fmt.Sprintf("a0I5g0%09d", 20_000_000+number)), "rtms__CustomerInvoice__c"
			fs = waitingInvoice(20_000_000 + number)
		} else if i%tenants != deadTenant {
			marks["Acme Trucking "+id] = i
		}
		body := bytes.Replace(jsonBody(id, object, 1, fs), []byte(organization), []byte(t.org), 1)
		h := hook{path: "/webhooks/revenova/" + t.slug, header: http.Header{}, body: body}
		h.header.Set("Content-Type", "application/json")
		if err := torture.Sign(h.header, signingSecret, "msg_bench_"+id, time.Now(), body); err != nil {
			return nil, err
		}
		requests[i] = h.request(s.p.listen, h.path)
	}
	s.first += n
	start := time.Now().Add(100 * time.Millisecond)
	if err := pace(ctx, s.p.listen, requests, start, neighbourRate); err != nil {
		return nil, err
	}
	return s.arrivals(ctx, marks, start)
}

// arrivals waits until the destinations have had every mark.
func (s *street) arrivals(ctx context.Context, marks map[string]int, start time.Time) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, arrivesWithin)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	took := make([]time.Duration, 0, len(marks))
	missing := len(marks)
	for {
		text, err := s.ask(ctx, http.MethodGet, "/_sandbox/ledger?app=quickbooks&object=Vendor&applied=true&since="+strconv.FormatInt(s.since, 10), nil)
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(strings.NewReader(text))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var l struct {
				Seq    int64     `json:"seq"`
				Time   time.Time `json:"time"`
				Marker string    `json:"marker"`
			}
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
				return nil, err
			}
			s.since = max(s.since, l.Seq)
			if i, ok := marks[l.Marker]; ok {
				took = append(took, l.Time.Sub(due(start, i, neighbourRate)))
				delete(marks, l.Marker)
			}
		}
		if len(marks) == 0 {
			return took, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d records did not reach their company: %w", len(marks), missing, ctx.Err())
		}
	}
}

// ask calls the sandbox's own interface.
func (s *street) ask(ctx context.Context, method, path string, body any) (string, error) {
	var in io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return "", err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.sandbox+path, in)
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = errors.New(resp.Status)
	}
	if err != nil {
		return "", fmt.Errorf("sandbox %s %s: %w: %s", method, path, err, text)
	}
	return string(text), nil
}
