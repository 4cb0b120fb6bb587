package torture

import (
	"fmt"
	"strings"
)

// brokenBy says which invariant of reliability.md §3 a kind of violation breaks.
var brokenBy = map[Kind]string{
	NothingSeen: "I1", NotAcked: "I1", Lost: "I1", Stale: "I1", Torn: "I1", NotDeleted: "I1", Deleted: "I1", Misbilled: "I1",
	Reordered: "I2", WroteBack: "I2", Invented: "I3", Unattributed: "I3", Repeated: "I4", Duplicated: "I4", WroteTwice: "I4", WrongTenant: "I5",
	StillWaiting: "I6", Silent: "I6", ToldTwice: "I6", FalseAlarm: "I6",
	ViewLacks: "I7", ViewDiffer: "I7", ViewGhost: "I7", ViewUnread: "I7",
	DeadSilent: "I12", DeadTwice: "I12", DeadFalse: "I12", TokenReused: "I13", TokenStale: "I13", Gap: "I14", Trimmed: "I14",
}

// Invariant is one of reliability.md §3 and what was seen of it.
type Invariant struct {
	Name    string
	Promise string
	Seen    string
	// Why it was not judged; "" where it was.
	Unjudged string
}

// judged lists the invariants that this evidence can decide.
func (c *checker) judged() []Invariant {
	r := &c.report
	missing := func(there bool, why string) string {
		if there {
			return ""
		}
		return why
	}
	desk := c.ev.Desk
	return []Invariant{
		{"I1", "every record's end is the model's", fmt.Sprintf("%d records, %d of them customers nobody told of", r.Records, r.Fetched), ""},
		{"I2", "applied states of a record never go back", fmt.Sprintf("%d writes and %d states in changelogs; %d inversions at HubSpot healed within a minute", r.Writes, r.States, r.Healed), ""},
		{"I3", "every write is a state that was sent", fmt.Sprintf("%d writes", r.Writes), ""},
		{"I4", "one object a record, and no state is written again", fmt.Sprintf("%d objects, %d states in changelogs", r.Objects, r.States), ""},
		{"I5", "every write is in its own tenant's account", fmt.Sprintf("%d writes", r.Writes), ""},
		{
			"I6", "nothing waits for ever: arrived, or failed with one notification", fmt.Sprintf("%d invoices that can never arrive; stages told of %d problems", r.Orphans, r.Told),
			missing(desk != nil && len(c.children) > 0, "the load has no invoices, or nobody looked at what waits"),
		},
		{"I7", "views are the fold of their topics", fmt.Sprintf("%d records in views", r.Viewed), missing(c.ev.Views != nil, "nobody read the views")},
		{
			"I12", "one notification for each credential that died", fmt.Sprintf("%d credentials", r.Revoked),
			missing(desk != nil && len(desk.Revoked) > 0, "no credential was revoked; none was told of as dead"),
		},
		{
			"I13", "the stored token is the provider's, and no replaced one is used", fmt.Sprintf("%d refreshes, %d of them asked for once more", r.Refreshes+r.Grace, r.Grace),
			missing(c.ev.Tokens != nil, "nobody let the tokens expire in the end"),
		},
		{
			"I14", "no topic has an unexplained gap", fmt.Sprintf("%d offsets, %d of them transaction markers, %d compacted", r.Offsets, r.Markers, r.Compacted),
			missing(c.ev.Topics != nil, "nobody read the topics"),
		},
	}
}

// Broken counts the violations of one invariant.
func (r *Report) Broken(invariant string) int {
	n := 0
	for i := range r.Violations {
		if r.Violations[i].Invariant == invariant {
			n++
		}
	}
	return n
}

// Table shows the invariants as Markdown, with more of the caller's own.
func (r *Report) Table(more ...Invariant) string {
	var b strings.Builder
	b.WriteString("| | | seen |\n|---|---|---|\n")
	for _, i := range append(r.Judged, more...) {
		seen := i.Seen
		if i.Unjudged != "" {
			seen = "not judged: " + i.Unjudged
		}
		if n := r.Broken(i.Name); n > 0 {
			seen = fmt.Sprintf("**%d violations**; %s", n, seen)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", i.Name, i.Promise, seen)
	}
	return b.String()
}
