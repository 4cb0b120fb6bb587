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
// on when it is started again. It holds the process's id. A point that is listed
// as "name=stop" freezes the process, as SIGSTOP does, until somebody continues
// it.
func Hit(point string) {
	armed := strings.Split(os.Getenv("FLUXNEX_FAILPOINTS"), ",")
	signal := syscall.SIGKILL
	switch {
	case slices.Contains(armed, point):
	case slices.Contains(armed, point+"=stop"):
		signal = syscall.SIGSTOP
	default:
		return
	}
	f, err := os.OpenFile(filepath.Join(os.Getenv("FLUXNEX_FAILPOINT_DIR"), point), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return
	}
	if err != nil {
		panic(fmt.Sprintf("failpoint %s: FLUXNEX_FAILPOINT_DIR: %v", point, err))
	}
	_, err = fmt.Fprint(f, os.Getpid())
	if err := errors.Join(err, f.Close()); err != nil {
		panic(fmt.Sprintf("failpoint %s: FLUXNEX_FAILPOINT_DIR: %v", point, err))
	}
	_ = syscall.Kill(os.Getpid(), signal)
	if signal == syscall.SIGKILL {
		select {}
	}
}
