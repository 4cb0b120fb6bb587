package rig

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// Markdown is the report of a run for people. command is what was typed,
// picture the name of the SVG beside it.
func (r *Result) Markdown(command, picture string) string {
	var b strings.Builder
	c := &r.Config
	verdict := "**Every record ended in its last state; no invariant was broken.**"
	if !r.Right() {
		verdict = fmt.Sprintf("**WRONG: %d violations.**", len(r.Report.Violations)+len(r.Wrong))
	}
	fmt.Fprintf(&b, "# Torture, seed %d, %s broker\n\n%s\n\n", c.Seed, brokerName(c.Broker), verdict)
	fmt.Fprintf(&b, "![throughput and latency over time, faults marked](%s)\n\n", picture)
	fmt.Fprintf(&b, "    %s\n\n", command)
	row := func(name string, value any) { fmt.Fprintf(&b, "| %s | %v |\n", name, value) }
	b.WriteString("| | |\n|---|---|\n")
	row("date", r.Started.UTC().Format("2006-01-02 15:04 MST"))
	row("machine", fmt.Sprintf("%d cores, %s/%s, %s; everything on it: broker, PostgreSQL, Redis, sandbox, services, load", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version()))
	row("processes", fmt.Sprintf("%d of each of %s", c.Copies, strings.Join(services(), ", ")))
	row("load", fmt.Sprintf("%d notifications of %d records and %d tenants, each edit twice, shuffled, over %s", r.Summary.Notifications, r.Report.Records, c.Tenants, r.Summary.Took.Round(time.Second)))
	row("messages acknowledged", fmt.Sprintf("%d of %d, in %d attempts", r.Summary.Acked, r.Summary.Messages, r.Summary.Attempts))
	row("writes applied at the destinations", fmt.Sprintf("%d, on %d objects", r.Report.Writes, r.Report.Objects))
	row("kills of services", kills1(r.Kills))
	drained := "not within the limit"
	if r.Drained > 0 {
		drained = r.Drained.Round(100 * time.Millisecond).String()
	}
	row("last write after the end of faults and load", drained)
	row("processes that ended by themselves and were started again", exits(r.Exits))
	b.WriteString("\n## Invariants (reliability.md §3)\n\n")
	b.WriteString(r.Report.Table(
		r.Beside,
		torture.Invariant{Name: "I4", Promise: "repeats are the same request, and bounded", Seen: r.beside("I4", fmt.Sprintf("%d repeats", r.Repeats))},
		torture.Invariant{Name: "I8", Promise: "nothing is left behind in any group", Seen: r.beside("I8", fmt.Sprintf("%d records behind", r.Lag))},
		torture.Invariant{Name: "I9", Promise: "poison is in the dead letters, with its bytes, and nothing else", Seen: r.beside("I9", fmt.Sprintf("%d put in, %d dead letters", r.Injected, r.Letters))},
	))
	b.WriteString("\nNot judged: I11 (re-sync is another issue's).\n\n## From the first sending of a state to its write\n\n")
	b.WriteString(r.Latency)
	r.violations(&b)
	r.faults(&b)
	return b.String()
}

// beside says what was seen of an invariant that is not the checker's alone.
func (r *Result) beside(name, seen string) string {
	broken := 0
	for _, w := range r.Wrong {
		if strings.HasPrefix(w, name+":") {
			broken++
		}
	}
	if broken > 0 {
		return fmt.Sprintf("**%d violations**; %s", broken, seen)
	}
	return seen
}

func brokerName(b Broker) string {
	if b.Kind == "real" && b.Nodes > 1 {
		return fmt.Sprintf("real (%d nodes)", b.Nodes)
	}
	return b.Kind
}

func kills1(kills map[string]int) string {
	sum := 0
	var parts []string
	for _, name := range services() {
		sum += kills[name]
		parts = append(parts, fmt.Sprintf("%s %d", name, kills[name]))
	}
	return fmt.Sprintf("%d: %s", sum, strings.Join(parts, ", "))
}

func exits(exits map[string]int) string {
	if len(exits) == 0 {
		return "none"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(exits)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, exits[name]))
	}
	return strings.Join(parts, ", ")
}

func (r *Result) violations(b *strings.Builder) {
	if !r.Report.Right() {
		b.WriteString("\n## Violations, the shortest history of each kind\n\n```\n" + r.Report.String() + "```\n")
	}
	for _, w := range r.Wrong {
		fmt.Fprintf(b, "\n- %s\n", w)
	}
	if len(r.Saw) > 0 {
		b.WriteString("\n## What faults with promises of their own showed\n\n")
		for _, s := range r.Saw {
			fmt.Fprintf(b, "- %s\n", s)
		}
	}
	if len(r.Complaint) > 0 {
		b.WriteString("\n## Noticed beside\n\n")
		for _, c := range r.Complaint {
			fmt.Fprintf(b, "- %s\n", c)
		}
	}
}

func (r *Result) faults(b *strings.Builder) {
	b.WriteString("\n## Faults\n\nWhat was done, in seconds after the start of the load. The same seed and the same options lay out the same faults.\n\n| at | fault | on |\n|---|---|---|\n")
	for _, d := range r.Deeds {
		fmt.Fprintf(b, "| %.1f | %s | %s |\n", d.At.Sub(r.Started).Seconds(), d.What, d.Victim)
	}
	b.WriteString("\n### Left out\n\n")
	left := LeftOut(r.Config.Broker)
	for _, name := range slices.Sorted(maps.Keys(left)) {
		fmt.Fprintf(b, "- %s: %s.\n", name, left[name])
	}
	for _, f := range possible(r.Config.Broker) {
		if r.Config.Faults != nil && !slices.Contains(r.Config.Faults, f) {
			fmt.Fprintf(b, "- %s: not asked for in this run.\n", f)
		}
	}
}
