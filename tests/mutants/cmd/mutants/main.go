// Command mutants asks the proof about every mutant, several turns each, and
// writes the table: `make torture-mutants`.
//
// By default it runs the test that must notice the mutant; the same tests on the
// platform as it is must pass. With -torture it builds the whole platform with
// the mistake in it and tortures that, with the faults that bring it to light,
// which takes minutes a seed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
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
	root    string
	seeds   int
	torture bool
	broker  string
	dir     string
	right   map[string]string // package → its tests, without a mistake
}

func run(ctx context.Context) error {
	s := settings{right: map[string]string{}}
	var out, only string
	flag.StringVar(&s.root, "root", ".", "the repository")
	flag.IntVar(&s.seeds, "seeds", 10, "turns of each mutant; 9 of 10 must be caught")
	flag.BoolVar(&s.torture, "torture", false, "torture the whole platform instead of running the test")
	flag.StringVar(&s.broker, "broker", "embedded", "of the torture: embedded or real")
	flag.StringVar(&out, "out", "", "file for the table")
	flag.StringVar(&only, "only", "", "these mutants, comma separated")
	flag.Parse()
	chosen, err := choose(only, s.torture)
	if err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "fluxnex-mutants-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	table, missed, err := s.table(ctx, chosen)
	if err != nil {
		return err
	}
	if out != "" {
		if err := os.WriteFile(out, []byte(table), 0o644); err != nil {
			return err
		}
	}
	fmt.Print(table)
	if len(missed) > 0 {
		return fmt.Errorf("not caught often enough: %s", strings.Join(missed, ", "))
	}
	return nil
}

// choose leaves out what a torture run has no faults for.
func choose(only string, torture bool) ([]mutants.Mutant, error) {
	var names []string
	if only != "" {
		names = strings.Split(only, ",")
	}
	var chosen []mutants.Mutant
	for _, m := range mutants.All() {
		if names == nil && (!torture || m.Faults != "") || slices.Contains(names, m.Name) {
			chosen = append(chosen, m)
		}
	}
	if names != nil && len(chosen) != len(names) {
		return nil, fmt.Errorf("of %s only %d are mutants", only, len(chosen))
	}
	return chosen, nil
}

// table is the page; missed are the mutants that were not caught often enough.
func (s *settings) table(ctx context.Context, chosen []mutants.Mutant) (page string, missed []string, err error) {
	var text strings.Builder
	fmt.Fprintf(&text, "# %s\n\n%s, %d cores, %s. %s\n\n| mutant | race | what it does wrong | caught | by |\n|---|---|---|---|---|\n",
		s.title(), time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), runtime.Version(), s.how())
	ask := s.askTest
	if s.torture {
		if ask, err = s.torturer(ctx, chosen); err != nil {
			return "", nil, err
		}
	}
	for _, m := range chosen {
		caught, by, err := ask(ctx, m)
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

func (s *settings) title() string {
	if s.torture {
		return "Mutants under torture"
	}
	return "Mutants"
}

func (s *settings) how() string {
	if s.torture {
		return "The whole platform is built with the mistake by `go build -overlay` and tortured for half a minute, or for three quarters of one where processes are frozen, on the " + s.broker +
			" broker, by the faults that bring it to light; the checker must call the run wrong."
	}
	return "Each mistake is built into the platform by `go build -overlay`; the test named must fail, by what it asserts. 9 of 10 must be caught. " +
		"Without a mistake each of the tests passed, in the same run."
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

var broken = regexp.MustCompile(`(?m)^\| (I\d+) .*\*\*\d+ violations?\*\*`)

// torturer builds the torture once; what it returns runs it on a platform with a
// mistake. The platform as it is must come out right.
func (s *settings) torturer(ctx context.Context, chosen []mutants.Mutant) (func(context.Context, mutants.Mutant) (int, string, error), error) {
	program, right := filepath.Join(s.dir, "torture"), filepath.Join(s.dir, "fluxnex")
	if err := errors.Join(s.build(ctx, program, "./tests/torture/cmd/torture"), s.build(ctx, right, "./cmd/fluxnex")); err != nil {
		return nil, err
	}
	var faults []string
	for _, m := range chosen {
		faults = append(faults, strings.Split(m.Faults, ",")...)
	}
	slices.Sort(faults)
	if found, err := s.tortured(ctx, program, right, strings.Join(slices.Compact(faults), ","), 1); err != nil || found != "" {
		return nil, fmt.Errorf("the platform as it is comes out wrong: %w", errors.Join(err, fmt.Errorf("broken: %q", found)))
	}
	return func(ctx context.Context, m mutants.Mutant) (int, string, error) {
		overlay, err := m.Overlay(s.root, s.dir)
		if err != nil {
			return 0, "", err
		}
		platform := filepath.Join(s.dir, m.Name)
		if err := s.build(ctx, platform, "./cmd/fluxnex", "-overlay", overlay); err != nil {
			return 0, "", err
		}
		seen := tally{}
		for seed := 1; seed <= s.seeds; seed++ {
			found, err := s.tortured(ctx, program, platform, m.Faults, seed)
			if err != nil {
				return seen.total(), "", fmt.Errorf("mutant %s: %w", m.Name, err)
			}
			seen.add(found)
		}
		return seen.total(), seen.String(), os.Remove(platform)
	}, nil
}

// length of a run's load: half a minute, or what one freeze (F2) takes, which
// must last longer than a session.
func length(faults string) string {
	if slices.Contains(strings.Split(faults, ","), "F2") {
		return "45s"
	}
	return "30s"
}

// tortured is one run; found are the invariants that were broken, "" if none.
func (s *settings) tortured(ctx context.Context, program, platform, faults string, seed int) (found string, err error) {
	cmd := exec.CommandContext(ctx, program, "-ci", "-root", s.root, "-bin", platform, "-broker", s.broker, "-events", "3000", "-duration", length(faults), "-drain", "90s", "-faults", faults, "-seed", strconv.Itoa(seed))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it has processes of its own to end
	out, err := cmd.CombinedOutput()
	var names []string
	for _, b := range broken.FindAllStringSubmatch(string(out), -1) {
		names = append(names, b[1])
	}
	if exit := (*exec.ExitError)(nil); err != nil && (len(names) == 0 || !errors.As(err, &exit)) {
		return "", fmt.Errorf("seed %d: the run proves nothing: %w\n%s", seed, err, out)
	}
	return strings.Join(names, "+"), nil
}

func (s *settings) build(ctx context.Context, binary, pkg string, flags ...string) error {
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build", "-o", binary}, flags...), pkg)...)
	cmd.Dir = s.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
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
