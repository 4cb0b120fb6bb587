package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// call asks the sandbox's own interface.
func (p *platform) call(t testing.TB, method, path string, body any) string {
	t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, p.sandbox.web+path, in)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := plain.Do(req)
	if err != nil {
		t.Fatalf("sandbox %s %s: %v\n%s", method, path, err, tail(p.sandbox.log, 20))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("sandbox %s %s: %v", method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		t.Fatalf("sandbox %s %s: %s\n%s", method, path, resp.Status, answer)
	}
	return string(answer)
}

// ledger is everything the destinations saw so far.
func (p *platform) ledger(t testing.TB) []torture.Line {
	t.Helper()
	lines, err := torture.ReadLedger(strings.NewReader(p.call(t, http.MethodGet, "/_sandbox/ledger", nil)))
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// objects lists what is in a tenant's two destinations, inactive ones included.
func (p *platform) objects(t testing.TB, tenant torture.Tenant) []torture.Object {
	t.Helper()
	books := p.list(t, "quickbooks", tenant.Realm, "Vendor")
	crm := p.list(t, "hubspot", tenant.Portal, "companies")
	return append(books, crm...)
}

func (p *platform) list(t testing.TB, app, account, object string) []torture.Object {
	t.Helper()
	out, err := torture.ReadObjects(app, account, object, strings.NewReader(p.call(t, http.MethodGet, "/_sandbox/"+app+"/"+account+"/"+object, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// run is one load on its way.
type run struct {
	p       *platform
	plan    *torture.Plan
	intents string
	done    chan struct{}
	summary torture.Summary
	err     error
	started time.Time
}

// load starts sending a plan in the background.
func (p *platform) load(t testing.TB, plan *torture.Plan, l torture.Load) *run {
	t.Helper()
	r := &run{p: p, plan: plan, intents: filepath.Join(p.dir, "intents.ndjson"), done: make(chan struct{}), started: time.Now()}
	file, err := os.OpenFile(r.intents, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	l.Plan, l.Gateways, l.Log = plan, p.gateways(), file
	if l.Senders == 0 {
		l.Senders = 8
	}
	if l.Pause == 0 {
		l.Pause = 200 * time.Millisecond
	}
	go func() {
		defer close(r.done)
		r.summary, r.err = l.Run(t.Context())
		if err := file.Close(); err != nil && r.err == nil {
			r.err = err
		}
	}()
	t.Cleanup(func() { <-r.done })
	return r
}

// sent waits until every message is done with.
func (r *run) sent(t testing.TB) {
	t.Helper()
	select {
	case <-r.done:
	case <-time.After(3 * patience):
		t.Fatalf("the load did not end within %s", 3*patience)
	}
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Logf("load: %d messages with %d notifications acked in %s, %d attempts", r.summary.Acked, r.summary.Notifications, r.summary.Took.Round(time.Millisecond), r.summary.Attempts)
}

// evidence is what the checker gets, as things stand.
func (r *run) evidence(t testing.TB) torture.Evidence {
	t.Helper()
	file, err := os.Open(r.intents)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	intents, err := torture.ReadIntents(file)
	if err != nil {
		t.Fatal(err)
	}
	ev := torture.Evidence{Plan: r.plan, Intents: intents, Ledger: r.p.ledger(t)}
	for _, tenant := range r.plan.Tenants {
		ev.Objects = append(ev.Objects, r.p.objects(t, tenant)...)
	}
	return ev
}

// verdict waits until every record is in its last state and the destinations
// are quiet, or until nothing moves any more, and then judges.
func (r *run) verdict(t testing.TB, limit time.Duration, tolerance torture.Tolerance, deeds []torture.Deed) {
	t.Helper()
	const quiet, stuck = 2 * time.Second, 100 * time.Second
	var (
		report  torture.Report
		lines   = -1
		moved   = time.Now()
		started = time.Now()
		tick    = time.NewTicker(500 * time.Millisecond)
	)
	defer tick.Stop()
	for {
		ev := r.evidence(t)
		if len(ev.Ledger) != lines {
			lines, moved = len(ev.Ledger), time.Now()
		}
		report = torture.Check(ev, tolerance)
		still := time.Since(moved)
		if report.Right() && still > quiet || still > stuck || time.Since(started) > limit {
			break
		}
		<-tick.C
	}
	t.Logf("%d records, %d writes applied, %d objects, %d ledger lines, %d inversions healed, right after %s",
		report.Records, report.Writes, report.Objects, lines, report.Healed, moved.Sub(r.started).Round(time.Millisecond))
	text := report.Markdown(t.Name(), r.summary, deeds)
	if err := os.WriteFile(filepath.Join(r.p.dir, "report.md"), []byte(text), 0o600); err != nil {
		t.Error(err)
	}
	if !report.Right() {
		t.Errorf("seed %d:\n%s", r.plan.Seed, report.String())
		for _, d := range deeds {
			t.Logf("%s %s %s", d.At.Format("15:04:05.000"), d.What, d.Victim)
		}
	}
}

// applied counts the writes that the destinations applied.
func (p *platform) applied(t testing.TB) int {
	t.Helper()
	n := 0
	for _, l := range p.ledger(t) {
		if l.Applied && (l.App == "quickbooks" || l.App == "hubspot") {
			n++
		}
	}
	return n
}

// awaitApplied waits until so many writes were applied: faults meet traffic.
func (p *platform) awaitApplied(t testing.TB, n int) {
	t.Helper()
	await(t, fmt.Sprintf("%d writes are applied", n), func() (bool, string) {
		have := p.applied(t)
		return have >= n, fmt.Sprint(have)
	})
}

// clientSecret is every sandbox client's.
const clientSecret = "e2e-client-secret"

func refreshToken(t torture.Tenant) string { return "refresh-" + t.ID }

func privateToken(t torture.Tenant) string { return "pat-" + t.ID }

func bookkeeper(t torture.Tenant) string { return "bookkeeper-" + t.ID }

// seedSandbox writes the tenants' orgs, companies and portals, and who may call
// for them, into the file that the sandbox is started with.
func (p *platform) seedSandbox(t testing.TB) string {
	t.Helper()
	type grant struct {
		ClientID     string   `json:"client_id"`
		ClientSecret string   `json:"client_secret,omitempty"`
		RefreshToken string   `json:"refresh_token,omitempty"`
		AccessTokens []string `json:"access_tokens,omitempty"`
	}
	type account struct {
		ID     string  `json:"id,omitempty"`
		Realm  string  `json:"realm,omitempty"`
		Name   string  `json:"name"`
		Tenant string  `json:"tenant"`
		Grants []grant `json:"grants"`
	}
	var seed struct {
		QuickBooks []account `json:"quickbooks"`
		HubSpot    []account `json:"hubspot"`
		Salesforce []account `json:"salesforce"`
	}
	for _, n := range p.tenants {
		seed.QuickBooks = append(seed.QuickBooks, account{Realm: n.Realm, Name: booksTarget, Tenant: n.ID, Grants: []grant{
			{ClientID: "qb-client-" + n.ID, ClientSecret: clientSecret, RefreshToken: refreshToken(n)},
			{ClientID: "bookkeeper", AccessTokens: []string{bookkeeper(n)}}, // a person's own access
		}})
		seed.HubSpot = append(seed.HubSpot, account{ID: n.Portal, Name: crmTarget, Tenant: n.ID, Grants: []grant{{ClientID: "private-app", AccessTokens: []string{privateToken(n)}}}})
		seed.Salesforce = append(seed.Salesforce, account{ID: n.Organization, Name: n.Slug, Tenant: n.ID, Grants: []grant{{ClientID: "sf-client-" + n.ID, ClientSecret: clientSecret}}})
	}
	b, err := json.Marshal(seed)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(p.dir, "accounts.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// holdTruth gives the tenants' Salesforce orgs the records as they are after all
// edits, so that a fetch finds them.
func (p *platform) holdTruth(t testing.TB, plan *torture.Plan) {
	t.Helper()
	for i := range plan.Records {
		r := &plan.Records[i]
		if r.Truth.Deleted {
			continue
		}
		h := plan.Hold(i)
		p.call(t, http.MethodPut, "/_sandbox/salesforce/"+h.Organization+"/"+h.Object+"/"+h.ID, h.Fields)
	}
}
