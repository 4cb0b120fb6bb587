package mutants

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Torture asks the checker: it builds the platform, runs the torture command on
// it and reads the verdict.
type Torture struct {
	root, dir string
	program   string
	right     string // the platform as it is

	mu    sync.Mutex
	asked map[string]func() (Verdict, error) // of the platform as it is, by run and seed
}

// NewTorture builds the torture command and the platform as it is into dir.
func NewTorture(ctx context.Context, root, dir string) (*Torture, error) {
	t := &Torture{root: root, dir: dir, program: filepath.Join(dir, "torture"), right: filepath.Join(dir, "right"), asked: map[string]func() (Verdict, error){}}
	return t, errors.Join(t.build(ctx, t.program, "./tests/torture/cmd/torture"), t.build(ctx, t.right, "./cmd/fluxnex", "-tags", "failpoints"))
}

// Build makes the platform with a mistake in it.
func (t *Torture) Build(ctx context.Context, m Mutant) (binary string, err error) {
	overlay, err := m.Overlay(t.root, t.dir)
	if err != nil {
		return "", err
	}
	binary = filepath.Join(t.dir, m.Name)
	return binary, t.build(ctx, binary, "./cmd/fluxnex", "-tags", "failpoints", "-overlay", overlay)
}

func (t *Torture) build(ctx context.Context, binary, pkg string, flags ...string) error {
	// The linker leaves out what only a debugger wants.
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build", "-ldflags=-s -w", "-o", binary}, flags...), pkg)...)
	cmd.Dir = t.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// Verdict is what the checker said of a run.
type Verdict struct {
	Broken []string // invariants, sorted; none: the run came out right
	Saw    string   // what it says most often, with the number of times
	Took   time.Duration
}

// Right reports whether nothing was wrong.
func (v Verdict) Right() bool { return len(v.Broken) == 0 }

var (
	brokenRow = regexp.MustCompile(`(?m)^\| (I\d+) .*\*\*\d+ violations?\*\*`)
	beside    = regexp.MustCompile(`(?m)^- (I\d+): .*`)
	violation = regexp.MustCompile(`(?m)^(\d+) × .*`)
)

// AsItIs is one run of the platform as it is; mistakes that share a run share its
// verdict.
func (t *Torture) AsItIs(ctx context.Context, r Run, seed int, more ...string) (Verdict, error) {
	name := fmt.Sprint(r.Options(), seed, more)
	t.mu.Lock()
	ask, known := t.asked[name]
	if !known {
		ask = sync.OnceValues(func() (Verdict, error) { return t.Ask(ctx, r, t.right, seed, more...) })
		t.asked[name] = ask
	}
	t.mu.Unlock()
	return ask()
}

// Ask is one run of a platform. The error is set where it proves nothing: it
// could not be started, or its faults not be done.
func (t *Torture) Ask(ctx context.Context, r Run, platform string, seed int, more ...string) (Verdict, error) {
	began := time.Now()
	args := append([]string{"-ci", "-root", t.root, "-bin", platform, "-seed", strconv.Itoa(seed), "-drain", "60s", "-settle", "9s"}, r.Options()...)
	cmd := exec.CommandContext(ctx, t.program, append(args, more...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it has processes of its own to end
	cmd.WaitDelay = time.Minute
	out, err := cmd.CombinedOutput()
	v := Verdict{Took: time.Since(began)}
	for _, form := range []*regexp.Regexp{brokenRow, beside} {
		for _, m := range form.FindAllSubmatch(out, -1) {
			v.Broken = append(v.Broken, string(m[1]))
		}
	}
	slices.SortFunc(v.Broken, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	v.Broken = slices.Compact(v.Broken)
	if exit := (*exec.ExitError)(nil); ctx.Err() != nil || err != nil && (v.Right() || !errors.As(err, &exit)) {
		return v, fmt.Errorf("seed %d: the run proves nothing: %w\n%s", seed, errors.Join(err, ctx.Err()), out)
	}
	v.Saw = strings.TrimPrefix(string(beside.Find(out)), "- ")
	most := 0
	for _, m := range violation.FindAllSubmatch(out, -1) {
		if n, err := strconv.Atoi(string(m[1])); err == nil && n > most {
			most, v.Saw = n, string(m[0])
		}
	}
	return v, nil
}
