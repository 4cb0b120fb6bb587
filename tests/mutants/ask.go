package mutants

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// patience is what one turn of a test may take. The tests give up earlier by
// themselves.
const patience = 3 * time.Minute

// BuildTest compiles the test that must notice the mutant, mistake included,
// into dir; without one it is the platform as it is.
func (m Mutant) BuildTest(ctx context.Context, root, dir string, mistake bool) (binary string, err error) {
	binary = filepath.Join(dir, m.Name+".right")
	// The linker leaves out what only a debugger wants.
	args := []string{"test", "-c", "-ldflags=-s -w"}
	if mistake {
		binary = filepath.Join(dir, m.Name+".wrong")
		overlay, err := m.Overlay(root, dir)
		if err != nil {
			return "", err
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "-o", binary, m.Package)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mutant %s does not build: %w\n%s", m.Name, err, out)
	}
	return binary, nil
}

var (
	failed   = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)
	panicked = regexp.MustCompile(`(?m)^(panic: |fatal error: ).*`)
	noTests  = regexp.MustCompile(`(?m)^testing: warning: no tests to run$`)
	asserted = regexp.MustCompile(`(?m)^ +\w+_test\.go:\d+: .*`)
	logged   = regexp.MustCompile(`: (seed \d+|log:)$`) // by tests that fail, beside what they assert
)

// Failure is what noticed a mutant.
type Failure struct {
	Test string // "" if nothing did
	Saw  string // the first thing it said
}

// Ask runs the test once. The error is set where that says nothing about the
// mutant.
func (m Mutant) Ask(ctx context.Context, root, binary string) (Failure, error) {
	cmd := exec.CommandContext(ctx, binary, "-test.short", "-test.failfast", "-test.timeout="+patience.String(), "-test.run="+m.Test)
	cmd.Dir = filepath.Join(root, m.Package)
	out, err := cmd.CombinedOutput()
	exit := (*exec.ExitError)(nil)
	name := failed.FindSubmatch(out)
	switch {
	case err != nil && !errors.As(err, &exit):
		return Failure{}, err
	case noTests.Match(out):
		return Failure{}, fmt.Errorf("mutant %s: %s has no test %s", m.Name, m.Package, m.Test)
	case err == nil:
		return Failure{}, nil
	case panicked.Match(out):
		return Failure{}, fmt.Errorf("mutant %s: the test did not fail by what it asserts: %s\n%s", m.Name, panicked.Find(out), out)
	case name == nil:
		return Failure{}, fmt.Errorf("mutant %s: the test was not run\n%s", m.Name, out)
	}
	f := Failure{Test: string(name[1])}
	for _, said := range asserted.FindAllString(string(out), -1) {
		if !logged.MatchString(said) {
			f.Saw = strings.TrimSpace(said)
			break
		}
	}
	return f, nil
}
