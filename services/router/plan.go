package router

import (
	"cmp"
	"slices"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// target is a connection that a tenant's routes name.
type target struct {
	connection  *controlplane.Connection
	integration *integration.Integration
	account     integration.Account
	schemas     []integration.ObjectSchema
	// conditions of each entity that is routed here; any that holds is enough.
	conditions map[canonical.Entity][]string
}

// plan lists a tenant's targets in the order of their names.
func (w *work) plan(id record.TenantID) []*target {
	if p, ok := w.plans[id]; ok {
		return p
	}
	byName := map[string]*target{}
	var out []*target
	for _, r := range w.snapshot.Routes(id) {
		t := byName[r.Target]
		if t == nil {
			c, ok := w.snapshot.Connection(id, r.Target)
			if !ok {
				continue // apply refuses a route to nowhere
			}
			i := w.router.deps.Integrations[c.App]
			if i == nil || i.Map == nil {
				continue
			}
			t = &target{
				connection: c, integration: i, schemas: i.Map.Describe(),
				account:    integration.Account{Remote: c.RemoteAccount, Settings: c.Settings},
				conditions: map[canonical.Entity][]string{},
			}
			byName[r.Target] = t
			out = append(out, t)
		}
		t.conditions[r.Entity] = append(t.conditions[r.Entity], r.When)
	}
	slices.SortFunc(out, func(a, b *target) int { return cmp.Compare(a.connection.Name, b.connection.Name) })
	if w.plans == nil {
		w.plans = map[record.TenantID][]*target{}
	}
	w.plans[id] = out
	return out
}
