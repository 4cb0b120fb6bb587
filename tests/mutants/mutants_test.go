package mutants_test

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"sync"
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

// TestTheCheckerCatchesEachMistake builds the whole platform with each of the
// eleven mistakes and tortures it, and the platform as it is beside it.
func TestTheCheckerCatchesEachMistake(t *testing.T) {
	if testing.Short() {
		t.Skip("whole platforms for minutes: not with -short")
	}
	torture, err := mutants.NewTorture(t.Context(), root, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// A run waits more than it computes.
	beside := make(chan struct{}, runtime.NumCPU()+1)
	var wg sync.WaitGroup
	for _, m := range mutants.Mistakes() {
		wg.Go(func() {
			beside <- struct{}{}
			defer func() { <-beside }()
			t.Run(m.Mutant, func(t *testing.T) { askTheChecker(t, torture, m) })
		})
	}
	wg.Wait()
}

func askTheChecker(t *testing.T, torture *mutants.Torture, m mutants.Mistake) {
	switch v, err := torture.AsItIs(t.Context(), m.Run, 1); {
	case err != nil:
		t.Fatal(err)
	case !v.Right():
		t.Errorf("%s, %s: the platform as it is broke %v: %s", m.Name, m.Run.Does, v.Broken, v.Saw)
	}
	mutant, err := m.Find()
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := torture.Build(t.Context(), mutant)
	if err != nil {
		t.Fatal(err)
	}
	// The table of ten seeds says how often one is enough.
	for seed := range 2 {
		v, err := torture.Ask(t.Context(), m.Run, wrong, seed+1)
		switch {
		case err != nil:
			t.Log(err)
		case !v.Right():
			t.Logf("%s: after %s broke %v: %s", m.Name, v.Took, v.Broken, v.Saw)
			return
		}
	}
	t.Errorf("%s: %s, and the checker saw nothing", m.Name, mutant.Wrong)
}

// TestMutantsFitTheTree takes a second, so that whoever changes the code hears
// of a mutant that no longer applies before the suite is run.
func TestMutantsFitTheTree(t *testing.T) {
	for _, m := range mutants.Mistakes() {
		if _, err := m.Find(); err != nil || m.Run.Does == "" || m.Run.Faults == "" || m.Run.Lasts == 0 {
			t.Errorf("mistake %q has a mutant and a run? %+v %v", m.Name, m, err)
		}
	}
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
