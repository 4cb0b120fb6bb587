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
}

// Report is the checker's judgement.
type Report struct {
	Records    int // that were sent
	AckedEdits int // acknowledged, repeats counted
	Writes     int // applied at the destinations
	Objects    int // in the end
	// Healed counts inversions within the tolerance.
	Healed     int
	Violations []Violation
}

// Right reports whether nothing was wrong.
func (r *Report) Right() bool { return len(r.Violations) == 0 }

func (c *checker) fail(kind Kind, k key, what string) {
	v := Violation{Kind: kind, App: k.app, Record: k.record, What: what}
	if k.app == "" || k.record < 0 {
		v.Record = -1
		c.report.Violations = append(c.report.Violations, v)
		return
	}
	r := &c.ev.Plan.Records[k.record]
	v.History = append(v.History, fmt.Sprintf("record %d = %s/%s, truth %s", k.record, c.ev.Plan.Tenants[r.Tenant].ID, r.ID, describe([]*State{&r.Truth})))
	for _, e := range r.Edits {
		fate := "not sent"
		switch {
		case e.Rank <= c.acked[k.record]:
			fate = "acked, or older than one that was"
		case c.sent[k.record][fmt.Sprintf("%d%s", e.Rank, e.Variant)]:
			fate = "sent"
		}
		v.History = append(v.History, fmt.Sprintf("edit r%d%s stamp %s deleted %t: %s", e.Rank, e.Variant, e.Stamp.Format(StampLayout), e.Deleted, fate))
	}
	if t := c.tracks[k]; t != nil {
		for _, i := range t.lines {
			v.History = append(v.History, c.ev.Ledger[i].String())
		}
	}
	for _, o := range c.ends[k] {
		v.History = append(v.History, o.String())
	}
	c.report.Violations = append(c.report.Violations, v)
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
	if !r.Right() {
		b.WriteString("\n```\n" + r.String() + "```\n")
	}
	return b.String()
}
