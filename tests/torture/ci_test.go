package torture_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/parts"
)

// TestTorture is the small run of `make torture`: every fault that can be done
// to the parts at hand, 15 kills and more, and the checker's judgement. The
// seed is in the output; FLUXNEX_TORTURE_SEED repeats it.
func TestTorture(t *testing.T) {
	if testing.Short() {
		t.Skip("whole processes for minutes: not with -short")
	}
	dir := t.TempDir()
	build := func(name, pkg string) string {
		path := filepath.Join(dir, name)
		if out, err := exec.Command("go", "build", "-o", path, pkg).CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", pkg, err, out)
		}
		return path
	}
	binary := os.Getenv("FLUXNEX_TEST_BINARY")
	if binary == "" {
		binary = build("fluxnex", "../../cmd/fluxnex")
	}
	program := build("torture", "./cmd/torture")
	parts.EachKafka(t, func(t *testing.T, cluster parts.Cluster) {
		// Redis and PostgreSQL are the run's own, because they are broken; these
		// say where there are none.
		parts.RedisAlone(t)
		parts.Postgres(t)
		args := []string{"-ci", "-bin", binary, "-root", "../.."}
		if seed := os.Getenv("FLUXNEX_TORTURE_SEED"); seed != "" {
			args = append(args, "-seed", seed)
		}
		if keep := os.Getenv("FLUXNEX_E2E_LOGS"); keep != "" {
			args = append(args, "-keep", filepath.Join(keep, strings.ReplaceAll(t.Name(), "/", "_")))
		}
		if cluster.Real {
			// Shared with other tests: its own faults are left out.
			args = append(args, "-duration", "40s", "-kill-mean", "2s", "-brokers-at", strings.Join(cluster.Brokers, ","), "-registry-at", cluster.RegistryURL, "-prefix", cluster.Prefix)
		}
		start := time.Now()
		cmd := exec.CommandContext(t.Context(), program, args...)
		// It has processes of its own to end.
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.WaitDelay = time.Minute
		out, err := cmd.CombinedOutput()
		t.Logf("%s after %s:\n%s", strings.Join(args, " "), time.Since(start).Round(time.Second), out)
		if err != nil {
			t.Fatal(err)
		}
		if kills := strings.Count(string(out), `msg=fault what="F1 SIGKILL"`); kills < 15 {
			t.Errorf("%d kills of services, want 15 or more", kills)
		}
	})
}
