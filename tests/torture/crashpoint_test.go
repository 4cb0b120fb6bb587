//go:build failpoints

package torture_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture/rig"
)

// TestCrashBetweenWritesThatMustAgree kills the real process once at every
// point between two writes that must agree, under load, and judges the end.
func TestCrashBetweenWritesThatMustAgree(t *testing.T) {
	dir := t.TempDir()
	binary, program := filepath.Join(dir, "fluxnex"), filepath.Join(dir, "torture")
	for out, args := range map[string][]string{binary: {"-tags", "failpoints", "../../cmd/fluxnex"}, program: {"./cmd/torture"}} {
		if text, err := exec.Command("go", append([]string{"build", "-o", out}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, text)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	result, err := rig.RunCrashPoints(ctx, rig.Config{
		Binary: binary, Self: program, Broker: rig.Broker{Kind: "embedded"}, Seed: 1, Events: 9000, Tenants: 2,
		Drain: 5 * time.Minute, Keep: os.Getenv("FLUXNEX_E2E_LOGS"), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crash points, %d writes; quiet %s after the last", len(result.Deeds), result.Report.Writes, result.Drained)
	if !result.Right() {
		t.Error(result.Markdown("go test -tags failpoints ./tests/torture", ""))
	}
}
