package rig

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// A crash point lies between two writes that must agree; it needs a binary
// built with the tag failpoints. Each process takes its own in turn, and all
// processes at once, because a killed member holds its partitions for a session
// timeout.
func crashPoints() map[string][]string {
	return map[string][]string{
		"gateway0":    {"gateway-persisted"},
		"replica0":    {"committed", "applied"},
		"normalizer0": {"committed", "applied"},
		"router0":     {"committed"},
		"delivery0":   {"claimed", "stored", "read", "token-answered"},
		"delivery1":   {"prepared", "answered", "finished", "token-stored"},
	}
}

// RunCrashPoints is [Run] with the crash points for faults: one process after
// the other is restarted with the next point of its service armed, until each
// has fired once. A point that never fires is an error.
func RunCrashPoints(ctx context.Context, cfg Config) (*Result, error) {
	r, err := install(ctx, cfg)
	if err != nil {
		return nil, err
	}
	r.extra = r.crashEach
	res, err := r.torture(ctx)
	return res, errors.Join(err, r.stop(err != nil || !res.Right()))
}

func (r *Rig) crashEach(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for name, points := range crashPoints() {
		g.Go(func() error {
			for _, point := range points {
				if err := r.crashAt(ctx, r.byName(name), point); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func (r *Rig) crashAt(ctx context.Context, p *process, point string) error {
	once := filepath.Join(r.dir, p.name+"-"+point)
	if err := p.end(syscall.SIGTERM, patience); err != nil {
		return err
	}
	base := p.env
	p.env = append(slices.Clone(base), "FLUXNEX_FAILPOINT="+point, "FLUXNEX_FAILPOINT_ONCE="+once)
	r.note("crash point "+point, p.name)
	if err := p.start(); err != nil {
		return err
	}
	// The supervisor starts it again: the file keeps it from firing twice.
	err := await(ctx, "crash point "+point+" of "+p.name+" fires", func() (bool, string) {
		_, err := os.Stat(once)
		if err != nil && strings.HasPrefix(point, "token-") {
			err = errors.Join(err, r.endTokens(ctx))
		}
		return err == nil, fmt.Sprint(err)
	})
	if err != nil {
		return err
	}
	r.note("fired "+point, p.name)
	return p.ready(ctx)
}

// endTokens makes the next call to every QuickBooks company need a new token.
func (r *Rig) endTokens(ctx context.Context) error {
	for _, t := range r.tenants {
		if _, err := r.ask(ctx, http.MethodPost, "/_sandbox/quickbooks/"+t.Realm+"/expire", nil); err != nil {
			return err
		}
	}
	return nil
}
