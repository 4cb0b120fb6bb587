package mutants_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/tests/mutants"
)

const root = "../.."

// failed is a test that ran and failed: a mutant that does not compile, or a
// test that was skipped, has not been caught.
var failed = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)

// TestEachMutantIsCaught runs, for each mistake, the test that must notice it.
func TestEachMutantIsCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the platform once for each mutant: not with -short")
	}
	for _, m := range mutants.All() {
		t.Run(m.Name, func(t *testing.T) {
			overlay, err := m.Overlay(root, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlay, "-count=1", "-failfast", "-timeout", "90s", "-run", m.Test, m.Package)
			cmd.Dir = root
			out, err := cmd.CombinedOutput()
			caught := failed.FindAllStringSubmatch(string(out), -1)
			switch {
			case err == nil:
				t.Errorf("%s: no test of %s that matches %s noticed:\n%s", m.Wrong, m.Package, m.Test, out)
			case strings.Contains(string(out), "panic: test timed out"):
				// A mistake that makes the platform stand still is noticed too.
				t.Logf("%s: caught, the test did not end", m.Wrong)
			case len(caught) == 0:
				t.Errorf("%s: the test was not run:\n%s", m.Wrong, out)
			default:
				t.Logf("%s: caught by %s", m.Wrong, caught[0][1])
			}
		})
	}
}
