//go:build failpoints

package failpoint

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Hit ends the process, as SIGKILL does, at the point named by
// FLUXNEX_FAILPOINT, where FLUXNEX_FAILPOINT_ONCE names a file that does not
// exist yet: it is made, so that the process goes on when it is started again.
func Hit(point string) {
	if os.Getenv("FLUXNEX_FAILPOINT") != point {
		return
	}
	f, err := os.OpenFile(os.Getenv("FLUXNEX_FAILPOINT_ONCE"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return
	}
	if err != nil {
		panic(fmt.Sprintf("failpoint %s: FLUXNEX_FAILPOINT_ONCE: %v", point, err))
	}
	_ = f.Close() // the name is all there is to it
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
