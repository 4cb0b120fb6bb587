package rig

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// crashPoint is a point between two writes that must agree, of a binary built
// with the tag failpoints.
type crashPoint struct{ service, point string }

func crashPoints() []crashPoint {
	return []crashPoint{
		{"gateway", "gateway-persisted"},
		{"replica", "committed"}, {"replica", "applied"},
		{"normalizer", "committed"}, {"normalizer", "applied"},
		{"router", "committed"},
		{"delivery", "claimed"}, {"delivery", "prepared"}, {"delivery", "stored"}, {"delivery", "answered"}, {"delivery", "read"}, {"delivery", "finished"},
		{"delivery", "token-answered"}, {"delivery", "token-stored"},
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
	for _, c := range crashPoints() {
		p := r.all[c.service][0]
		once := filepath.Join(r.dir, c.service+"-"+c.point)
		if err := p.end(syscall.SIGTERM, patience); err != nil {
			return err
		}
		base := p.env
		p.env = append(slices.Clone(base), "FLUXNEX_FAILPOINT="+c.point, "FLUXNEX_FAILPOINT_ONCE="+once)
		r.note("crash point "+c.point, p.name)
		if err := p.start(); err != nil {
			return err
		}
		if c.point == "token-answered" || c.point == "token-stored" {
			if err := r.endTokens(ctx); err != nil {
				return err
			}
		}
		// The supervisor starts it again: the file keeps it from firing twice.
		err := await(ctx, "crash point "+c.point+" of "+c.service+" fires", func() (bool, string) {
			_, err := os.Stat(once)
			return err == nil, fmt.Sprint(err)
		})
		if err != nil {
			return err
		}
		if err := p.ready(ctx); err != nil {
			return err
		}
		p.env = base
		rest(ctx, 500*time.Millisecond)
	}
	return nil
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
