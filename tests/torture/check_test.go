package torture_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/tests/torture"
)

func tenants() []torture.Tenant {
	return []torture.Tenant{
		{ID: "one", Slug: "one-llc", Organization: "00D5g000004XyZzEAK", Realm: "11", Portal: "12", WebhookKey: "k1", SigningSecret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
		{ID: "two", Slug: "two-llc", Organization: "00D5g000004XyZzEAK", Realm: "21", Portal: "22", WebhookKey: "k2", SigningSecret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
	}
}

func TestCheckPassesAPerfectRun(t *testing.T) {
	for _, size := range []torture.Size{{Records: 1}, {Records: 200, DeleteShare: 0.2}, {Records: 200, TieShare: 1}, {Records: 200, PartialShare: 1}, mixed} {
		if r := torture.Check(perfect(t, size), torture.Tolerance{}); !r.Right() {
			t.Errorf("%+v:\n%s", size, r.String())
		}
	}
}

// TestCheckPassesWhatTheContractAllows: skipped states, a record made and
// deleted before anything was sent, the same request seen twice.
func TestCheckPassesWhatTheContractAllows(t *testing.T) {
	ev := perfect(t, torture.Size{Records: 100, DeleteShare: 0.3})
	deleted := slices.IndexFunc(ev.Plan.Records, func(r torture.Record) bool { return r.Truth.Deleted })
	ev.Ledger = slices.DeleteFunc(ev.Ledger, func(l torture.Line) bool {
		m, _ := torture.ParseMarker(l.Marker)
		return m.Record == deleted || m.Rank == 2
	})
	ev.Objects = slices.DeleteFunc(ev.Objects, func(o torture.Object) bool {
		m, _ := torture.ParseMarker(o.Name)
		return m.Record == deleted
	})
	again := ev.Ledger[0]
	ev.Ledger = slices.Insert(ev.Ledger, 1, again)
	if r := torture.Check(ev, torture.Tolerance{}); !r.Right() {
		t.Error(r.String())
	}
}

// pick finds the n-th line of a live record that satisfies want.
func pick(t *testing.T, ev *torture.Evidence, app string, rank int) int {
	t.Helper()
	i := slices.IndexFunc(ev.Ledger, func(l torture.Line) bool {
		m, ok := torture.ParseMarker(l.Marker)
		return ok && l.App == app && m.Rank == rank && m.Record > 3 && !ev.Plan.Records[m.Record].Truth.Deleted
	})
	if i < 0 {
		t.Fatalf("the perfect run has no write of r%d at %s", rank, app)
	}
	return i
}

func end(t *testing.T, ev *torture.Evidence, app string, deleted bool) *torture.Object {
	t.Helper()
	for i := range ev.Objects {
		if ev.Objects[i].App == app && ev.Objects[i].Active != deleted {
			return &ev.Objects[i]
		}
	}
	t.Fatalf("the perfect run has no object at %s with deleted %t", app, deleted)
	return nil
}

func TestCheckCatches(t *testing.T) {
	cases := map[string]struct {
		want torture.Kind
		spit func(t *testing.T, ev *torture.Evidence)
	}{
		"a record that never arrived": {torture.Lost, func(t *testing.T, ev *torture.Evidence) {
			id := end(t, ev, "quickbooks", false).ID
			ev.Objects = slices.DeleteFunc(ev.Objects, func(o torture.Object) bool { return o.ID == id && o.App == "quickbooks" })
			ev.Ledger = slices.DeleteFunc(ev.Ledger, func(l torture.Line) bool { return l.ID == id && l.App == "quickbooks" })
		}},
		"a last edit that never arrived": {torture.Stale, func(t *testing.T, ev *torture.Evidence) {
			i := pick(t, ev, "hubspot", 3)
			id, before := ev.Ledger[i].ID, ev.Ledger[i-1].Marker
			ev.Ledger = slices.Delete(ev.Ledger, i, i+1)
			for j := range ev.Objects {
				if o := &ev.Objects[j]; o.ID == id && o.App == "hubspot" {
					o.Name, o.Phone, o.City, o.Street, o.Zip, o.Region = before, strings.Replace(o.Phone, "-3", "-2", 1), "Springfield 2", "2 Main Street", "04002", "MC"
				}
			}
		}},
		"an older state on top of a newer one": {torture.Reordered, func(t *testing.T, ev *torture.Evidence) {
			i := pick(t, ev, "quickbooks", 3)
			ev.Ledger[i], ev.Ledger[i-1] = ev.Ledger[i-1], ev.Ledger[i]
		}},
		"an older state in the middle, healed at once": {torture.Reordered, func(t *testing.T, ev *torture.Evidence) {
			i := pick(t, ev, "hubspot", 3)
			ev.Ledger = slices.Insert(ev.Ledger, i+1, ev.Ledger[i-1], ev.Ledger[i])
		}},
		"an object made twice": {torture.Duplicated, func(t *testing.T, ev *torture.Evidence) {
			i := pick(t, ev, "quickbooks", 1)
			twin := ev.Ledger[i]
			twin.ID, twin.RequestID = "999999", "other"
			ev.Ledger = slices.Insert(ev.Ledger, i+1, twin)
		}},
		"two objects in the end": {torture.Duplicated, func(t *testing.T, ev *torture.Evidence) {
			twin := *end(t, ev, "hubspot", false)
			twin.ID = "999999"
			ev.Objects = append(ev.Objects, twin)
		}},
		"one state applied twice with another body": {torture.Repeated, func(t *testing.T, ev *torture.Evidence) {
			i := pick(t, ev, "hubspot", 2)
			twin := ev.Ledger[i]
			twin.Digest = "another"
			ev.Ledger = slices.Insert(ev.Ledger, i+1, twin)
		}},
		"one state applied twice under another request id": {torture.Repeated, func(t *testing.T, ev *torture.Evidence) {
			i := pick(t, ev, "quickbooks", 2)
			twin := ev.Ledger[i]
			twin.RequestID = "another"
			ev.Ledger = slices.Insert(ev.Ledger, i+1, twin)
		}},
		"a write to another tenant's account": {torture.WrongTenant, func(t *testing.T, ev *torture.Evidence) {
			i := pick(t, ev, "quickbooks", 2)
			ev.Ledger[i].Account = map[string]string{"11": "21", "21": "11"}[ev.Ledger[i].Account]
		}},
		"an object in another tenant's account": {torture.WrongTenant, func(t *testing.T, ev *torture.Evidence) {
			o := end(t, ev, "hubspot", false)
			o.Account = map[string]string{"12": "22", "22": "12"}[o.Account]
		}},
		"fields of two states in one object": {torture.Torn, func(t *testing.T, ev *torture.Evidence) {
			end(t, ev, "quickbooks", false).Phone = "555-000000-1"
		}},
		"a deleted record in use": {torture.NotDeleted, func(t *testing.T, ev *torture.Evidence) {
			end(t, ev, "quickbooks", true).Active = true
		}},
		"a live record out of use": {torture.Deleted, func(t *testing.T, ev *torture.Evidence) {
			end(t, ev, "hubspot", false).Active = false
		}},
		"a deletion undone by an older update": {torture.Reordered, func(t *testing.T, ev *torture.Evidence) {
			i := slices.IndexFunc(ev.Ledger, func(l torture.Line) bool { return l.Op == "deactivate" })
			ev.Ledger[i], ev.Ledger[i-1] = ev.Ledger[i-1], ev.Ledger[i]
		}},
		"a state nobody sent": {torture.Invented, func(t *testing.T, ev *torture.Evidence) {
			i := pick(t, ev, "quickbooks", 3)
			ev.Ledger[i].Marker = strings.Replace(ev.Ledger[i].Marker, " r3", " r9", 1)
		}},
		"a write of nobody's": {torture.Unattributed, func(t *testing.T, ev *torture.Evidence) {
			stray := ev.Ledger[0]
			stray.ID, stray.Marker = "31337", "Somebody Inc"
			ev.Ledger = append(ev.Ledger, stray)
		}},
		"a silent destination": {torture.NothingSeen, func(_ *testing.T, ev *torture.Evidence) {
			ev.Ledger = slices.DeleteFunc(ev.Ledger, func(l torture.Line) bool { return l.App == "hubspot" })
		}},
		"an empty ledger": {torture.NothingSeen, func(_ *testing.T, ev *torture.Evidence) {
			ev.Ledger, ev.Objects = nil, nil
		}},
		"an empty ledger with an empty load": {torture.NotAcked, func(_ *testing.T, ev *torture.Evidence) {
			ev.Ledger, ev.Objects, ev.Intents = nil, nil, nil
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ev := perfect(t, torture.Size{Records: 60, DeleteShare: 0.2})
			c.spit(t, &ev)
			r := torture.Check(ev, torture.Tolerance{})
			if !slices.ContainsFunc(r.Violations, func(v torture.Violation) bool { return v.Kind == c.want }) {
				t.Errorf("%q was not caught; the checker saw:\n%s", c.want, r.String())
			}
		})
	}
}

// TestCheckCatchesAnAckedEditThatIsMissing: with a load that gives up, what was
// not acked may be missing, what was acked may not.
func TestCheckCatchesAnAckedEditThatIsMissing(t *testing.T) {
	ev := perfect(t, torture.Size{Records: 40})
	victim := 17
	gone := func(l torture.Line) bool {
		m, _ := torture.ParseMarker(l.Marker)
		return m.Record == victim
	}
	ev.Ledger = slices.DeleteFunc(ev.Ledger, gone)
	ev.Objects = slices.DeleteFunc(ev.Objects, func(o torture.Object) bool {
		m, _ := torture.ParseMarker(o.Name)
		return m.Record == victim
	})
	if r := torture.Check(ev, torture.Tolerance{}); r.Right() {
		t.Error("a record whose edits were acked is missing, and the checker is content")
	}
	prefix := fmt.Sprintf("%d:", victim)
	for i := range ev.Intents {
		if ev.Intents[i].Event == torture.Acked {
			ev.Intents[i].Edits = slices.DeleteFunc(slices.Clone(ev.Intents[i].Edits), func(e string) bool { return strings.HasPrefix(e, prefix) })
		}
	}
	if r := torture.Check(ev, torture.Tolerance{}); !r.Right() {
		t.Errorf("no edit of record %d was acked, so it may be missing:\n%s", victim, r.String())
	}
}

func TestCheckAllowsAHealedInversionAtHubSpotOnly(t *testing.T) {
	for app, right := range map[string]bool{"hubspot": true, "quickbooks": false} {
		ev := perfect(t, torture.Size{Records: 60})
		i := pick(t, &ev, app, 3)
		ev.Ledger = slices.Insert(ev.Ledger, i+1, ev.Ledger[i-1], ev.Ledger[i])
		if r := torture.Check(ev, torture.Tolerance{Inversions: true}); r.Right() != right {
			t.Errorf("an inversion healed at once at %s: right = %t, want %t\n%s", app, r.Right(), right, r.String())
		}
		ev.Ledger = slices.Delete(ev.Ledger, i+2, i+3)
		if r := torture.Check(ev, torture.Tolerance{Inversions: true}); r.Right() {
			t.Errorf("an inversion that stays at %s passed", app)
		}
	}
}

func TestReportShowsTheShortestHistory(t *testing.T) {
	ev := perfect(t, torture.Size{Records: 60, DeleteShare: 0.2})
	end(t, &ev, "quickbooks", false).Phone = "555-000000-1"
	r := torture.Check(ev, torture.Tolerance{})
	for _, want := range []string{"1 × torn", "edit r3", "end: quickbooks", `phone "555-000000-1"`} {
		if !strings.Contains(r.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, r.String())
		}
	}
}
