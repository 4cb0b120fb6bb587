// Command mutants asks the proof about every mutant, several turns each, and
// writes the table: `make torture-mutants`.
//
// By default it runs the test that must notice the mutant; the same tests on the
// platform as it is must pass. With -torture it builds the whole platform with
// each of the eleven mistakes of reliability.md §3, hurts it as that mistake
// needs, and asks the checker; the platform as it is must come out right of the
// same runs.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/tests/mutants"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mutants: "+err.Error())
		stop()
		os.Exit(1) //nolint:gocritic // stop has run
	}
}

type settings struct {
	root   string
	seeds  int
	beside int
	broker string
	dir    string
	right  map[string]string // package → its tests, without a mistake
}

func run(ctx context.Context) error {
	s := settings{right: map[string]string{}}
	var out, only string
	var torture bool
	flag.StringVar(&s.root, "root", ".", "the repository")
	flag.IntVar(&s.seeds, "seeds", 10, "turns of each mutant; 9 of 10 must be caught")
	flag.BoolVar(&torture, "torture", false, "torture the whole platform instead of running the test")
	flag.IntVar(&s.beside, "beside", 2, "of the torture: runs side by side")
	flag.StringVar(&s.broker, "broker", "embedded", "of the torture: embedded or real")
	flag.StringVar(&out, "out", "", "file for the table")
	flag.StringVar(&only, "only", "", "these mutants, comma separated")
	flag.Parse()
	var names []string
	if only != "" {
		names = strings.Split(only, ",")
	}
	var err error
	if s.dir, err = os.MkdirTemp("", "fluxnex-mutants-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	table := s.table
	if torture {
		table = s.tortures
	}
	page, missed, err := table(ctx, names)
	if err != nil {
		return err
	}
	if out != "" {
		if err := os.WriteFile(out, []byte(page), 0o644); err != nil {
			return err
		}
	}
	fmt.Print(page)
	if len(missed) > 0 {
		return fmt.Errorf("not as it must be: %s", strings.Join(missed, ", "))
	}
	return nil
}

// chosen are those of a list that were asked for by name; nil asks for all.
func chosen[T any](all []T, name func(T) string, names []string) ([]T, error) {
	if names == nil {
		return all, nil
	}
	some := slices.DeleteFunc(slices.Clone(all), func(m T) bool { return !slices.Contains(names, name(m)) })
	if len(some) != len(names) {
		return nil, fmt.Errorf("of %s only %d are there", strings.Join(names, ", "), len(some))
	}
	return some, nil
}

// stamp says when and where a table was made.
func stamp() string {
	return fmt.Sprintf("%s, %d cores, %s", time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), runtime.Version())
}

// table is the page; missed are the mutants that were not caught often enough.
func (s *settings) table(ctx context.Context, names []string) (page string, missed []string, err error) {
	all, err := chosen(mutants.All(), func(m mutants.Mutant) string { return m.Name }, names)
	if err != nil {
		return "", nil, err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "# Mutants\n\n%s. Each mistake is built into the platform by `go build -overlay`; the test named must fail, by what it asserts. "+
		"9 of 10 must be caught. Without a mistake each of the tests passed, in the same run.\n\n"+
		"| mutant | race | what it does wrong | caught | by |\n|---|---|---|---|---|\n", stamp())
	for _, m := range all {
		caught, by, err := s.askTest(ctx, m)
		if ctx.Err() != nil {
			return "", nil, ctx.Err()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			by = "no verdict"
		}
		line := fmt.Sprintf("| %s | %s | %s | %d of %d | %s |\n", m.Name, strings.Join(m.Races, ", "), m.Wrong, caught, s.seeds, by)
		fmt.Fprint(os.Stderr, line)
		text.WriteString(line)
		if caught*10 < s.seeds*9 {
			missed = append(missed, m.Name)
		}
	}
	return text.String(), missed, nil
}

// askTest counts in how many turns the test notices the mutant.
func (s *settings) askTest(ctx context.Context, m mutants.Mutant) (caught int, by string, err error) {
	if err := s.passes(ctx, m); err != nil {
		return 0, "", err
	}
	wrong, err := m.BuildTest(ctx, s.root, s.dir, true)
	if err != nil {
		return 0, "", err
	}
	seen := tally{}
	for range s.seeds {
		failure, err := m.Ask(ctx, s.root, wrong)
		if err != nil {
			return seen.total(), "", err
		}
		seen.add(failure.Test)
	}
	return seen.total(), seen.String(), os.Remove(wrong)
}

// passes asks the same test of the platform as it is, once.
func (s *settings) passes(ctx context.Context, m mutants.Mutant) error {
	binary, built := s.right[m.Package]
	if !built {
		var err error
		if binary, err = m.BuildTest(ctx, s.root, s.dir, false); err != nil {
			return err
		}
		s.right[m.Package] = binary
	}
	switch failure, err := m.Ask(ctx, s.root, binary); {
	case err != nil:
		return err
	case failure.Test != "":
		return fmt.Errorf("mutant %s: %s fails without it too: %s", m.Name, failure.Test, failure.Saw)
	}
	return nil
}

// tally counts what noticed.
type tally map[string]int

func (t tally) add(by string) {
	if by != "" {
		t[by]++
	}
}

func (t tally) total() int {
	n := 0
	for _, c := range t {
		n += c
	}
	return n
}

func (t tally) String() string {
	var parts []string
	for name, n := range t {
		parts = append(parts, fmt.Sprintf("%s (%d)", name, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
