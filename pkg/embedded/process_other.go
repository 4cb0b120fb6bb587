//go:build unix && !linux

package embedded

import "syscall"

// childAttr: there is no parent-death signal outside Linux; a child whose
// parent was killed is found by its own lock file at the next start.
func childAttr(as account, _ syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if as.drop {
		attr.Credential = &syscall.Credential{Uid: uint32(as.uid), Gid: uint32(as.gid)} //nolint:gosec // ids of the password file
	}
	return attr
}
