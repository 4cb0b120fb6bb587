package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
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
