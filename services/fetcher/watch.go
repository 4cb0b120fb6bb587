package fetcher

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/failpoint"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

const (
	// watchEvery is how often connections that are due are looked for; it is also
	// how long somebody who asks for a poll waits for its beginning.
	watchEvery = time.Second
	// overlap covers removals that a long transaction made visible late.
	overlap = 10 * time.Minute
	// firstLook is how far back a connection is asked that never was.
	firstLook = 13 * 24 * time.Hour
)

// watch asks connections for removals that nobody announces, each when it is
// due, by one process at a time.
func (s *Service) watch(ctx context.Context) error {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	expected := int64(-1)
	for {
		snapshot := s.deps.Snapshots.Current()
		if snapshot != nil && snapshot.Version != expected {
			if err := s.expect(ctx, snapshot); err == nil {
				expected = snapshot.Version
			} else if ctx.Err() == nil {
				s.log.Warn("cannot note which connections to poll, trying again", slog.String("error", err.Error()))
			}
		}
		for more := snapshot != nil; more && ctx.Err() == nil; {
			var err error
			if more, err = s.pollOne(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("poll not finished, its lease ends by itself", slog.String("error", err.Error()))
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *Service) expect(ctx context.Context, snapshot *controlplane.Snapshot) error {
	var tenants []record.TenantID
	var names []string
	for _, t := range snapshot.Tenants() {
		for _, c := range snapshot.ConnectionsOf(t.ID, "") {
			if app, ok := s.deps.Integrations(c.App); ok && app.Poll != nil && app.Fetch != nil && !t.Disabled {
				tenants, names = append(tenants, t.ID), append(names, c.Name)
			}
		}
	}
	return s.deps.Fetches.ExpectPolls(ctx, tenants, names)
}

// pollOne polls the connection that is due longest.
func (s *Service) pollOne(ctx context.Context) (bool, error) {
	p, err := s.deps.Fetches.ClaimPoll(ctx, 2*s.cfg.Lease)
	if err != nil || p == nil {
		return false, err
	}
	connection, ok := s.deps.Snapshots.Current().Connection(p.Tenant, p.Connection)
	if !ok {
		return true, s.deps.Fetches.DropPoll(ctx, p)
	}
	app, ok := s.deps.Integrations(connection.App)
	if !ok || app.Poll == nil || app.Fetch == nil {
		return true, s.deps.Fetches.DropPoll(ctx, p)
	}
	// What is in flight outlives ctx; its lease bounds it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Lease)
	defer cancel()
	b := &batch{tenant: p.Tenant, app: connection.App, connection: connection, fetcher: app.Fetch}
	found, err := s.removals(ctx, b, app.Poll, p)
	if err == nil {
		if err := s.answered(ctx, b); err != nil {
			return true, err
		}
		s.metrics.polls.WithLabelValues(b.app, "").Inc()
		return true, s.deps.Fetches.FinishPoll(ctx, p, found, s.cfg.Removals, "", "")
	}
	f := fault.Of(err)
	next := s.cfg.BackoffMax
	if pause, ok := s.cause(f); ok {
		next = pause
		if err := s.block(ctx, b, f, pause); err != nil {
			return true, err
		}
	}
	s.metrics.polls.WithLabelValues(b.app, f.Code).Inc()
	s.log.Warn("connection not asked for removals, trying again", slog.Any("tenant", b.tenant), slog.Any("connection", connection.Name),
		slog.String("class", f.Class.String()), slog.Any("code", f.Code), slog.String("error", f.Error()))
	return true, s.deps.Fetches.FinishPoll(ctx, p, found, next, f.Code, f.Error())
}

// removals asks for each object and sends what is news on its way; the cursor
// of an object moves only after that.
func (s *Service) removals(ctx context.Context, b *batch, poller integration.Poller, p *postgres.SourcePoll) (int, error) {
	cursors := maps.Clone(p.Cursors)
	if cursors == nil {
		cursors = map[string]time.Time{}
	}
	found := 0
	for _, object := range poller.Polled() {
		now := s.deps.Clock()
		since, again := cursors[object]
		if !again {
			since = now.Add(-firstLook)
		}
		gone, err := poller.Gone(ctx, &caller{s: s, b: b}, object, since.Add(-overlap), now)
		if err != nil {
			return found, fmt.Errorf("%s: %w", object, err)
		}
		n, err := s.gone(ctx, b, gone, again)
		if err != nil {
			return found, err
		}
		found += n
		cursors[object] = gone.Covered
		if gone.Covered.After(now) {
			cursors[object] = now
		}
		p.Cursors = maps.Clone(cursors)
	}
	return found, nil
}

// gone sends removals that are news. A record nobody knows is sent too, because
// an older event of it may be on its way; not so at the first look, which would
// send whatever was ever deleted.
func (s *Service) gone(ctx context.Context, b *batch, gone integration.Gone, again bool) (int, error) {
	if len(gone.Records) == 0 {
		return 0, nil
	}
	var keys []record.Key
	for _, r := range gone.Records {
		keys = append(keys, record.KeyOf(b.tenant, record.NewID(b.app, r.LocalID)))
	}
	for _, id := range gone.Changed {
		keys = append(keys, record.KeyOf(b.tenant, record.NewID(b.app, id)))
	}
	known := map[record.Key]*record.Replica{}
	if s.deps.Replicas != nil {
		var err error
		if known, err = s.deps.Replicas.Replicas(ctx, keys); err != nil {
			return 0, fault.Retry("view_not_ready", 0, err)
		}
	}
	var events []record.GatewayEvent
	for i, r := range gone.Records {
		state := known[keys[i]]
		if state == nil && !again || state != nil && state.Presence == record.PresenceDeleted {
			continue
		}
		events = append(events, record.GatewayEvent{
			TenantID: b.tenant, SourceApp: b.app, RecordID: record.NewID(b.app, r.LocalID), GatewayID: "gw-" + uuid.NewString(),
			Origin: record.OriginFetch, ReceivedAt: s.deps.Clock(), Outcome: r.Outcome, Detail: r.Detail,
			Format: r.Format, ContentType: "application/json", Payload: r.Payload,
		})
	}
	if len(events) == 0 {
		return 0, nil
	}
	if _, err := s.deps.Inbox.Send(ctx, events, nil); err != nil {
		return 0, fault.Retry("inbox", 0, err)
	}
	failpoint.Hit("removals-sent")
	for i := range events {
		s.log.Info("record.settled", slog.Any("tenant", b.tenant),
			slog.Any("record", events[i].RecordID), slog.String("outcome", "removed"), slog.Any("gateway_id", events[i].GatewayID))
	}
	var changed []*record.FetchRequest
	for i, id := range gone.Changed {
		if state := known[keys[len(gone.Records)+i]]; state.Live() {
			changed = append(changed, &record.FetchRequest{
				TenantID: b.tenant, SourceApp: b.app, RecordID: record.NewID(b.app, id), EntityType: state.EntityType,
				Reason: record.FetchRepair, Requested: s.deps.Clock(), Depth: state.Depth,
			})
		}
	}
	if len(changed) == 0 {
		return len(events), nil
	}
	return len(events), s.deps.Fetches.Request(ctx, changed, s.cfg.Grace)
}
