package rig

import (
	"fmt"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// outage is a time in which everything that went to a tenant's QuickBooks
// failed.
type outage struct {
	tenant     torture.Tenant
	from, till time.Time
}

const (
	// opensWithin is how long a breaker may take to see an outage (F9).
	opensWithin = 30 * time.Second
	// probesEach is what an open breaker may let through: each process of
	// delivery may have one in flight, and they start over after a kill.
	probesEach = 2 * time.Second
	// opensAfter is how many calls must have met an outage before a breaker must
	// have opened: ten failures in a row in one process, where two share the calls
	// and either may be killed and count anew.
	opensAfter = 40
	// rampFirst is what may be sent in the first two seconds after an outage that
	// was longer than a breaker needs to open: 1, 2, 4 calls a second, and the
	// parts of them that were repeated.
	rampFirst = 20
)

// judgeOutages holds the calls to dead destinations against what a breaker and
// a ramp promise. Outages that are over before a breaker must have opened, or
// that hardly a call met, show nothing.
func (r *Rig) judgeOutages(ledger []torture.Line, res *Result) {
	for _, o := range r.outages {
		open := o.from.Add(opensWithin)
		if !open.Before(o.till) {
			res.Saw = append(res.Saw, fmt.Sprintf("F9: the destination of tenant %s was dead for %s, too short for a judgement", o.tenant.ID, o.till.Sub(o.from).Round(time.Second)))
			continue
		}
		met, during, after := 0, 0, 0
		var first time.Time
		for i := range ledger {
			l := &ledger[i]
			if l.App != "quickbooks" || l.Account != o.tenant.Realm || l.Method == "" {
				continue
			}
			if l.Time.After(o.from) && l.Time.Before(o.till) {
				met++
			}
			switch {
			case l.Time.After(open) && l.Time.Before(o.till):
				during++
			case l.Time.After(o.till):
				if first.IsZero() {
					first = l.Time
				}
				if l.Time.Sub(first) < 2*time.Second {
					after++
				}
			}
		}
		if met < opensAfter {
			res.Saw = append(res.Saw, fmt.Sprintf("F9: the destination of tenant %s was dead for %s, and %d calls met that: too few for a judgement", o.tenant.ID, o.till.Sub(o.from).Round(time.Second), met))
			continue
		}
		long := o.till.Sub(open)
		res.Saw = append(res.Saw, fmt.Sprintf("F9: the destination of tenant %s was dead for %s: %d calls met that, %d of them after the first %s, and %d came in the first two seconds after it", o.tenant.ID, o.till.Sub(o.from).Round(time.Second), met, during, opensWithin, after))
		if most := int(long/probesEach) + 20; during > most {
			res.Wrong = append(res.Wrong, fmt.Sprintf("F9: %d calls in %s to a destination that was dead, %d at most with an open breaker", during, long.Round(time.Second), most))
		}
		if after > rampFirst {
			res.Wrong = append(res.Wrong, fmt.Sprintf("F9: %d calls in the first two seconds after the outage: a flood, %d at most with a ramp", after, rampFirst))
		}
	}
}
