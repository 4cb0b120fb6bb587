package main

import (
	"fmt"
	"strings"
	"time"
)

// sample is one turn of subject and baseline, next to each other in time.
type sample struct {
	Subject float64 `json:"subject"`
	Bare    float64 `json:"bare,omitempty"`
	Ratio   float64 `json:"ratio,omitempty"`
	Host    host    `json:"host"`
	Note    string  `json:"note,omitempty"`
}

// goal is one promise about a result.
type goal struct {
	What    string  `json:"what"`
	Got     float64 `json:"got"`
	Want    float64 `json:"want"`
	AtLeast bool    `json:"at_least"` // else at most
}

func (g goal) met() bool {
	if g.AtLeast {
		return g.Got >= g.Want
	}
	return g.Got <= g.Want
}

func (g goal) String() string {
	sign := "≤"
	if g.AtLeast {
		sign = "≥"
	}
	return fmt.Sprintf("%s %s (%s %s)", g.What, number(g.Got), sign, number(g.Want))
}

// result is one measure on one cluster.
type result struct {
	Name    string   `json:"name"`
	On      string   `json:"on"`
	Unit    string   `json:"unit"` // of subject and bare
	Samples []sample `json:"samples"`
	Subject float64  `json:"subject"` // medians
	Bare    float64  `json:"bare,omitempty"`
	Ratio   float64  `json:"ratio,omitempty"`
	Goals   []goal   `json:"goals,omitempty"`
	Verdict string   `json:"verdict"`
	Notes   []string `json:"notes,omitempty"`
}

const (
	verdictMet    = "met"
	verdictMissed = "missed"
	verdictNoisy  = "host too noisy"
	verdictNone   = "no goal"
)

// finish takes the medians; goals are judged by them, where most samples were
// taken on a quiet host.
func (r *result) finish(goals func(r *result) []goal) {
	var subject, bare, ratio []float64
	noisy := 0
	for _, s := range r.Samples {
		subject = append(subject, s.Subject)
		if s.Bare > 0 {
			bare, ratio = append(bare, s.Bare), append(ratio, s.Ratio)
		}
		if s.Host.noisy() {
			noisy++
		}
	}
	r.Subject, r.Bare, r.Ratio = median(subject), median(bare), median(ratio)
	r.Verdict = verdictNone
	if goals == nil {
		return
	}
	if r.Goals = goals(r); len(r.Goals) == 0 {
		return
	}
	r.Verdict = verdictMet
	for _, g := range r.Goals {
		if !g.met() {
			r.Verdict = verdictMissed
		}
	}
	if 2*noisy > len(r.Samples) {
		r.Verdict = verdictNoisy
	}
}

func atLeast(what string, got, want float64) goal { return goal{what, got, want, true} }
func atMost(what string, got, want float64) goal  { return goal{what, got, want, false} }

func number(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// lines are the samples, for the terminal.
func (r *result) lines() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s: %s %s", r.Name, r.On, number(r.Subject), r.Unit)
	if r.Bare > 0 {
		fmt.Fprintf(&b, ", bare %s, ratio %.2f", number(r.Bare), r.Ratio)
	}
	fmt.Fprintf(&b, ": %s\n", r.Verdict)
	for i, s := range r.Samples {
		fmt.Fprintf(&b, "  sample %d: %s", i+1, number(s.Subject))
		if s.Bare > 0 {
			fmt.Fprintf(&b, ", bare %s, ratio %.2f", number(s.Bare), s.Ratio)
		}
		if s.Note != "" {
			b.WriteString("; " + s.Note)
		}
		fmt.Fprintf(&b, "; %s", s.Host)
		if s.Host.noisy() {
			b.WriteString(": noisy")
		}
		b.WriteString("\n")
	}
	for _, g := range r.Goals {
		mark := verdictMet
		if !g.met() {
			mark = verdictMissed
		}
		fmt.Fprintf(&b, "  goal: %s: %s\n", g, mark)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "  %s\n", n)
	}
	return b.String()
}
