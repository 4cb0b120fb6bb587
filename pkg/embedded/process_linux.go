package embedded

import "syscall"

func childAttr(as account, death syscall.Signal) *syscall.SysProcAttr {
	// A process group of its own: Ctrl-C in a terminal reaches us, and we stop
	// the child in the right order.
	attr := &syscall.SysProcAttr{Pdeathsig: death, Setpgid: true}
	if as.drop {
		attr.Credential = &syscall.Credential{Uid: uint32(as.uid), Gid: uint32(as.gid)} //nolint:gosec // ids of the password file
	}
	return attr
}
