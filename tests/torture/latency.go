package torture

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Latency is one write: when, whose, and how long after its state was first
// sent.
type Latency struct {
	At     time.Time // of the write
	Tenant int
	Took   time.Duration
}

// Latencies are all writes whose state was sent, in the order of the ledger.
// What was overtaken on its way is not in it; what waited is. An invoice is
// counted from its own last state, also where it waited for its parents.
type Latencies []Latency

// NewLatencies reads the logs alone.
func NewLatencies(ev *Evidence) Latencies {
	first := map[string]time.Time{}
	for _, in := range ev.Intents {
		if in.Event != Sent {
			continue
		}
		for _, e := range in.Edits {
			if _, ok := first[e]; !ok {
				first[e] = in.At
			}
		}
	}
	var out Latencies
	counted := map[string]bool{}
	for i := range ev.Ledger {
		l := &ev.Ledger[i]
		m, ok := ev.Plan.Wrote(l)
		if !ok || !l.Applied {
			continue
		}
		edit := fmt.Sprintf("%d:%d%s", m.Record, m.Rank, m.Variant)
		sent, ok := first[edit]
		// Written once more it is another state of its parents, or a repeat.
		if !ok || counted[l.App+edit] || l.Time.Before(sent) {
			continue
		}
		counted[l.App+edit] = true
		out = append(out, Latency{l.Time, ev.Plan.Records[m.Record].Tenant, l.Time.Sub(sent)})
	}
	return out
}

// At is a percentile; 0 of nothing.
func (l Latencies) At(percent int) time.Duration {
	if len(l) == 0 {
		return 0
	}
	took := make([]time.Duration, len(l))
	for i := range l {
		took[i] = l[i].Took
	}
	slices.Sort(took)
	return took[min(len(took)*percent/100, len(took)-1)]
}

// Where keeps those that fit.
func (l Latencies) Where(fits func(Latency) bool) Latencies {
	return slices.DeleteFunc(slices.Clone(l), func(x Latency) bool { return !fits(x) })
}

// Table shows percentiles over ten parts of the load and what came after it.
func (l Latencies) Table(start time.Time, took time.Duration) string {
	var b strings.Builder
	b.WriteString("| seconds | writes | p50 | p95 | p99 | slowest |\n|---|---|---|---|---|---|\n")
	row := func(name string, some Latencies) {
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %s | %s |\n", name, len(some), short(some.At(50)), short(some.At(95)), short(some.At(99)), short(some.At(100)))
	}
	step := max(took/10, time.Second)
	for from := time.Duration(0); from < took; from += step {
		row(fmt.Sprintf("%.0f to %.0f", from.Seconds(), (from+step).Seconds()), l.Where(func(x Latency) bool {
			at := x.At.Sub(start)
			return at >= from && at < from+step
		}))
	}
	row("all", l)
	return b.String()
}

func short(d time.Duration) string { return d.Round(time.Millisecond).String() }
