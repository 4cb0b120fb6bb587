package torture_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// neighbourhood is a run of two tenants' carriers, 100 writes each, one a
// second in turn; what falls into [50 s, 100 s) takes as long as the caller says.
func neighbourhood(t *testing.T, beside time.Duration) (torture.Evidence, []torture.Neighbour) {
	t.Helper()
	ev := torture.Evidence{Plan: torture.NewPlan(7, tenants(), torture.Size{Records: 200})}
	bad := torture.Neighbour{Tenant: 0, From: began.Add(50 * time.Second), To: began.Add(100 * time.Second)}
	for i := range ev.Plan.Records {
		r := &ev.Plan.Records[i]
		sent, took := began.Add(time.Duration(i)*time.Second), 100*time.Millisecond
		switch {
		case i < 50 || i >= 100:
		case r.Tenant == 0:
			took = 30 * time.Second // the bad one's own
		default:
			took = beside
		}
		ev.Intents = append(ev.Intents, torture.Intent{At: sent, Event: torture.Sent, Edits: []string{r.Edits[0].Name()}})
		ev.Ledger = append(ev.Ledger, torture.Line{
			Time: sent.Add(took), App: "quickbooks", Account: ev.Plan.Tenants[r.Tenant].Realm, Object: "Vendor", ID: fmt.Sprint(i), Applied: true, Marker: r.Edits[0].Fields[5].Value,
		})
	}
	return ev, []torture.Neighbour{bad}
}

func TestQuietTenantsAreMeasuredBesideABadNeighbour(t *testing.T) {
	for beside, want := range map[time.Duration]bool{150 * time.Millisecond: true, 500 * time.Millisecond: false} {
		ev, bad := neighbourhood(t, beside)
		during, otherwise := ev.Quiet(bad)
		if len(during) != 25 || during.At(99) != beside || otherwise.At(99) != 100*time.Millisecond {
			t.Errorf("%d writes beside the neighbour, p99 %s, want 25 and %s; otherwise %s", len(during), during.At(99), beside, otherwise.At(99))
		}
		if i, held := ev.Neighbourly(bad, true); held != want || i.Unjudged != "" {
			t.Errorf("beside %s: held %t, want %t: %+v", beside, held, want, i)
		}
		if i, held := ev.Neighbourly(bad, false); !held || i.Unjudged == "" {
			t.Errorf("with other faults it was judged: %+v", i)
		}
	}
	ev, bad := neighbourhood(t, time.Second)
	ev.Ledger = nil
	if i, held := ev.Neighbourly(bad, true); held {
		t.Errorf("nothing was seen, and it held: %+v", i)
	}
}

func TestPercentilesOverTime(t *testing.T) {
	ev, _ := neighbourhood(t, 150*time.Millisecond)
	l := torture.NewLatencies(&ev)
	if len(l) != 200 || l.At(50) != 100*time.Millisecond || l.At(100) != 30*time.Second {
		t.Errorf("%d writes, p50 %s, slowest %s; want 200, 100ms, 30s", len(l), l.At(50), l.At(100))
	}
	table := l.Table(began, 200*time.Second)
	for _, want := range []string{"| 0 to 20 | 20 | 100ms |", "| all | 200 | 100ms |"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
}

// What a partial edit says of a record whose type nobody told yet goes nowhere:
// the platform is not late with it.
func TestAPartialRecordIsLateFromItsFirstEdit(t *testing.T) {
	ev := torture.Evidence{Plan: torture.NewPlan(7, tenants(), torture.Size{Records: 20, PartialShare: 1})}
	r := &ev.Plan.Records[0]
	last := r.Edits[len(r.Edits)-1]
	for e, at := range map[string]time.Duration{last.Name(): 0, r.Edits[0].Name(): time.Minute} {
		ev.Intents = append(ev.Intents, torture.Intent{At: began.Add(at), Event: torture.Sent, Edits: []string{e}})
	}
	ev.Ledger = []torture.Line{{
		Time: began.Add(time.Minute + time.Second), App: "hubspot", Account: ev.Plan.Tenants[r.Tenant].Portal, Object: "companies", Applied: true, Marker: last.Fields[0].Value,
	}}
	if l := torture.NewLatencies(&ev); len(l) != 1 || l[0].Took != time.Second {
		t.Errorf("saw %+v, want one write that took a second", l)
	}
}
