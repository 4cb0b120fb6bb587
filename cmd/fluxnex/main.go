// Command fluxnex is the whole platform in one binary: each service is a
// subcommand, `dev` runs them all on embedded parts, and the rest are the
// tools of the people who run it. This package is the subcommand table and
// the wiring, nothing else.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
)

// version is set by the linker: -X main.version=v1.2.3.
var version = "dev"

func main() {
	os.Exit(run())
}

// Exit codes, as docs/contract.md promises them.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
)

// gcPercent lets the heap grow to five times what is live before the collector
// runs. Services hold little and pass much through: this saves a fifth of their
// CPU for some ten megabytes. GOGC and GOMEMLIMIT have the last word.
const gcPercent = 400

func run() int {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	runtime.MemProfileRate = 0 // sampled for nobody: no process offers a heap profile
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// Never given back: a second signal on the way out must not turn a clean end
	// into a death by signal.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
	}()
	e := &environment{lookup: os.LookupEnv, in: os.Stdin, out: os.Stdout, err: os.Stderr}
	err := newRootCommand(e).ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "fluxnex: "+err.Error())
	var usage *usageError
	var missing *notFoundError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &missing):
		return exitNotFound
	}
	return exitFailed
}

// usageError is wrong usage or configuration.
type usageError struct{ err error }

func (u *usageError) Error() string { return u.err.Error() }
func (u *usageError) Unwrap() error { return u.err }

// notFoundError is something asked for that is not there.
type notFoundError struct{ what string }

func (n *notFoundError) Error() string { return n.what }
