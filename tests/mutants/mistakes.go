package mutants

import (
	"fmt"
	"time"
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
	Does   string // what is done, in a sentence
	Faults string // of the torture command
	Lasts  time.Duration
}

// Options are those of the torture command.
func (r Run) Options() []string {
	return []string{"-faults", r.Faults, "-events", "3000", "-duration", r.Lasts.String()}
}

// Mistakes are all eleven, in the order of reliability.md.
func Mistakes() [11]Mistake {
	return [...]Mistake{
		{
			"commit before produce", "commit-before-produce",
			Run{"each stage is killed three times between its writes and its commit", "killed-after-writing", 15 * time.Second},
		},
		{
			"plain producer + SIGSTOP", "plain-produce",
			Run{"of each stage one process is frozen between its writes and its commit, and goes on when another has taken its partitions over", "frozen-after-writing", 26 * time.Second},
		},
		{
			"retry topic", "retry-topic",
			Run{"one write in six is refused for now", "refused-for-now", 15 * time.Second},
		},
		{
			"check-then-park, no sweeper", "check-then-park",
			Run{"nothing is hurt; loads come while their invoices look for them", "none", 8 * time.Second},
		},
		{
			"dedupe mark before ack", "seen-before-stored",
			Run{"all gateways are killed every two seconds", "killed-gateways", 15 * time.Second},
		},
		{
			"no stored request id", "request-not-stored",
			Run{"one write in four is made and not answered, at companies that remember no request ids", "lost-answers", 15 * time.Second},
		},
		{
			"replay raw events", "last-arrival-wins",
			Run{"nothing is hurt; each event comes twice or three times, older ones after newer ones", "none", 8 * time.Second},
		},
		{
			"refresh without lock", "refresh-without-lock",
			Run{"access tokens end a second after they are given out; the token endpoint takes a quarter of a second, and takes no token that it has replaced", "ending-tokens", 15 * time.Second},
		},
		{
			"view without offset", "view-without-offset",
			Run{"Redis is restored from a dump that is 6 s old", "older-views", 15 * time.Second},
		},
		{
			"6→12 partitions", "partitions-grown",
			Run{"of 6 partitions somebody makes 12 by configuration, `topics apply` and a restart; where that is refused, nothing is restarted", "more-partitions", 15 * time.Second},
		},
		{
			"drop tombstone version", "delete-without-version",
			Run{"nothing is hurt; updates come after the delete that is newer", "none", 8 * time.Second},
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
