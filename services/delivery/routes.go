package delivery

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// Integrations finds an app's integration.
type Integrations func(app string) (*integration.Integration, bool)

// Routing says what a configuration's routes send to which of the lanes. Lanes
// of tenants or apps that it does not know are left out: nobody can say.
func Routing(s *controlplane.Snapshot, lanes []postgres.Lane, integrations Integrations) postgres.Routing {
	r := postgres.Routing{Version: s.Version}
	for _, l := range lanes {
		if _, ok := s.Tenant(l.Tenant); !ok {
			continue
		}
		objects, known := routedObjects(s, l.LaneKey, integrations)
		if !known {
			continue
		}
		r.Lanes = append(r.Lanes, l.ID)
		for _, o := range objects {
			r.Objects = append(r.Objects, postgres.LaneObject{Lane: l.ID, Object: o})
		}
	}
	return r
}

// routedObjects are the kinds of objects that a tenant's routes make at an
// account, over whichever connection. known is false where the app cannot say
// what it makes of an entity.
func routedObjects(s *controlplane.Snapshot, k postgres.LaneKey, integrations Integrations) (objects []string, known bool) {
	app, ok := integrations(k.App)
	if !ok || app.Map == nil {
		return nil, false
	}
	for _, r := range s.Routes(k.Tenant) {
		c, ok := s.Connection(k.Tenant, r.Target)
		if ok && c.App == k.App && c.RemoteAccount == k.RemoteAccount {
			objects = append(objects, app.Map.Of(r.Entity))
		}
	}
	return objects, true
}

// routed reports whether any route makes such objects at the row's account.
func (a *attempt) routed(s *controlplane.Snapshot, object string) bool {
	objects, known := routedObjects(s, a.lane(), a.s.deps.Integrations)
	return !known || slices.Contains(objects, object)
}

// unrouted reports that no route sends the row any more. One that was made under
// a newer configuration than this process knows has a route that it does not.
func (a *attempt) unrouted() bool {
	now := a.s.deps.Snapshots.Current()
	return a.row.ConfigVersion <= now.Version && !a.routed(now, a.row.Object)
}

// takeBack makes the row's newest state a withdrawal. It reports false where
// that could not be written: the row goes back as it came.
func (a *attempt) takeBack(ctx context.Context) bool {
	if err := a.s.deps.Rows.TakeBack(ctx, a.row); err != nil {
		a.s.log.Warn("row of a removed route not withdrawn, trying again", slog.Int64("row", a.row.ID), slog.String("error", err.Error()))
		return false
	}
	a.noRoute = true
	a.row.Verb, a.row.DesiredVerb = record.VerbWithdraw, record.VerbWithdraw
	return true
}

// routesSettle is how long after a change of routes somebody may still send by
// the old ones.
const routesSettle = 2 * time.Minute

// withdrawUnrouted withdraws what is queued for targets that no route names: at
// once when the configuration changed, and again for a while, for what the
// router sent before it knew.
func (s *Service) withdrawUnrouted(ctx context.Context, again bool) error {
	snapshot := s.deps.Snapshots.Current()
	changed := s.routes != snapshot.Version
	if !changed && (!again || s.deps.Clock().Sub(s.routesAt) > routesSettle) {
		return nil
	}
	lanes, err := s.deps.Rows.AllLanes(ctx)
	if err != nil {
		return err
	}
	n, err := s.deps.Rows.WithdrawUnrouted(ctx, Routing(snapshot, lanes, s.deps.Integrations), s.deps.Clock())
	if err != nil {
		return err
	}
	if changed {
		s.routes, s.routesAt = snapshot.Version, s.deps.Clock()
	}
	if n > 0 {
		s.log.Info("rows withdrawn that no route sends any more", slog.Int("rows", n), slog.Int64("configuration", snapshot.Version))
	}
	return nil
}
