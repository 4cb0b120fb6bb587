package schemas_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/fluxnex/fluxnex/schemas"
	"github.com/fluxnex/fluxnex/schemas/compat"
)

// TestSchemasEvolveFullTransitive compares every schema with every version it
// ever had. The newest version in history is the current text: a change adds
// history/<name>/<n+1>.avsc, and a file there never changes again.
func TestSchemasEvolveFullTransitive(t *testing.T) {
	names := schemas.Names()
	if len(names) != 8 {
		t.Errorf("schemas are %v, want eight", names)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			text, err := schemas.Text(name)
			if err != nil {
				t.Fatal(err)
			}
			var versions []string
			for n := 1; ; n++ {
				b, err := os.ReadFile(filepath.Join("history", name, strconv.Itoa(n)+".avsc"))
				if os.IsNotExist(err) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := compat.FullTransitive(string(b), versions); err != nil {
					t.Errorf("version %d: %v", n, err)
				}
				versions = append(versions, string(b))
			}
			if len(versions) == 0 || versions[len(versions)-1] != text {
				t.Fatalf("%s.avsc differs from the newest of %d versions in history/%s: copy it there as %d.avsc", name, len(versions), name, len(versions)+1)
			}
		})
	}
}
