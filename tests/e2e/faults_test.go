package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/parts"
	"github.com/fluxnex/fluxnex/tests/torture"
)

// faultLoad is a load slow enough for faults to meet it.
func faultLoad(t testing.TB, p *platform, n int, spread time.Duration) (*run, uint64) {
	t.Helper()
	s := seed(t)
	plan := torture.NewPlan(s, p.tenants, torture.Size{Records: n, DeleteShare: 0.1})
	return p.load(t, plan, torture.Load{Spread: spread, Timeout: 5 * time.Second}), s
}

// TestKillEachService kills every service in the middle of the load, each once,
// then random ones for a while, and starts them again.
func TestKillEachService(t *testing.T) {
	parts.EachKafka(t, func(t *testing.T, cluster parts.Cluster) {
		p := install(t, cluster, shape{tenants: 2})
		r, s := faultLoad(t, p, 600, 25*time.Second)
		n := torture.NewNemesis(s)
		p.awaitApplied(t, 20)
		// Against the stream: while the killed one comes back, those above it work.
		var all []torture.Victim
		for _, name := range slices.Backward(services()) {
			v := p.all[name][0].victim()
			all = append(all, v)
			if err := n.Kill(t.Context(), v, n.Between(50*time.Millisecond, time.Second)); err != nil {
				t.Fatal(err)
			}
			if err := n.Rest(t.Context(), n.Between(time.Second, 3*time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		// Not on the embedded broker: there a service that is killed twice within its
		// session timeout can stand still for longer than on Kafka.
		if cluster.Real {
			storm, calm := context.WithTimeout(t.Context(), 6*time.Second)
			defer calm()
			if err := n.Storm(storm, all, time.Second, 100*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		r.sent(t)
		r.verdict(t, 3*patience, torture.Tolerance{Inversions: true}, n.Deeds)
	})
}

// TestFreezeEachService stops every service for longer than its session timeout
// (15 s): others take over, and what it does when it wakes must not count.
func TestFreezeEachService(t *testing.T) {
	// The second process of each takes over. All first ones freeze at once, so
	// that the test does not last six session timeouts.
	p := install(t, parts.Kafka(t), shape{tenants: 2, copies: 2})
	r, s := faultLoad(t, p, 400, 15*time.Second)
	n := torture.NewNemesis(s)
	p.awaitApplied(t, 20)
	frozen := n.Between(20*time.Second, 22*time.Second)
	for _, name := range services() {
		if err := n.Do("SIGSTOP", name+"0", p.all[name][0].victim().Freeze); err != nil {
			t.Fatal(err)
		}
	}
	timer := time.NewTimer(frozen)
	defer timer.Stop()
	<-timer.C
	for _, name := range services() {
		if err := n.Do("SIGCONT", name+"0", p.all[name][0].victim().Thaw); err != nil {
			t.Fatal(err)
		}
	}
	r.sent(t)
	r.verdict(t, 3*patience, torture.Tolerance{Inversions: true}, n.Deeds)
}

// TestTwoOfEach runs two processes of each service: each handles a fifth or
// more.
func TestTwoOfEach(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{tenants: 3, copies: 2})
	r, _ := faultLoad(t, p, 600, 10*time.Second)
	r.sent(t)
	r.verdict(t, 3*patience, torture.Tolerance{}, nil)
	for name, metric := range map[string]string{
		"gateway":    "fluxnex_gateway_events_total",
		"replica":    "fluxnex_stage_records_total",
		"normalizer": "fluxnex_stage_records_total",
		"router":     "fluxnex_stage_records_total",
		"delivery":   "fluxnex_delivery_attempts_total",
	} {
		a, b := p.all[name][0].metric(t, metric), p.all[name][1].metric(t, metric)
		t.Logf("%s: %s is %.0f and %.0f", name, metric, a, b)
		if a+b == 0 || min(a, b) < (a+b)/5 {
			t.Errorf("%s: one process handled %.0f, the other %.0f: less than a fifth", name, a, b)
		}
	}
}

// TestFlushAll empties Redis twice under load: it costs time, never fields.
func TestFlushAll(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{tenants: 2})
	r, s := faultLoad(t, p, 400, 10*time.Second)
	n := torture.NewNemesis(s)
	for _, applied := range []int{20, 300} {
		p.awaitApplied(t, applied)
		if err := n.Do("FLUSHALL", "redis", func() error { return flushAll(p.redis) }); err != nil {
			t.Fatal(err)
		}
	}
	r.sent(t)
	r.verdict(t, 3*patience, torture.Tolerance{}, n.Deeds)
}

// badDay is what destinations do on one: limits, errors, calls that are cut
// before and after they had their effect, stale versions, half answers, and
// slow and silent ones.
func badDay(seed uint64) []rule {
	var rules []rule
	for _, app := range []string{"quickbooks", "hubspot"} {
		object := map[string]string{"quickbooks": "Vendor", "hubspot": "companies"}[app]
		for _, r := range []rule{
			{"id": "429", "action": "ratelimit", "retry_after": 1, "policy": "TEN_SECONDLY_ROLLING", "probability": 0.05},
			{"id": "500", "action": "status", "status": 500, "body": map[string]any{}, "probability": 0.05},
			{"id": "503", "action": "status", "status": 503, "body": map[string]any{}, "probability": 0.02},
			{"id": "cut before", "action": "reset_before_apply", "probability": 0.01},
			{"id": "cut after", "action": "apply_then_reset", "probability": 0.02},
			{"id": "500 after", "action": "apply_then_500", "body": map[string]any{}, "probability": 0.01},
			{"id": "half answer", "action": "truncated_body", "probability": 0.007},
			{"id": "stale", "action": "stale", "probability": 0.02},
			{"id": "slow", "action": "delay", "delay": "2s", "probability": 0.02},
			{"id": "silent", "action": "hang", "delay": "3s", "probability": 0.01},
		} {
			switch {
			case app == "quickbooks" && r["id"] == "429":
				// QuickBooks' windows are minutes: each of these costs one.
				delete(r, "probability")
				r["skip"], r["times"] = 40, 1
			case app == "hubspot" && r["id"] == "stale":
				continue // it knows no versions
			}
			seed++
			r["id"], r["app"], r["object"], r["seed"] = app+" "+r["id"].(string), app, object, seed
			rules = append(rules, r)
		}
	}
	return append(rules, rule{"id": "salesforce 503", "app": "salesforce", "op": "retrieve", "action": "status", "status": 503, "body": []any{}, "probability": 0.2, "seed": seed})
}

// TestABadDayAtTheDestinations: everything of [badDay], tokens that expire and
// rotate with each refresh, and one record for twenty waits for parents that
// have to be fetched. In the end every record is in its last state, versions
// were applied in order, and there is one object for each.
func TestABadDayAtTheDestinations(t *testing.T) {
	parts.EachKafka(t, func(t *testing.T, cluster parts.Cluster) {
		n := size(t, 150)
		p := install(t, cluster, shape{tenants: 3, copies: 2})
		// The first tenant's records wait, the others' edits are counted.
		p.invoicing(t)
		s := seed(t)
		p.fault(t, badDay(s)...)
		spread := 20*time.Second + time.Duration(n)*2*time.Millisecond
		r := p.load(t, torture.NewPlan(s, p.tenants[1:], torture.Size{Records: n, DeleteShare: 0.1}), torture.Load{Spread: spread})
		waiting := p.waitForParents(t, max(5, n/20))
		p.awaitApplied(t, 20)
		expired := p.expireTokens(t)
		r.sent(t)
		hits := p.hits(t)
		r.verdict(t, 4*patience+time.Duration(n)*100*time.Millisecond, torture.Tolerance{}, nil)
		for number, name := range waiting {
			p.customerOf(t, number, name)
		}
		if have := len(p.documents(t, "Invoice")); have != len(waiting) {
			t.Errorf("%d invoices are %d objects", len(waiting), have)
		}
		refreshes := 0
		for _, l := range p.ledger(t) {
			if l.Object == "token" && l.App == "quickbooks" && l.Applied {
				refreshes++
			}
			if l.Code == "refresh_token_reused" {
				t.Errorf("a replaced refresh token was used again: %s", l.String())
			}
		}
		t.Logf("faults that hit: %v; tokens expired %d times, %d refreshes", hits, expired(), refreshes)
		if len(hits) < 4 || refreshes <= len(p.tenants) {
			t.Errorf("the test proves little: faults %v, %d refreshes", hits, refreshes)
		}
		await(t, "no notification is open", func() (bool, string) {
			open := p.notifications(t, func(row) bool { return true })
			return len(open) == 0, show(open)
		})
	})
}

// expireTokens ends the tenants' access to QuickBooks now and every 35 s, until
// the test ends or it is asked how often it did. A token that is refused within
// 30 s of the one before is a dead credential.
func (p *platform) expireTokens(t testing.TB) (times func() int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	n, ended := 0, make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(35 * time.Second)
		defer tick.Stop()
		for ; ctx.Err() == nil; n++ {
			for _, tenant := range p.tenants {
				resp, err := plain.Post(p.sandbox.web+"/_sandbox/quickbooks/"+tenant.Realm+"/expire", "", nil)
				if err != nil {
					t.Errorf("expire tokens: %v", err)
					return
				}
				_ = resp.Body.Close()
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	times = sync.OnceValue(func() int { stop(); <-ended; return n })
	t.Cleanup(func() { times() })
	return times
}

// hits are the faults that hit calls so far, by the rule's id.
func (p *platform) hits(t testing.TB) map[string]int {
	t.Helper()
	var rules []struct {
		ID   string
		Hits int
	}
	if err := json.Unmarshal([]byte(p.call(t, http.MethodGet, "/_sandbox/faults", nil)), &rules); err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, r := range rules {
		if r.Hits > 0 {
			out[r.ID] = r.Hits
		}
	}
	return out
}

// waitForParents sends n invoices whose loads and customers only Salesforce
// has, and returns who is to be billed for each.
func (p *platform) waitForParents(t testing.TB, n int) map[string]string {
	t.Helper()
	waiting, invoices := map[string]string{}, map[string]map[string]string{}
	for i := range n {
		customer, number := i%max(1, n/4), fmt.Sprintf("INV-%05d", i)
		name := fmt.Sprintf("Shipper %05d", customer)
		p.hold(t, accountObject, vendorID(customer), aCustomer(name))
		p.hold(t, loadObject, loadID(i), aLoad(fmt.Sprintf("L-%05d", i), vendorID(customer)))
		invoices[invoiceID(i)], waiting[number] = anInvoice(number, loadID(i)), name
	}
	p.tell(t, invoiceObject, at, invoices)
	return waiting
}

// flushAll speaks Redis's inline protocol.
func flushAll(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	c, err := net.DialTimeout("tcp", u.Host, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("FLUSHALL\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	if strings.TrimSpace(line) != "+OK" {
		return fmt.Errorf("FLUSHALL answered %q", line)
	}
	return nil
}

// metric sums a counter over its labels.
func (p *process) metric(t testing.TB, name string) float64 {
	t.Helper()
	_, body, err := get(p.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for line := range strings.SplitSeq(body, "\n") {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if bare, _, _ := strings.Cut(series, "{"); !ok || bare != name {
			continue
		}
		// Labels may hold spaces; the value is the last word.
		fields := strings.Fields(value)
		v, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			t.Fatalf("metric line %q: %v", line, err)
		}
		sum += v
	}
	return sum
}
