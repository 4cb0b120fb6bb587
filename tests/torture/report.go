package torture

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Violation is one way in which a run was wrong.
type Violation struct {
	Kind   Kind
	App    string
	Record int // -1: none
	What   string
	// History is all that is known of the record at that app, in order.
	History []string
	// Invariant is the one of reliability.md §3 that is broken.
	Invariant string
}

// Report is the checker's judgement.
type Report struct {
	Records    int // that were sent
	AckedEdits int // acknowledged, repeats counted
	Writes     int // applied at the destinations
	Objects    int // in the end
	// Healed counts inversions within the tolerance.
	Healed int

	Fetched   int   // customers nobody told of that had to arrive
	Orphans   int   // invoices that can never arrive
	Told      int   // problems that stages told of
	Revoked   int   // credentials that were made invalid
	Viewed    int   // records compared in views
	States    int   // in the changelogs of the views
	Refreshes int   // of tokens
	Grace     int   // refreshes that were asked for once more with the token before
	Offsets   int64 // in all topics
	Markers   int   // of transactions among them
	Compacted int64 // offsets that compaction explains

	Judged     []Invariant
	Violations []Violation
}

// Right reports whether nothing was wrong.
func (r *Report) Right() bool { return len(r.Violations) == 0 }

// fail notes a violation. A key without app or with a record below 0 is of no
// record.
func (c *checker) fail(kind Kind, k key, what string) {
	v := Violation{Kind: kind, App: k.app, Record: k.record, What: what, Invariant: brokenBy[kind]}
	if k.app == "" || k.record < 0 {
		v.Record = -1
	} else {
		v.History = c.history(k)
	}
	c.report.Violations = append(c.report.Violations, v)
}

// nothing notes that an invariant that claims to be judged saw nothing.
func (c *checker) nothing(invariant, what string) {
	c.report.Violations = append(c.report.Violations, Violation{Kind: NothingSeen, Record: -1, What: what, Invariant: invariant})
}

// history is all that is known of a record at an app, an invoice's load and
// notifications included.
func (c *checker) history(k key) []string {
	r := &c.ev.Plan.Records[k.record]
	out := c.edits(k.record)
	if r.Role == Invoice {
		out = append(out, c.edits(r.Parent)...)
	}
	if t := c.tracks[k]; t != nil {
		for _, i := range t.lines {
			out = append(out, c.ev.Ledger[i].String())
		}
	}
	for _, o := range c.ends[k] {
		out = append(out, o.String())
	}
	if c.ev.Desk != nil {
		tenant, id := c.ev.Plan.Tenants[r.Tenant].ID, "revenova:"+r.ID
		for _, list := range [][]Notice{c.ev.Desk.Told, c.ev.Desk.Notices} {
			for i := range list {
				if n := &list[i]; n.Tenant == tenant && n.RecordID == id {
					out = append(out, n.String())
				}
			}
		}
	}
	return out
}

func (c *checker) edits(record int) []string {
	r := &c.ev.Plan.Records[record]
	coming := [...]string{"told", "told late", "only fetched", "nowhere"}[r.Coming]
	out := []string{fmt.Sprintf("record %d = %s/%s %s, %s, truth %s", record, c.ev.Plan.Tenants[r.Tenant].ID, r.ID, r.Object(), coming, describe([]*State{&r.Truth}))}
	for _, e := range r.Edits {
		fate := "not sent"
		switch {
		case e.Rank <= c.acked[record]:
			fate = "acked, or older than one that was"
		case c.sent[record][fmt.Sprintf("%d%s", e.Rank, e.Variant)]:
			fate = "sent"
		}
		what := ""
		if r.Role == Cargo {
			what = fmt.Sprintf(" %v", e.Fields)
		}
		out = append(out, fmt.Sprintf("edit r%d%s stamp %s deleted %t%s: %s", e.Rank, e.Variant, e.Stamp.Format(StampLayout), e.Deleted, what, fate))
	}
	return out
}

// String is the report for a failing test: each kind with its count and the
// shortest history that shows it.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d records sent, %d edits acked, %d writes applied, %d objects in the end, %d inversions healed\n", r.Records, r.AckedEdits, r.Writes, r.Objects, r.Healed)
	for _, v := range r.shortest() {
		n := 0
		for i := range r.Violations {
			if r.Violations[i].Kind == v.Kind {
				n++
			}
		}
		fmt.Fprintf(&b, "%d × %s, for example at %s: %s\n", n, v.Kind, v.App, v.What)
		for _, h := range v.History {
			fmt.Fprintf(&b, "    %s\n", h)
		}
	}
	return b.String()
}

// shortest picks one violation of each kind.
func (r *Report) shortest() []Violation {
	best := map[Kind]Violation{}
	for _, v := range r.Violations {
		if have, ok := best[v.Kind]; !ok || len(v.History) < len(have.History) {
			best[v.Kind] = v
		}
	}
	out := make([]Violation, 0, len(best))
	for _, v := range best {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b Violation) int { return cmp.Compare(a.Kind, b.Kind) })
	return out
}

// Markdown is the report of one run for people: what was done, what came of it.
func (r *Report) Markdown(title string, s Summary, deeds []Deed) string {
	var b strings.Builder
	verdict := "every record ended in its last state"
	if !r.Right() {
		verdict = fmt.Sprintf("**%d violations**", len(r.Violations))
	}
	fmt.Fprintf(&b, "# %s\n\n%s\n\n", title, verdict)
	fmt.Fprintf(&b, "| | |\n|---|---|\n| records | %d |\n| messages acked | %d of %d |\n| notifications | %d |\n| attempts | %d |\n| load took | %s |\n| writes applied | %d |\n| objects | %d |\n| inversions healed | %d |\n",
		r.Records, s.Acked, s.Messages, s.Notifications, s.Attempts, s.Took.Round(1e6), r.Writes, r.Objects, r.Healed)
	if len(deeds) > 0 {
		b.WriteString("\n| at | fault | on |\n|---|---|---|\n")
		for _, d := range deeds {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", d.At.Format("15:04:05.000"), d.What, d.Victim)
		}
	}
	b.WriteString("\n" + r.Table())
	if !r.Right() {
		b.WriteString("\n```\n" + r.String() + "```\n")
	}
	return b.String()
}
