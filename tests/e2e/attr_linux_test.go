package e2e_test

import "syscall"

// childAttr: a service does not outlive a test process that is killed.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
