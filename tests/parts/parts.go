package parts

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startPatience bounds the start of any part.
const startPatience = 2 * time.Minute

// shared is one part per test process: the first test that asks starts it. It
// ends with the process, by its parent-death signal; what it leaves on disk is
// swept by the next process.
type shared[T any] struct {
	once  sync.Once
	value T
	err   error
}

func (s *shared[T]) get(start func() (T, error)) (T, error) {
	s.once.Do(func() { s.value, s.err = start() })
	return s.value, s.err
}

// skip skips the test, or fails it where every part is required.
func skip(t testing.TB, part, reason string) {
	t.Helper()
	report(t, part, "skipped", reason)
	if os.Getenv("REQUIRE") == "all" {
		t.Fatalf("REQUIRE=all, and there is no %s: %s", part, reason)
	}
	t.Skipf("no %s: %s", part, reason)
}

// report notes one use of a part for the closing table.
func report(t testing.TB, part, how, detail string) {
	t.Helper()
	path := os.Getenv("FLUXNEX_PARTS_REPORT")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Logf("parts report: %v", err)
		return
	}
	defer f.Close()
	// One write: several test processes append at once.
	if _, err := fmt.Fprintf(f, "%s\t%s\t%s\t%s\n", part, how, strings.ReplaceAll(detail, "\n", " "), t.Name()); err != nil {
		t.Logf("parts report: %v", err)
	}
}

const homePrefix = "fluxnex-parts-"

var home shared[string]

// homeDir is this process's folder for the data of its parts. Folders of
// processes that are gone are removed here, because a test process has no end
// at which it could remove its own.
func homeDir() (string, error) {
	return home.get(func() (string, error) {
		entries, err := os.ReadDir(os.TempDir())
		if err != nil {
			return "", err
		}
		for _, e := range entries {
			rest, ok := strings.CutPrefix(e.Name(), homePrefix)
			if !ok {
				continue
			}
			pid, err := strconv.Atoi(strings.SplitN(rest, "-", 2)[0])
			if err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
				// Another sweeper may be at it; what stays is swept next time.
				_ = os.RemoveAll(filepath.Join(os.TempDir(), e.Name()))
			}
		}
		dir, err := os.MkdirTemp("", homePrefix+strconv.Itoa(os.Getpid())+"-")
		if err != nil {
			return "", err
		}
		// PostgreSQL runs under another account and must get through.
		return dir, os.Chmod(dir, 0o711)
	})
}
