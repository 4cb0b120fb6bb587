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
	Role   Role
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
		r := &ev.Plan.Records[m.Record]
		edit := fmt.Sprintf("%d:%d%s", m.Record, m.Rank, m.Variant)
		sent, ok := first[edit]
		// Of edits that share a stamp each shows again when it is repeated, until a
		// fetch tells which one holds.
		if r.Tied() {
			continue
		}
		// Only the first of partial edits tells what the record is: before it
		// nobody can send it on.
		if told := first[r.Edits[0].Name()]; r.Partial && told.After(sent) {
			sent = told
		}
		// Written once more it is another state of its parents, or a repeat.
		if !ok || counted[l.App+edit] || l.Time.Before(sent) {
			continue
		}
		counted[l.App+edit] = true
		out = append(out, Latency{l.Time, r.Tenant, r.Role, l.Time.Sub(sent)})
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

// Neighbour is a time in which one tenant was a bad neighbour: its destination
// dead (F9), or it alone sent as much as fifty (F17).
type Neighbour struct {
	Tenant   int
	From, To time.Time
}

// Quiet compares what the other tenants' carriers took while a neighbour was
// bad with what all took while none was (I10). Other records wait for their
// parents, which is not the neighbour's fault.
func (e *Evidence) Quiet(neighbours []Neighbour) (during, otherwise Latencies) {
	for _, l := range NewLatencies(e) {
		if l.Role != Carrier {
			continue
		}
		bad, own := false, false
		for _, n := range neighbours {
			if sent := l.At.Add(-l.Took); l.At.After(n.From) && sent.Before(n.To) {
				bad, own = true, own || n.Tenant == l.Tenant
			}
		}
		switch {
		case !bad:
			otherwise = append(otherwise, l)
		case !own:
			during = append(during, l)
		}
	}
	return during, otherwise
}

// Neighbourly is I10 as a line of the table. It is judged where nothing else
// was wrong meanwhile: kills and outages of parts cost everybody time.
func (e *Evidence) Neighbourly(neighbours []Neighbour, alone bool) (i Invariant, held bool) {
	during, otherwise := e.Quiet(neighbours)
	i = Invariant{Name: "I10", Promise: "quiet tenants' p99 while a neighbour is bad is at most twice what it is otherwise"}
	i.Seen = fmt.Sprintf("p99 %s of %d writes beside a bad neighbour, %s of %d otherwise", short(during.At(99)), len(during), short(otherwise.At(99)), len(otherwise))
	switch {
	case len(neighbours) == 0:
		i.Unjudged = "no neighbour was bad"
	case !alone:
		i.Unjudged = "other faults were on; measured: " + i.Seen
	case len(during) == 0 || len(otherwise) == 0:
		i.Seen = "nothing seen: " + i.Seen
		return i, false
	}
	return i, i.Unjudged != "" || during.At(99) <= 2*otherwise.At(99)
}
