package torture_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// one finds a record that fits.
func one(t *testing.T, p *torture.Plan, fits func(*torture.Record) bool) int {
	t.Helper()
	i := slices.IndexFunc(p.Records, func(r torture.Record) bool { return fits(&r) })
	if i < 0 {
		t.Fatal("the plan has no such record")
	}
	return i
}

func liveInvoice(p *torture.Plan) func(*torture.Record) bool {
	return func(r *torture.Record) bool {
		return r.Role == torture.Invoice && !p.Orphan(r) && !r.Truth.Deleted
	}
}

func invoiceObject(t *testing.T, ev *torture.Evidence, number string) *torture.Object {
	t.Helper()
	i := slices.IndexFunc(ev.Objects, func(o torture.Object) bool { return o.Number == number })
	if i < 0 {
		t.Fatalf("no object %s", number)
	}
	return &ev.Objects[i]
}

// TestCheckCatchesInARunOfDocuments plants one violation at a time in an
// otherwise right run, and sees that it counts against its invariant, and that
// the record's history is told where it is one of a record.
func TestCheckCatchesInARunOfDocuments(t *testing.T) {
	type plant struct {
		invariant string
		want      torture.Kind
		history   string // what must be told
		plant     func(t *testing.T, ev *torture.Evidence)
	}
	cases := map[string]plant{
		"a partial edit that was lost": {"I1", torture.Torn, "edit r9", func(t *testing.T, ev *torture.Evidence) {
			i := one(t, ev.Plan, func(r *torture.Record) bool { return r.Role == torture.Carrier && r.Partial && !r.Truth.Deleted })
			for j := range ev.Objects {
				if o := &ev.Objects[j]; o.App == "hubspot" && o.Name == ev.Plan.Records[i].Truth.Name {
					o.Street = "1 Main Street"
				}
			}
		}},
		"a partial edit of an invoice that was lost": {"I1", torture.Torn, "end: quickbooks Invoice", func(t *testing.T, ev *torture.Evidence) {
			i := one(t, ev.Plan, liveInvoice(ev.Plan))
			invoiceObject(t, ev, ev.Plan.Records[i].Truth.Number).Lines = "1.00 + 2.00"
		}},
		"an invoice that did not follow its load": {"I1", torture.Misbilled, "rtms__Bill_To__c", func(t *testing.T, ev *torture.Evidence) {
			i := one(t, ev.Plan, liveInvoice(ev.Plan))
			o := invoiceObject(t, ev, ev.Plan.Records[i].Truth.Number)
			j := slices.IndexFunc(ev.Objects, func(other torture.Object) bool {
				return other.Type == "Customer" && other.Account == o.Account && other.ID != o.Customer
			})
			o.Customer = ev.Objects[j].ID
		}},
		"a customer that only the source knew and nobody fetched": {"I1", torture.Lost, "only fetched", func(t *testing.T, ev *torture.Evidence) {
			i := one(t, ev.Plan, func(r *torture.Record) bool {
				return r.Role == torture.Customer && r.Coming == torture.Fetched && slices.ContainsFunc(ev.Plan.Records, func(c torture.Record) bool {
					return c.Role == torture.Invoice && !c.Truth.Deleted && strings.HasPrefix(r.Truth.Name, c.Truth.BillTo+" ") && c.Truth.BillTo != ""
				})
			})
			name := ev.Plan.Records[i].Truth.Name
			ev.Ledger = slices.DeleteFunc(ev.Ledger, func(l torture.Line) bool { return l.Marker == name })
			k := slices.IndexFunc(ev.Objects, func(o torture.Object) bool { return o.Name == name })
			ev.Objects = slices.Delete(ev.Objects, k, k+1)
		}},
		"a deleted invoice in use": {"I1", torture.NotDeleted, "void", func(t *testing.T, ev *torture.Evidence) {
			i := one(t, ev.Plan, func(r *torture.Record) bool { return r.Role == torture.Invoice && r.Truth.Deleted })
			invoiceObject(t, ev, ev.Plan.Records[i].Truth.Number).Active = true
		}},
		"an older invoice after a newer one": {"I2", torture.Reordered, "edit r3", func(t *testing.T, ev *torture.Evidence) {
			i := slices.IndexFunc(ev.Ledger, func(l torture.Line) bool {
				_, rank, ok := torture.ParseTotal(l.Marker)
				return ok && l.Object == "Invoice" && rank == 3
			})
			ev.Ledger[i], ev.Ledger[i-1] = ev.Ledger[i-1], ev.Ledger[i]
		}},
		"an older state in a changelog after a newer one": {"I2", torture.WroteBack, "edit r1", func(_ *testing.T, ev *torture.Evidence) {
			for k := range ev.Views[2].Want {
				ev.Views[2].Astray = append(ev.Views[2].Astray, torture.Astray{Key: k, Says: "revision 1.4 after 1.5"})
			}
		}},
		"a batch that a stage wrote twice": {"I4", torture.WroteTwice, "edit r1", func(_ *testing.T, ev *torture.Evidence) {
			for k := range ev.Views[2].Want {
				ev.Views[2].Astray = append(ev.Views[2].Astray, torture.Astray{Key: k, Twice: true, Says: "revision 1.5 after 1.5"})
			}
		}},
		"an invoice of a load that nobody has": {"I3", torture.Invented, "nowhere", func(t *testing.T, ev *torture.Evidence) {
			i := one(t, ev.Plan, ev.Plan.Orphan)
			r := &ev.Plan.Records[i]
			ev.Objects = append(ev.Objects, torture.Object{App: "quickbooks", Account: ev.Plan.Tenants[r.Tenant].Realm, Type: "Invoice", ID: "31337", Number: r.Truth.Number, Total: r.Truth.Total, Active: true})
		}},
		"one body of an invoice twice": {"I4", torture.Repeated, "request again", func(t *testing.T, ev *torture.Evidence) {
			i := slices.IndexFunc(ev.Ledger, func(l torture.Line) bool { return l.Object == "Invoice" })
			again := ev.Ledger[i]
			again.RequestID = "again"
			ev.Ledger = slices.Insert(ev.Ledger, i+1, again)
		}},
		"an invoice in another company": {"I5", torture.WrongTenant, "Invoice", func(t *testing.T, ev *torture.Evidence) {
			i := slices.IndexFunc(ev.Ledger, func(l torture.Line) bool { return l.Object == "Invoice" && l.Account == "11" })
			ev.Ledger[i].Account = "21"
		}},
		"a record that still waits": {"I6", torture.StillWaiting, "rtms__CustomerInvoice__c", func(t *testing.T, ev *torture.Evidence) {
			r := &ev.Plan.Records[one(t, ev.Plan, liveInvoice(ev.Plan))]
			ev.Desk.Waiting = []torture.Waiting{{Tenant: ev.Plan.Tenants[r.Tenant].ID, RecordID: "revenova:" + r.ID, Layer: "normalizer", Code: "parent_missing"}}
		}},
		"a failure that nobody was told of": {"I6", torture.Silent, "nowhere", func(_ *testing.T, ev *torture.Evidence) {
			ev.Desk.Notices = ev.Desk.Notices[1:]
		}},
		"a failure with two open notifications": {"I6", torture.ToldTwice, "parent_absent", func(_ *testing.T, ev *torture.Evidence) {
			ev.Desk.Notices = append(ev.Desk.Notices, ev.Desk.Notices[0])
		}},
		"a failure told twice of one state": {"I6", torture.ToldTwice, "told", func(_ *testing.T, ev *torture.Evidence) {
			ev.Desk.Told = append(ev.Desk.Told, ev.Desk.Told[1])
		}},
		"a notification that did not close": {"I6", torture.FalseAlarm, "end: quickbooks", func(t *testing.T, ev *torture.Evidence) {
			r := &ev.Plan.Records[one(t, ev.Plan, liveInvoice(ev.Plan))]
			ev.Desk.Notices = append(ev.Desk.Notices, torture.Notice{Tenant: ev.Plan.Tenants[r.Tenant].ID, RecordID: "revenova:" + r.ID, Audience: "customer"})
		}},
		"an empty notification topic": {"I6", torture.NothingSeen, "", func(_ *testing.T, ev *torture.Evidence) {
			ev.Desk.Told = nil
			ev.Desk.Revoked = nil
		}},
		"a view that lost a record": {"I7", torture.ViewLacks, "edit r1", func(_ *testing.T, ev *torture.Evidence) {
			clear(ev.Views[2].Have)
		}},
		"a view with an older state": {"I7", torture.ViewDiffer, "edit r1", func(_ *testing.T, ev *torture.Evidence) {
			for k := range ev.Views[2].Have {
				ev.Views[2].Have[k] = "older"
			}
		}},
		"a ghost in a view": {"I7", torture.ViewGhost, "", func(_ *testing.T, ev *torture.Evidence) {
			ev.Views[2].Have["one/revenova:ghost"] = "v"
		}},
		"a view without a checkpoint": {"I7", torture.ViewUnread, "", func(_ *testing.T, ev *torture.Evidence) {
			ev.Views[2].Ready = false
		}},
		"a child that its parent does not know": {"I7", torture.ViewLacks, "rtms__CustomerInvoice__c", func(t *testing.T, ev *torture.Evidence) {
			r := &ev.Plan.Records[one(t, ev.Plan, liveInvoice(ev.Plan))]
			child, parent := ev.Plan.Tenants[r.Tenant].ID+"/revenova:"+r.ID, "one/revenova:"+ev.Plan.Records[r.Parent].ID
			ev.Views = append(ev.Views, torture.View{Name: "dependents", Ready: true, Loose: true, Want: map[string]string{child + torture.Uses + parent: "registered"}})
		}},
		"empty views": {"I7", torture.NothingSeen, "", func(_ *testing.T, ev *torture.Evidence) {
			ev.Views = []torture.View{{Name: "replica"}}
		}},
		"a dead credential that nobody was told of": {"I12", torture.DeadSilent, "", func(_ *testing.T, ev *torture.Evidence) {
			ev.Desk.Told = ev.Desk.Told[1:]
		}},
		"a dead credential told twice": {"I12", torture.DeadTwice, "", func(_ *testing.T, ev *torture.Evidence) {
			again := ev.Desk.Told[0]
			again.At = again.At.Add(time.Second)
			ev.Desk.Told = append(ev.Desk.Told, again)
		}},
		"a credential told of as dead that lives": {"I12", torture.DeadFalse, "", func(_ *testing.T, ev *torture.Evidence) {
			ev.Desk.Revoked = nil
		}},
		"a replaced refresh token used": {"I13", torture.TokenReused, "", func(_ *testing.T, ev *torture.Evidence) {
			ev.Ledger = slices.Insert(ev.Ledger, 0, torture.Line{App: "quickbooks", Account: "11", Object: "token", Op: "refresh", Code: "refresh_token_reused", Time: began})
		}},
		"a stored token that the provider replaced": {"I13", torture.TokenStale, "", func(_ *testing.T, ev *torture.Evidence) {
			ev.Ledger[len(ev.Ledger)-1].Code = "refresh_within_grace"
		}},
		"a company that nobody refreshed for": {"I13", torture.NothingSeen, "", func(_ *testing.T, ev *torture.Evidence) {
			ev.Ledger = ev.Ledger[:len(ev.Ledger)-1]
		}},
		"a gap in a topic": {"I14", torture.Gap, "", func(_ *testing.T, ev *torture.Evidence) {
			ev.Topics[0].Gaps = []torture.Span{{5, 6}}
		}},
		"a topic that lost its beginning": {"I14", torture.Trimmed, "", func(_ *testing.T, ev *torture.Evidence) {
			ev.Topics[0].Start = 3
		}},
		"empty topics": {"I14", torture.NothingSeen, "", func(_ *testing.T, ev *torture.Evidence) {
			ev.Topics = []torture.Topic{{Name: "gateway"}}
		}},
	}
	planted := map[string]bool{}
	for name, c := range cases {
		planted[c.invariant] = true
		t.Run(name, func(t *testing.T) {
			ev := perfect(t, mixed)
			c.plant(t, &ev)
			r := torture.Check(ev, torture.Tolerance{})
			i := slices.IndexFunc(r.Violations, func(v torture.Violation) bool { return v.Kind == c.want && v.Invariant == c.invariant })
			if i < 0 {
				t.Fatalf("%q was not caught; the checker saw:\n%s", c.want, r.String())
			}
			if history := strings.Join(r.Violations[i].History, "\n"); !strings.Contains(history, c.history) {
				t.Errorf("the history lacks %q:\n%s", c.history, history)
			}
			if !strings.Contains(r.Table(), fmt.Sprintf("| %s | ", c.invariant)) || !strings.Contains(r.Table(), "violations**") {
				t.Errorf("the table does not show it:\n%s", r.Table())
			}
		})
	}
	ev := perfect(t, mixed)
	r := torture.Check(ev, torture.Tolerance{})
	for _, i := range r.Judged {
		if i.Unjudged != "" || !planted[i.Name] {
			t.Errorf("%s: judged in the perfect run: %t, planted: %t", i.Name, i.Unjudged == "", planted[i.Name])
		}
	}
}

// TestCheckSaysWhatItDidNotJudge: without what is read in the end, or without
// what would show it, an invariant is not counted as held.
func TestCheckSaysWhatItDidNotJudge(t *testing.T) {
	ev := perfect(t, torture.Size{Records: 20})
	r := torture.Check(ev, torture.Tolerance{})
	var unjudged []string
	for _, i := range r.Judged {
		if i.Unjudged != "" {
			unjudged = append(unjudged, i.Name)
		}
	}
	if got := strings.Join(unjudged, " "); got != "I6 I7 I12 I13 I14" || !r.Right() {
		t.Errorf("not judged: %s\n%s", got, r.Table())
	}
}

// TestAPlanOfDocumentsHasEveryKind in the shares that were asked for.
func TestAPlanOfDocumentsHasEveryKind(t *testing.T) {
	p := torture.NewPlan(3, tenants(), torture.Size{Records: 10_000, DeleteShare: 0.05, TieShare: 0.02, PartialShare: 0.1, Documents: true, Probes: true})
	count := map[string]int{}
	for i := range p.Records {
		r := &p.Records[i]
		add := func(what string, is bool) {
			if is {
				count[what]++
			}
		}
		add("invoice", r.Role == torture.Invoice)
		add("orphan", p.Orphan(r))
		add("fetched", r.Role == torture.Invoice && p.Records[r.Parent].Coming == torture.Fetched)
		add("late", r.Role == torture.Invoice && p.Records[r.Parent].Coming == torture.Late)
		add("partial", r.Partial)
		add("deleted", r.Truth.Deleted)
		add("load with two bill-tos", r.Role == torture.Cargo && len(r.Edits) == 2)
	}
	for what, want := range map[string][2]int{
		"invoice": {3000, 3000}, "orphan": {5, 90}, "fetched": {200, 400}, "late": {200, 400}, "partial": {600, 1000}, "deleted": {250, 550}, "load with two bill-tos": {120, 280},
	} {
		if n := count[what]; n < want[0] || n > want[1] {
			t.Errorf("%d × %s of 10,000 records, want %d to %d", n, what, want[0], want[1])
		}
	}
	messages, err := p.Messages()
	if err != nil {
		t.Fatal(err)
	}
	told := map[int]bool{}
	for i, m := range messages {
		for _, e := range m.Edits {
			told[e.Record] = true
			if e.Probe {
				t.Error("a probe is among the messages")
			}
			if p.Records[e.Record].Coming == torture.Late && (i < len(messages)/3 || m.Holds == nil) {
				t.Errorf("late record %d is in message %d of %d, which holds %d", e.Record, i, len(messages), len(m.Holds))
			}
		}
	}
	for i := range p.Records {
		if r := &p.Records[i]; told[i] != (r.Coming == torture.Told || r.Coming == torture.Late) {
			t.Errorf("record %d, %s: told %t, coming %d", i, r.Object(), told[i], r.Coming)
		}
	}
	probes, err := p.Probes()
	if err != nil || len(probes) < len(tenants()) {
		t.Errorf("%d probes, %v", len(probes), err)
	}
}
