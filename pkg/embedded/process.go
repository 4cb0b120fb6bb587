package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a child that does not outlive us: it gets its death signal when
// this process ends in any way, SIGKILL included.
type process struct {
	cmd     *exec.Cmd
	exited  chan struct{}
	waitErr error // set before exited is closed
}

// account is who a child runs as; the zero value is ourselves.
type account struct {
	uid, gid int
	drop     bool
}

// serverAccount is the account PostgreSQL may run under: ourselves, or, since
// it refuses root, the user postgres, or nobody where there is none.
func serverAccount() account {
	if os.Geteuid() != 0 {
		return account{}
	}
	const nobody = 65534
	u, err := user.Lookup("postgres")
	if err != nil {
		return account{uid: nobody, gid: nobody, drop: true}
	}
	uid, errUID := strconv.Atoi(u.Uid)
	gid, errGID := strconv.Atoi(u.Gid)
	if errUID != nil || errGID != nil {
		return account{uid: nobody, gid: nobody, drop: true}
	}
	return account{uid: uid, gid: gid, drop: true}
}

// systemDir is where root keeps what another account must reach.
const systemDir = "/var/lib/fluxnex"

// reaches reports whether the account gets to path: a checkout in /root has
// parents that only root enters. Parents that do not exist yet are made by us.
func (a account) reaches(path string) bool {
	if !a.drop {
		return true
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if st, err := os.Stat(dir); err == nil && st.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// place is path where the account gets to it, else a folder below systemDir
// that stands for it. The folder's name is kept beside path, so that removing
// the data directory begins anew here too.
func (a account) place(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil || a.reaches(abs) {
		return abs, err
	}
	note := abs + ".place"
	b, err := os.ReadFile(note)
	switch {
	case err == nil:
		return filepath.Join(systemDir, filepath.Base(strings.TrimSpace(string(b)))), nil
	case !errors.Is(err, os.ErrNotExist):
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o711); err != nil { //nolint:gosec // folders below are 0700
		return "", err
	}
	name := filepath.Base(abs) + "-" + rand.Text()[:12]
	return filepath.Join(systemDir, name), os.WriteFile(note, []byte(name+"\n"), 0o600)
}

// own makes the folder at path and gives it to the account.
func (a account) own(path string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil { //nolint:gosec // the account must get through
		return err
	}
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	if !a.drop {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// ownFile gives a file to the account.
func (a account) ownFile(path string) error {
	if !a.drop {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// startProcess starts name as the account; out takes both its streams. The
// death signal belongs to the thread that forked, so that thread is kept until
// the child is gone.
func startProcess(as account, death syscall.Signal, dir string, out io.Writer, name string, args ...string) (*process, error) {
	cmd := exec.Command(name, args...) //nolint:gosec,noctx // our own server binaries; their life is stop's, not a context's
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	cmd.SysProcAttr = childAttr(as, death)
	p := &process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		p.waitErr = cmd.Wait()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// stop sends sig, and SIGKILL when the child is still there after patience.
func (p *process) stop(sig syscall.Signal, patience time.Duration) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.exited:
		return nil
	case <-timer.C:
		err := p.cmd.Process.Kill()
		<-p.exited
		return errors.Join(fmt.Errorf("%s did not stop within %s and was killed", p.cmd.Path, patience), err)
	}
}

// run runs a short command as the account and returns its output in the error.
func run(ctx context.Context, as account, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // our own server binaries
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	cmd.SysProcAttr = childAttr(as, syscall.SIGKILL)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, lastLines(string(out), 5))
	}
	return nil
}

// lastLines shortens a log for an error message.
func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, " | ")
}

// lastLinesOf is lastLines of a file; what cannot be read is named.
func lastLinesOf(path string, n int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "no log: " + err.Error()
	}
	return lastLines(string(b), n)
}
