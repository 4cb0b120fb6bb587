package mutants

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Mutant is one mistake.
type Mutant struct {
	Name  string
	Races []string // of reliability.md §2
	Wrong string   // what it does wrong
	File  string   // relative to the repository
	Edits []Edit
	// Test must fail: a package, and a pattern of its tests.
	Package, Test string
}

// Edit replaces one text of a file.
type Edit struct {
	Old, New string
	File     string // where it is not the mutant's own
}

// All are the mutants.
func All() []Mutant {
	return slices.Concat(logs(), states(), waits(), rows(), deliveries(), edges())
}

// Overlay writes the mutant's files and the overlay that puts them in place
// into dir, and returns the overlay's path.
func (m Mutant) Overlay(root, dir string) (string, error) {
	texts := map[string]string{} // by absolute path
	for _, e := range m.Edits {
		file := e.File
		if file == "" {
			file = m.File
		}
		path, err := filepath.Abs(filepath.Join(root, file))
		if err != nil {
			return "", err
		}
		text, begun := texts[path]
		if !begun {
			b, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.Old); n != 1 {
			return "", fmt.Errorf("mutant %s: the text it replaces is %d times in %s, want once: adapt the mutant to the code\n%s", m.Name, n, file, e.Old)
		}
		texts[path] = strings.Replace(text, e.Old, e.New, 1)
	}
	replaced := map[string]string{}
	for path, text := range texts {
		mutated := filepath.Join(dir, fmt.Sprintf("%s-%d.go", m.Name, len(replaced)))
		if err := os.WriteFile(mutated, []byte(text), 0o600); err != nil {
			return "", err
		}
		replaced[path] = mutated
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": replaced})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, m.Name+".json")
	return path, os.WriteFile(path, overlay, 0o600)
}
