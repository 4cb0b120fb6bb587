package layers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/fluxnex/fluxnex/"

// rule: packages below from may import packages below any of may ("self" is
// the folder one below from) of this module. The first matching row decides.
type rule struct {
	from string
	may  []string
}

var rules = []rule{
	{"cmd/", []string{"services/", "pkg/", "integrations", "schemas", "sandbox", "examples", "docs", "deploy", "self"}},

	// The leaves: the words, the reasons, the canonical types.
	{"pkg/fault", nil},
	{"pkg/record", []string{"self"}},
	{"pkg/canonical", []string{"pkg/record", "pkg/fault", "self"}},
	{"pkg/integration", []string{"pkg/canonical", "pkg/record", "pkg/fault", "self"}},
	// Tokens are refreshed for all processes at once: that part of calling out
	// is the platform's, integrations see only the rest.
	{"pkg/httpapi/token", []string{"pkg/"}},
	{"pkg/httpapi", []string{"pkg/fault", "pkg/integration", "self"}},
	{"pkg/", []string{"pkg/", "schemas"}},
	{"schemas", []string{"pkg/record", "pkg/fault", "schemas"}},

	// The app defines the logic; it knows no client library and no other app.
	{"integrations/integrationtest", []string{"pkg/integration", "pkg/canonical", "pkg/record", "pkg/fault", "pkg/httpapi", "integrations"}},
	{"integrations/", []string{"pkg/integration", "pkg/canonical", "pkg/record", "pkg/fault", "pkg/httpapi", "self"}},
	{"integrations", []string{"integrations/", "pkg/integration"}},

	// Services talk by topic.
	{"services/", []string{"pkg/", "schemas", "integrations", "self"}},

	// Written from the vendors' documents, so that no error sits on both sides.
	{"sandbox", []string{"sandbox"}},

	{"tests/", []string{""}},
	{"tools/", []string{""}},
	{"deploy/", []string{""}},
	{"docs", []string{""}},
	{"examples", nil},
}

// owners: one package owns each client library.
var owners = []struct {
	library string
	may     []string
}{
	{"github.com/twmb/franz-go/pkg/kfake", []string{"pkg/kafka/kafkatest", "pkg/embedded"}},
	{"github.com/twmb/franz-go", []string{"pkg/kafka", "pkg/embedded", "tests/parts", "tests/bench", "tests/torture/dump"}},
	{"github.com/redis/go-redis", []string{"pkg/redis"}},
	{"github.com/jackc/pgx", []string{"pkg/postgres", "tests/parts"}},
	{"github.com/pressly/goose", []string{"pkg/postgres"}},
	{"github.com/hamba/avro", []string{"schemas"}},
	{"github.com/tink-crypto", []string{"pkg/secret"}},
	{"cel.dev/", []string{"pkg/mapping"}},
	{"github.com/google/cel-go", []string{"pkg/mapping"}},
	{"github.com/alicebob/miniredis", []string{"pkg/embedded"}},
	{"github.com/fergusstrange/embedded-postgres", []string{"pkg/embedded"}},
	{"github.com/testcontainers", []string{"tests/"}},
	{"github.com/compose-spec", []string{"tests/"}},
}

// pkg is what `go list` says of a package. Imports are those of its code: a
// test looks from outside, and may use what it needs for that.
type pkg struct {
	ImportPath string
	Imports    []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.String())
	}
	var all []pkg
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p pkg
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsPointOneWay(t *testing.T) {
	packages := list(t)
	if len(packages) < 10 {
		t.Fatalf("go list found %d packages; the test looks at nothing", len(packages))
	}
	for _, p := range packages {
		from := strings.TrimPrefix(p.ImportPath, module)
		r, ok := ruleOf(from)
		if !ok {
			t.Errorf("%s has no row in the table of layers: add one, and say in docs/adr why it is there", from)
			continue
		}
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module)
			if ours && !allowed(from, to, r) {
				t.Errorf("%s may not import %s: %s", from, to, sentence(r))
			}
		}
	}
}

func TestOnePackageOwnsEachLibrary(t *testing.T) {
	for _, p := range list(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, imp := range p.Imports {
			if o := ownersOf(imp); o != nil && !below(from, o) {
				t.Errorf("%s may not import %s: only %s does, so that one place knows the library", from, imp, strings.Join(o, " and "))
			}
		}
	}
}

func TestTheBinaryLinksNoTestLibrary(t *testing.T) {
	out, err := exec.Command("go", "list", "-e", "-deps", module+"cmd/fluxnex").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		for _, test := range []string{"github.com/testcontainers", "github.com/compose-spec", "github.com/stretchr/testify", "github.com/docker", "testing", module + "tests/", module + "pkg/kafka/kafkatest"} {
			if dep == test || strings.HasPrefix(dep, strings.TrimSuffix(test, "/")+"/") {
				t.Errorf("cmd/fluxnex links %s, which is for tests only", dep)
			}
		}
	}
}

func ownersOf(imp string) []string {
	for _, o := range owners {
		if strings.HasPrefix(imp, o.library) {
			return o.may
		}
	}
	return nil
}

func ruleOf(from string) (rule, bool) {
	for _, r := range rules {
		if below(from, []string{r.from}) {
			return r, true
		}
	}
	return rule{}, false
}

// below reports a path that is one of the folders or inside one. A folder that
// ends in a slash is not itself meant.
func below(path string, folders []string) bool {
	for _, f := range folders {
		if f == "" || path == f || strings.HasPrefix(path, strings.TrimSuffix(f, "/")+"/") {
			return true
		}
	}
	return false
}

func allowed(from, to string, r rule) bool {
	for _, m := range r.may {
		if m == "self" {
			if own := folderBelow(from, r.from); below(to, []string{own}) {
				return true
			}
			continue
		}
		if below(to, []string{m}) {
			return true
		}
	}
	return false
}

// folderBelow is the folder of from one below the rule's: services/delivery of
// services/delivery/attempt under the rule services/.
func folderBelow(from, ruleFolder string) string {
	if !strings.HasSuffix(ruleFolder, "/") {
		return ruleFolder
	}
	rest := strings.TrimPrefix(from, ruleFolder)
	name, _, _ := strings.Cut(rest, "/")
	return ruleFolder + name
}

func sentence(r rule) string {
	if len(r.may) == 0 {
		return r.from + " imports nothing of this module"
	}
	return r.from + " imports only " + strings.Join(r.may, ", ")
}

func TestTheTableItself(t *testing.T) {
	for _, tc := range []struct {
		from, to string
		want     bool
	}{
		{"services/router", "services/delivery", false},
		{"services/delivery/attempt", "services/delivery", true},
		{"services/router", "pkg/kafka", true},
		{"services/router", "sandbox/ledger", false},
		{"integrations/quickbooks", "integrations/hubspot", false},
		{"integrations/quickbooks", "pkg/kafka", false},
		{"integrations", "integrations/hubspot", true},
		{"sandbox/hubspot", "integrations/hubspot", false},
		{"pkg/record", "pkg/fault", false},
		{"pkg/kafka", "services/router", false},
		{"cmd/fluxnex", "tests/parts", false},
	} {
		r, ok := ruleOf(tc.from)
		if !ok {
			t.Errorf("no row for %s", tc.from)
			continue
		}
		if got := allowed(tc.from, tc.to, r); got != tc.want {
			t.Errorf("%s → %s is allowed: %v, want %v (row %q)", tc.from, tc.to, got, tc.want, r.from)
		}
	}
}
