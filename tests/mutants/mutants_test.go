package mutants_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/tests/mutants"
)

const root = "../.."

// TestEachMutantIsCaught runs, for each mistake, the test that must notice it.
func TestEachMutantIsCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a test once for each mutant: not with -short")
	}
	for _, m := range mutants.All() {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			binary, err := m.BuildTest(t.Context(), root, t.TempDir(), true)
			if err != nil {
				t.Fatal(err)
			}
			// Some depend on an interleaving; the table of ten turns says how often.
			for range 3 {
				failure, err := m.Ask(t.Context(), root, binary)
				switch {
				case err != nil:
					t.Log(err)
				case failure.Test != "":
					t.Logf("%s: caught by %s: %s", m.Wrong, failure.Test, failure.Saw)
					return
				}
			}
			t.Errorf("%s: in three turns no test of %s that matches %s noticed", m.Wrong, m.Package, m.Test)
		})
	}
}

// TestMutantsFitTheTree takes a second, so that whoever changes the code hears
// of a mutant that no longer applies before the suite is run.
func TestMutantsFitTheTree(t *testing.T) {
	seen := map[string]bool{}
	race := regexp.MustCompile(`^R([1-9]|1\d|2[0-6])$`)
	for _, m := range mutants.All() {
		if _, err := m.Overlay(root, t.TempDir()); err != nil {
			t.Error(err)
		}
		if seen[m.Name] || m.Wrong == "" || len(m.Races) == 0 || m.Package == "" || m.Test == "" {
			t.Errorf("mutant %q has a name of its own, a mistake, a race and a test? %+v", m.Name, m)
		}
		seen[m.Name] = true
		for _, r := range m.Races {
			if !race.MatchString(r) {
				t.Errorf("mutant %s: there is no race %s", m.Name, r)
			}
		}
	}
}

// TestEveryRaceHasAMutant: reliability.md §2 goes from R1 to R26.
func TestEveryRaceHasAMutant(t *testing.T) {
	shown := map[string][]string{}
	for _, m := range mutants.All() {
		for _, r := range m.Races {
			shown[r] = append(shown[r], m.Name)
		}
	}
	for n := range 26 {
		r := fmt.Sprintf("R%d", n+1)
		if len(shown[r]) == 0 {
			t.Errorf("%s has no naive variant", r)
		}
		t.Logf("%s: %s", r, strings.Join(shown[r], ", "))
	}
}
