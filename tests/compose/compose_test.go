package compose_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const root = "../.."

func load(t *testing.T) *types.Project {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	return p
}

func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "fluxnex")
	if out, err := exec.Command("go", "build", "-o", bin, root+"/cmd/fluxnex").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

func TestEveryServiceRunsARealCommand(t *testing.T) {
	p, bin := load(t), build(t)
	var started []string
	for name, s := range p.Services {
		if s.Build == nil {
			continue
		}
		started = append(started, name)
		out, err := exec.Command(bin, append(slices.Clone(s.Command), "--help")...).CombinedOutput()
		if err != nil {
			t.Errorf("%s: `fluxnex %s --help` failed: %v\n%s", name, strings.Join(s.Command, " "), err, out)
			continue
		}
		// Help of the root command would answer a group of commands that only
		// looks like one.
		if usage := "fluxnex " + strings.Join(s.Command, " "); !strings.Contains(string(out), usage) {
			t.Errorf("%s: the help of %q does not name it:\n%s", name, usage, out)
		}
	}
	for _, service := range []string{"gateway", "replica", "normalizer", "router", "delivery", "fetcher", "console", "sandbox"} {
		if !slices.Contains(started, service) {
			t.Errorf("docker-compose.yml starts %v, but no %s", started, service)
		}
	}
	if out, err := exec.Command(bin, "nosuch", "--help").CombinedOutput(); err == nil && strings.Contains(string(out), "fluxnex nosuch") {
		t.Errorf("a command that does not exist has help, so the test above proves nothing")
	}
}

func TestEverySettingExists(t *testing.T) {
	p, bin := load(t), build(t)
	reference, err := exec.Command(bin, "config").Output()
	if err != nil {
		t.Fatalf("fluxnex config: %v", err)
	}
	for name, s := range p.Services {
		for key := range s.Environment {
			setting := strings.TrimSuffix(key, "_FILE") // each can be the path of a file
			if strings.HasPrefix(key, "FLUXNEX_") && !strings.Contains(string(reference), "`"+setting+"`") && !strings.Contains(string(reference), "`"+key+"`") {
				t.Errorf("%s sets %s, which `fluxnex config` does not know", name, key)
			}
		}
	}
}

func TestImagesArePinned(t *testing.T) {
	for name, s := range load(t).Services {
		if s.Build != nil {
			continue
		}
		if _, tag, ok := strings.Cut(s.Image, ":"); !ok || tag == "latest" {
			t.Errorf("%s uses the image %s; name a version", name, s.Image)
		}
	}
}
