//go:build failpoints

package failpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Hit ends the process, as SIGKILL does, if FLUXNEX_FAILPOINTS lists the point
// (commas between points) and it has not ended one before: a file of the
// point's name in FLUXNEX_FAILPOINT_DIR is made first, so that the process goes
// on when it is started again.
func Hit(point string) {
	armed := os.Getenv("FLUXNEX_FAILPOINTS")
	if armed == "" || !slices.Contains(strings.Split(armed, ","), point) {
		return
	}
	f, err := os.OpenFile(filepath.Join(os.Getenv("FLUXNEX_FAILPOINT_DIR"), point), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return
	}
	if err != nil {
		panic(fmt.Sprintf("failpoint %s: FLUXNEX_FAILPOINT_DIR: %v", point, err))
	}
	_ = f.Close() // the name is all there is to it
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
