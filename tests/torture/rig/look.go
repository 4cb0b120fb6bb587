package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/schemas"
	"github.com/fluxnex/fluxnex/tests/torture"
	"github.com/fluxnex/fluxnex/tests/torture/dump"
)

// probe lets all access tokens at QuickBooks expire, with nothing else going
// on, and has every tenant write once more: only who stored the provider's
// current refresh token can.
func (r *Rig) probe(ctx context.Context, load *torture.Load, res *Result) (torture.Evidence, error) {
	ev := torture.Evidence{Plan: load.Plan}
	messages, err := load.Plan.Probes()
	if err != nil {
		return ev, err
	}
	res.Expired = time.Now()
	for _, t := range r.tenants {
		if _, err := r.ask(ctx, http.MethodPost, "/_sandbox/quickbooks/"+t.Realm+"/expire", nil); err != nil {
			return ev, err
		}
	}
	last := *load
	last.Messages, last.Spread = messages, 0
	if _, err := last.Run(ctx); err != nil {
		return ev, err
	}
	drained, limit := res.Drained, r.cfg.Drain
	if drained == 0 {
		limit = min(limit, 3*time.Second) // the verdict stands: it was not right in time
	}
	ev, err = r.drain(ctx, load.Plan, res, limit)
	if res.Drained > 0 {
		res.Drained = drained // how long the faults were felt
	}
	return ev, err
}

// look reads what people see, the views and the topics, until the checker is
// content with it or patience ends: notifications close and views settle a
// moment after the last write.
func (r *Rig) look(ctx context.Context, ev *torture.Evidence, res *Result, patience time.Duration) error {
	cfg := r.kafka()
	registry, err := kafka.NewRegistry(cfg)
	if err != nil {
		return err
	}
	codecs, err := schemas.Open(ctx, registry, cfg.Topics(), []string{"quickbooks", "hubspot"})
	if err != nil {
		return err
	}
	in := dump.Installation{Brokers: cfg.Brokers, Topics: cfg.Topics(), Redis: r.parts.redisHost, Codecs: codecs}
	ev.Tokens = &torture.Tokens{Expired: res.Expired}
	if err := awaitFor(ctx, patience, "the checker is content", func() (bool, string) {
		if err := r.lookOnce(ctx, in, ev); err != nil {
			return false, err.Error()
		}
		res.Report = torture.Check(*ev, torture.Tolerance{Inversions: true})
		return res.Report.Right(), fmt.Sprintf("%d violations", len(res.Report.Violations))
	}); err != nil {
		r.cfg.Log.Warn("not right in the end", slog.Any("error", err))
	}
	if ev.Desk == nil || ev.Views == nil {
		return fmt.Errorf("nobody could look at what the platform keeps")
	}
	topics := cfg.Topics()
	ev.Topics, err = dump.Topics(ctx, cfg.Brokers,
		[]string{topics.Gateway(), topics.FetchRequest(), topics.Outbound("quickbooks"), topics.Outbound("hubspot"), topics.Notification(), topics.DeadLetter()},
		[]string{topics.Replica(), topics.Canonical(), topics.Delivery()})
	if err != nil {
		return err
	}
	res.Report = torture.Check(*ev, torture.Tolerance{Inversions: true})
	return nil
}

func (r *Rig) lookOnce(ctx context.Context, in dump.Installation, ev *torture.Evidence) error {
	r.mu.Lock()
	desk := &torture.Desk{Revoked: slices.Clone(r.revoked)}
	r.mu.Unlock()
	for _, look := range []struct {
		args []string
		into any
	}{
		{[]string{"waiting", "-o", "json"}, &desk.Waiting},
		{[]string{"notifications", "-o", "json"}, &desk.Notices},
	} {
		out, err := r.run(ctx, look.args...)
		if err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(out), look.into); err != nil {
			return fmt.Errorf("%v: %w: %s", look.args, err, out)
		}
	}
	var err error
	if desk.Told, err = in.Told(ctx); err != nil {
		return err
	}
	views, err := in.Views(ctx)
	if err != nil {
		return err
	}
	ev.Desk, ev.Views = desk, views
	return nil
}

// neighbours are the times of F9 and F17, from their deeds: a fault names its
// tenant by number, its end by id.
func (r *Rig) neighbours(deeds []torture.Deed) []torture.Neighbour {
	var out []torture.Neighbour
	for i, d := range deeds {
		var tenant int
		var end string
		switch d.What {
		case "F9 destination dead":
			n, err := strconv.Atoi(d.Victim)
			if err != nil {
				continue
			}
			tenant, end = n%len(r.tenants), "F9 destination back"
		case "F17 flood":
			tenant, end = noisy(len(r.tenants)), "F17 flood over"
		default:
			continue
		}
		n := torture.Neighbour{Tenant: tenant, From: d.At, To: deeds[len(deeds)-1].At}
		if over := slices.IndexFunc(deeds[i:], func(e torture.Deed) bool { return e.What == end && e.Victim == r.tenants[tenant].ID }); over >= 0 {
			n.To = deeds[i+over].At
		}
		out = append(out, n)
	}
	return out
}

// alone reports whether nothing but bad neighbours was asked for.
func (c *Config) alone() bool {
	return len(c.Faults) > 0 && !slices.ContainsFunc(c.Faults, func(f string) bool { return f != "F9" && f != "F17" })
}
