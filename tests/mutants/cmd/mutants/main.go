// Command mutants asks the proof about every mutant, several seeds each, and
// writes the table: `make torture-mutants`.
//
// By default it runs the test that must notice the mutant. With -torture it
// builds the whole platform with the mistake in it and tortures that, with the
// faults that bring it to light, which takes a minute or two a seed.
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
	dir     string
}

func run(ctx context.Context) error {
	var s settings
	var out, only string
	flag.StringVar(&s.root, "root", ".", "the repository")
	flag.IntVar(&s.seeds, "seeds", 10, "turns of each mutant, each with a seed of its own; 9 of 10 must be caught")
	flag.BoolVar(&s.torture, "torture", false, "torture the whole platform instead of running the test")
	flag.StringVar(&out, "out", "", "file for the table")
	flag.StringVar(&only, "only", "", "one mutant")
	flag.Parse()
	var err error
	if s.dir, err = os.MkdirTemp("", "fluxnex-mutants-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	how := "the test named must fail"
	if s.torture {
		how = "a small torture run with the faults named must be wrong"
	}
	var table strings.Builder
	fmt.Fprintf(&table, "# Mutants\n\n%s, %d cores, %s. Each mistake is built into the platform by `go build -overlay`; %s. 9 of 10 must be caught.\n\n| mutant | what it does wrong | caught | by |\n|---|---|---|---|\n",
		time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), runtime.Version(), how)
	var missed []string
	for _, m := range mutants.All() {
		if only != "" && m.Name != only {
			continue
		}
		caught, by, err := s.ask(ctx, m)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		line := fmt.Sprintf("| %s | %s | %d of %d | %s |\n", m.Name, m.Wrong, caught, s.seeds, by)
		fmt.Fprint(os.Stderr, line)
		table.WriteString(line)
		if caught*10 < s.seeds*9 {
			missed = append(missed, m.Name)
		}
	}
	if out != "" {
		if err := os.WriteFile(out, []byte(table.String()), 0o644); err != nil {
			return err
		}
	}
	fmt.Print(table.String())
	if len(missed) > 0 {
		return fmt.Errorf("not caught often enough: %s", strings.Join(missed, ", "))
	}
	return nil
}

// ask counts in how many seeds the mutant is noticed, and by what.
func (s *settings) ask(ctx context.Context, m mutants.Mutant) (caught int, by string, err error) {
	overlay, err := m.Overlay(s.root, s.dir)
	if err != nil {
		return 0, "", err
	}
	binary := filepath.Join(s.dir, m.Name)
	build := []string{"test", "-c", "-overlay", overlay, "-o", binary, m.Package}
	if s.torture {
		build = []string{"build", "-overlay", overlay, "-o", binary, "./cmd/fluxnex"}
	}
	cmd := exec.CommandContext(ctx, "go", build...)
	cmd.Dir = s.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, "", fmt.Errorf("build: %w\n%s", err, out)
	}
	seen := map[string]int{}
	for seed := 1; seed <= s.seeds; seed++ {
		found, err := s.turn(ctx, m, binary, seed)
		if err != nil {
			return 0, "", err
		}
		if found != "" {
			caught++
			seen[found]++
		}
	}
	var parts []string
	for name, n := range seen {
		parts = append(parts, fmt.Sprintf("%s (%d)", name, n))
	}
	return caught, strings.Join(parts, ", "), nil
}

var (
	failed = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)
	broken = regexp.MustCompile(`(?m)^\| (I\d+) .*\*\*\d+ violations\*\*`)
)

// turn is one seed; found is what noticed, "" if nothing did.
func (s *settings) turn(ctx context.Context, m mutants.Mutant, binary string, seed int) (found string, err error) {
	if s.torture {
		cmd := exec.CommandContext(ctx, "go", "run", "./tests/torture/cmd/torture", "-ci", "-bin", binary, "-duration", "30s", "-faults", m.Faults, "-seed", strconv.Itoa(seed))
		cmd.Dir = s.root
		out, err := cmd.CombinedOutput()
		all := broken.FindAllStringSubmatch(string(out), -1)
		if err != nil && len(all) == 0 {
			return "", fmt.Errorf("seed %d: the run proves nothing: %s", seed, out)
		}
		var names []string
		for _, b := range all {
			names = append(names, b[1])
		}
		return strings.Join(names, "+"), nil
	}
	cmd := exec.CommandContext(ctx, binary, "-test.count=1", "-test.failfast", "-test.timeout=90s", "-test.run", m.Test)
	cmd.Dir = filepath.Join(s.root, m.Package)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch names := failed.FindStringSubmatch(string(out)); {
	case err == nil:
		return "", nil
	case !errors.As(err, &exit):
		return "", err
	case names != nil:
		return names[1], nil
	case strings.Contains(string(out), "panic: test timed out"):
		return "a test that did not end", nil
	}
	return "", fmt.Errorf("the test was not run: %s", out)
}
