package delivery

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// fairness offers n records each to three quiet tenants, one every 10 ms, and
// tells how fast they were through and how long one in a hundred took. With
// neighbours there are also a tenant with fifty times that load, one whose
// account never answers and one whose account takes 2 s for a call.
func fairness(tb testing.TB, n int, neighbours bool) (perSecond float64, p99 time.Duration) {
	tb.Helper()
	r := newRig(tb)
	quiet := []record.TenantID{"quiet1", "quiet2", "quiet3"}
	r.connect(append(slices.Clone(quiet), "flood", "dead", "slow")...)
	var mu sync.Mutex
	sent, reached := map[record.ID]time.Time{}, map[record.ID]time.Duration{}
	done := make(chan struct{})
	never := make(chan struct{})
	r.shop.fault = func(e shopEntry) shopFault {
		switch e.Account {
		case "a-dead":
			return shopFault{hang: never}
		case "a-slow":
			timer := time.NewTimer(2 * time.Second)
			defer timer.Stop()
			<-timer.C
		case "a-flood":
		default:
			mu.Lock()
			defer mu.Unlock()
			id := record.ID(e.Record)
			if _, twice := reached[id]; !twice {
				reached[id] = time.Since(sent[id])
			}
			if len(reached) == len(quiet)*n {
				close(done)
			}
		}
		return shopFault{}
	}
	if neighbours {
		for tenant, rows := range map[record.TenantID]int{"flood": 50 * n, "dead": n, "slow": n} {
			for first := 0; first < rows; first += 1000 {
				var batch []*record.OutboundCommand
				for i := first; i < min(first+1000, rows); i++ {
					batch = append(batch, command(tenant, fmt.Sprintf("%s-%d", tenant, i), 1, record.VerbUpsert))
				}
				r.consume(batch...)
			}
		}
	}
	s := r.start()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	began := time.Now()
	for i := range n {
		var batch []*record.OutboundCommand
		mu.Lock()
		for _, t := range quiet {
			c := command(t, fmt.Sprintf("%s-%d", t, i), 1, record.VerbUpsert)
			sent[c.RecordID] = time.Now()
			batch = append(batch, c)
		}
		mu.Unlock()
		r.consume(batch...)
		<-ticker.C
	}
	select {
	case <-done:
	case <-time.After(time.Minute):
		mu.Lock()
		defer mu.Unlock()
		tb.Fatalf("%d of %d records of the quiet tenants arrived within a minute", len(reached), len(quiet)*n)
	}
	took := time.Since(began)
	s()
	r.inOrder()
	all := make([]time.Duration, 0, len(reached))
	for _, d := range reached {
		all = append(all, d)
	}
	slices.Sort(all)
	return float64(len(all)) / took.Seconds(), all[len(all)*99/100]
}

// TestQuietTenantsAreServedBesideAFloodADeadAndASlowAccount: in order, and all of
// them while the neighbours' backlogs last.
func TestQuietTenantsAreServedBesideAFloodADeadAndASlowAccount(t *testing.T) {
	fairness(t, 40, true)
}

// BenchmarkFairness compares quiet tenants alone with the same beside bad
// neighbours: the best of three runs each, by turns, so that another load on the
// machine meets both. Alone they are as fast as they are offered records.
func BenchmarkFairness(b *testing.B) {
	for b.Loop() {
		var alone, beside float64
		quietest, worst := time.Hour, time.Hour
		for range 3 {
			rate, p99 := fairness(b, 300, false)
			alone, quietest = max(alone, rate), min(quietest, p99)
			rate, p99 = fairness(b, 300, true)
			beside, worst = max(beside, rate), min(worst, p99)
		}
		b.ReportMetric(100*beside/alone, "%-of-quiet-throughput")
		b.ReportMetric(alone, "quiet-rows/s")
		b.ReportMetric(float64(quietest.Microseconds())/1000, "ms-quiet-p99")
		b.ReportMetric(float64(worst.Microseconds())/1000, "ms-p99")
	}
}
