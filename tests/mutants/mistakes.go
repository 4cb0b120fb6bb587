package mutants

import (
	"fmt"
	"slices"
)

// Mistake is one of the eleven of reliability.md §3 ("Check the checker"): the
// whole platform is built with it and tortured, and the checker must call the
// run wrong. The same run on the platform as it is must come out right.
type Mistake struct {
	Name   string // as reliability.md has it
	Mutant string // of [All]
	Run    Run
}

// Run is the smallest torture that shows a mistake.
type Run struct {
	Does string // what is done, in a sentence
	// Options of the torture command: each run has its own faults.
	Options []string
}

// Mistakes are in the order of reliability.md.
func Mistakes() []Mistake {
	byName := map[string]Mistake{}
	for _, m := range slices.Concat(stageMistakes(), edgeMistakes()) {
		byName[m.Name] = m
	}
	out := make([]Mistake, 0, len(eleven()))
	for _, name := range eleven() {
		if m, shown := byName[name]; shown {
			out = append(out, m)
		}
	}
	return out
}

// eleven are all there are.
func eleven() []string {
	return []string{
		"commit before produce", "plain producer + SIGSTOP", "retry topic", "check-then-park, no sweeper", "dedupe mark before ack", "no stored request id",
		"replay raw events", "refresh without lock", "view without offset", "6→12 partitions", "drop tombstone version",
	}
}

// stageMistakes are made between the topics.
func stageMistakes() []Mistake {
	return []Mistake{
		{
			Name: "commit before produce", Mutant: "commit-before-produce",
			Run: Run{
				Does:    "each stage is killed three times between its writes and its commit",
				Options: []string{"-faults", "killed-after-writing", "-events", "3000", "-duration", "15s"},
			},
		},
		{
			Name: "plain producer + SIGSTOP", Mutant: "plain-produce",
			Run: Run{
				Does:    "of each stage one process is frozen between its writes and its commit, and goes on when another has taken its partitions over",
				Options: []string{"-faults", "frozen-after-writing", "-events", "3000", "-duration", "26s"},
			},
		},
		{
			Name: "check-then-park, no sweeper", Mutant: "check-then-park",
			Run: Run{
				Does:    "nothing is hurt; loads come while their invoices look for them",
				Options: []string{"-faults", "none", "-events", "3000", "-duration", "8s"},
			},
		},
		{
			Name: "view without offset", Mutant: "view-without-offset",
			Run: Run{
				Does:    "Redis is restored from a dump that is 6 s old",
				Options: []string{"-faults", "older-views", "-events", "3000", "-duration", "15s"},
			},
		},
		{
			Name: "6→12 partitions", Mutant: "partitions-grown",
			Run: Run{
				Does:    "of 6 partitions somebody makes 12 by configuration, `topics apply` and a restart; where that is refused, nothing is restarted",
				Options: []string{"-faults", "more-partitions", "-events", "3000", "-duration", "15s"},
			},
		},
	}
}

// Find is the mutant of a mistake.
func (m Mistake) Find() (Mutant, error) {
	for _, mutant := range All() {
		if mutant.Name == m.Mutant {
			return mutant, nil
		}
	}
	return Mutant{}, fmt.Errorf("mistake %q: there is no mutant %s", m.Name, m.Mutant)
}
