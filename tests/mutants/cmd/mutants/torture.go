package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/fluxnex/fluxnex/tests/mutants"
)

// preface tells of the table what its columns cannot.
const preface = `[Mutants](mutants.md) asks the tests; here the whole platform is built with the mistake (go build -overlay), started as a cluster would run it (two processes of each service, broker, registry, PostgreSQL, Redis, the destinations), loaded, and hurt as named; the offline checker must call the run wrong. The platform as it is went through the same runs, with the first of the seeds, and came out right as often as its column says. A run that could not be judged is neither.

The eleven mistakes are those of reliability.md §3, "Check the checker". Each has a run of its own, the smallest that shows it: a fault that is aimed at it (tests/torture/rig/provocation.go), so that ten of ten seeds meet the moment in which it is wrong. Where that moment is short, the mutant stands still in it: a naive build is as wrong without the pause, only more rarely. "Saw" is what the checker said most often in one run, with the number of times and the shortest history.

`

// afterword is what the table taught.
const afterword = `
What this found in the proof itself:

- A batch that a stage writes twice, or an older state that it writes after a newer one, reaches no destination: every reader mends it by the revision. So no run could tell a platform without transactions from one with them. The checker reads the committed states of the compacted topics in order, and an equal or lower revision of a record counts (I4, I2).
- Random kills and freezes hardly ever meet the moment between two writes. The failpoints of the crash points are armed in the middle of a run now, and can freeze their process: it goes on when another one owns its partitions and has written newer states.
- A run that hurts nothing was called wrong: edits that share a stamp show each other again, which was counted as a write repeated without a reason. A repetition is the same request with nothing in between.
- The platform as it is was called wrong rightly: with access tokens that end every two seconds a process took over the token of another one, which had ended too, and the connection was told of as dead while its refresh token was good. Such a token is replaced now (pkg/httpapi).
- A mark before the acknowledgement loses nothing to a broker that is away: the client writes what it holds when the broker is back. It takes a mark that outlives its gateway, and gateways that are killed.
`

// rightSeeds bounds the turns of the platform as it is, which must all come out
// right: every other run of the proof asks it too.
const rightSeeds = 3

// result is what came of one mistake's runs.
type result struct {
	mistake mutants.Mistake
	mutant  mutants.Mutant
	wrong   func() (string, error) // its binary, built once

	mu       sync.Mutex
	broken   tally
	saw      string
	right    int // turns of the platform as it is that came out right
	unjudged int
	took     time.Duration // of all turns
}

// tortures is the page of the runs before the checker; missed are mistakes that
// were not caught often enough, and runs that the platform as it is did not
// survive.
func (s *settings) tortures(ctx context.Context, names []string) (page string, missed []string, err error) {
	mistakes := mutants.Mistakes()
	all, err := chosen(mistakes[:], func(m mutants.Mistake) string { return m.Mutant }, names)
	if err != nil {
		return "", nil, err
	}
	torture, err := mutants.NewTorture(ctx, s.root, s.dir)
	if err != nil {
		return "", nil, err
	}
	results := make([]*result, len(all))
	for i, m := range all {
		mutant, err := m.Find()
		if err != nil {
			return "", nil, err
		}
		results[i] = &result{mistake: m, mutant: mutant, broken: tally{}, wrong: sync.OnceValues(func() (string, error) { return torture.Build(ctx, mutant) })}
	}
	var wg sync.WaitGroup
	free := make(chan struct{}, max(s.beside, 1))
	for _, r := range results {
		for seed := 1; seed <= s.seeds; seed++ {
			for _, mistake := range []bool{false, true} {
				if !mistake && seed > rightSeeds {
					continue
				}
				free <- struct{}{}
				wg.Go(func() {
					defer func() { <-free }()
					if ctx.Err() != nil {
						return
					}
					v, err := s.turn(ctx, torture, r, seed, mistake)
					r.add(seed, mistake, v, err)
				})
			}
		}
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return "", nil, err
	}
	return s.judged(results)
}

// turn is one run.
func (s *settings) turn(ctx context.Context, torture *mutants.Torture, r *result, seed int, mistake bool) (mutants.Verdict, error) {
	if !mistake {
		return torture.AsItIs(ctx, r.mistake.Run, seed, "-broker", s.broker)
	}
	platform, err := r.wrong()
	if err != nil {
		return mutants.Verdict{}, err
	}
	return torture.Ask(ctx, r.mistake.Run, platform, seed, "-broker", s.broker)
}

// add takes one turn in.
func (r *result) add(seed int, mistake bool, v mutants.Verdict, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	by := strings.Join(v.Broken, "+")
	what := "as it is"
	if mistake {
		what = r.mutant.Name
	}
	fmt.Fprintf(os.Stderr, "%s: %s, seed %d, %s: %s %s\n", r.mistake.Name, what, seed, v.Took.Round(time.Second), by, v.Saw)
	r.took += v.Took
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		r.unjudged++
	case mistake:
		r.broken.add(by)
		r.saw = cmp.Or(r.saw, v.Saw)
	case v.Right():
		r.right++
	}
}

func (s *settings) judged(results []*result) (page string, missed []string, err error) {
	var text strings.Builder
	asked := min(s.seeds, rightSeeds)
	fmt.Fprintf(&text, "# Mutants before the checker\n\n%s, %s broker, %d seeds; `make torture-mutants` writes this page anew. %s", stamp(), s.broker, s.seeds, preface)
	text.WriteString("| mistake | mutant: what it does wrong | run | caught | broken | saw | as it is |\n|---|---|---|---|---|---|---|\n")
	for _, r := range results {
		caught := r.broken.total()
		note := ""
		if r.unjudged > 0 {
			note = fmt.Sprintf("; %d not judged", r.unjudged)
		}
		fmt.Fprintf(&text, "| %s | %s: %s | %s (`%s`; %s a run) | %d of %d%s | %s | %s | right %d of %d |\n", r.mistake.Name, r.mutant.Name, r.mutant.Wrong,
			r.mistake.Run.Does, strings.Join(r.mistake.Run.Options(), " "), (r.took / time.Duration(s.seeds+asked)).Round(time.Second),
			caught, s.seeds, note, r.broken, strings.ReplaceAll(short(r.saw), "|", "/"), r.right, asked)
		if caught*10 < s.seeds*9 {
			missed = append(missed, r.mistake.Name+" is not caught often enough")
		}
		if r.right < asked {
			missed = append(missed, r.mistake.Name+": the platform as it is came out wrong or unjudged")
		}
	}
	text.WriteString(afterword)
	return text.String(), missed, nil
}

// short cuts what is told at length.
func short(s string) string {
	const enough = 160
	if r := []rune(s); len(r) > enough {
		return string(r[:enough]) + "…"
	}
	return s
}
