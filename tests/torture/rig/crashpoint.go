package rig

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// The crash points lie between any two writes that must agree; they need a
// binary built with the tag failpoints. Every process takes all of its service
// at once and dies at each once, in the order in which it comes by.
func crashPoints() map[string][]string {
	stage := []string{"produced", "committed"}
	view := append(slices.Clone(stage), "applied", "settled")
	return map[string][]string{
		"gateway":    {"gateway-persisted"},
		"replica":    view,
		"normalizer": append(slices.Clone(view), "registered"),
		"router":     stage,
		"fetcher":    {"handled", "fetch-leased", "fetch-answered", "fetch-sent", "removals-sent"},
		"delivery": {
			"handled", "claimed", "prepared", "stored", "answered", "read", "finished",
			"outbox-sent", "outbox-published", "token-answered", "token-stored",
		},
		"console": {"handled"},
	}
}

// crashWithin bounds the wait for all points: a process that dies at eleven
// points is started twelve times.
const crashWithin = 6 * time.Minute

// crashPause lies between two messages until every point has fired: traffic
// must last that long, whatever the machine.
const crashPause = 400 * time.Millisecond

// RunCrashPoints is [Run] with the crash points for faults: one process of each
// service, armed with all points of its service, under traffic that does not
// end before each point has fired once. A point that never fires is an error.
func RunCrashPoints(ctx context.Context, cfg Config) (*Result, error) {
	cfg.Copies, cfg.Faults = 1, []string{}
	cfg.crash = true
	r, err := install(ctx, cfg)
	if err != nil {
		return nil, err
	}
	r.extra = r.crashEach
	r.traffic = make(chan struct{})
	res, err := r.torture(ctx)
	return res, errors.Join(err, r.stop(err != nil || !res.Right()))
}

// armed gives a service its crash points.
func (r *Rig) armed(service string, points []string) ([]string, error) {
	dir := r.fired(service, "")
	return []string{"FLUXNEX_FAILPOINTS=" + strings.Join(points, ","), "FLUXNEX_FAILPOINT_DIR=" + dir}, os.MkdirAll(dir, 0o700)
}

// crashEach waits until every point has fired. What ordinary traffic does not
// bring about, it does.
func (r *Rig) crashEach(ctx context.Context) error {
	defer close(r.traffic)
	ctx, cancel := context.WithTimeout(ctx, crashWithin)
	defer cancel()
	left := map[string]bool{}
	for service, points := range crashPoints() {
		for _, p := range points {
			left[service+" "+p] = true
		}
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		for name := range left {
			service, point, _ := strings.Cut(name, " ")
			if _, err := os.Stat(r.fired(service, point)); err == nil {
				r.note("crash point "+point, service+"0")
				delete(left, name)
			}
		}
		if len(left) == 0 {
			return r.crashOperator(ctx)
		}
		if n%10 == 0 {
			r.provoke(ctx, left, n)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("these crash points never fired: %v: %w", left, ctx.Err())
		}
	}
}

// crashOperator has a person's command die after the new credentials were tried
// and before they are stored; the person does it again.
func (r *Rig) crashOperator(ctx context.Context) error {
	const point = "reauthorize-tried"
	t := r.tenants[0]
	if err := r.kill(ctx, t); err != nil {
		return err
	}
	dir := filepath.Join(r.dir, "fired-command")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	err := r.repeat(ctx, func() error {
		err := r.reauthorize(ctx, t, "FLUXNEX_FAILPOINTS="+point, "FLUXNEX_FAILPOINT_DIR="+dir)
		if _, fired := os.Stat(filepath.Join(dir, point)); fired != nil {
			return errors.Join(fired, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.note("crash point "+point, "connection reauthorize")
	return r.repeat(ctx, func() error { return r.reauthorize(ctx, t) })
}

// provoke makes tokens end, and has Salesforce delete records that it never
// told of. A process that is down just then is asked again.
func (r *Rig) provoke(ctx context.Context, left map[string]bool, n int) {
	var errs []error
	if left["delivery token-answered"] || left["delivery token-stored"] {
		errs = append(errs, r.endTokens(ctx))
	}
	if left["fetcher removals-sent"] {
		t := r.tenants[0]
		path := fmt.Sprintf("/_sandbox/salesforce/%s/Account/%s", t.Organization, torture.LongID(fmt.Sprintf("0015g0000G%05d", n)))
		for _, method := range []string{http.MethodPut, http.MethodDelete} {
			_, err := r.ask(ctx, method, path, map[string]any{"Name": "Gone " + t.ID})
			errs = append(errs, err)
		}
		_, err := r.run(ctx, "connection", "poll", t.ID, "Revenova", "--timeout", "3s")
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		r.cfg.Log.Info("crash points: asked for in vain, again in a moment", slog.Any("error", err))
	}
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

// slowly sends a load's messages one by one until every crash point has fired,
// the rest at once.
func (r *Rig) slowly(ctx context.Context, load torture.Load) (torture.Summary, error) {
	messages, err := load.Plan.Messages()
	if err != nil {
		return torture.Summary{}, err
	}
	began := time.Now()
	var sum torture.Summary
	send := func(some []torture.Message) error {
		load.Messages, load.Spread = some, 0
		s, err := load.Run(ctx)
		sum.Messages, sum.Acked, sum.Attempts = sum.Messages+s.Messages, sum.Acked+s.Acked, sum.Attempts+s.Attempts
		sum.Notifications += s.Notifications
		sum.Took = time.Since(began)
		return err
	}
	tick := time.NewTicker(crashPause)
	defer tick.Stop()
	for i := range messages {
		select {
		case <-r.traffic:
			return sum, send(messages[i:])
		case <-ctx.Done():
			return sum, ctx.Err()
		case <-tick.C:
		}
		if err := send(messages[i : i+1]); err != nil {
			return sum, err
		}
	}
	return sum, nil
}
