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
	topic       string // of its app's commands
	account     integration.Account
	schemas     []integration.ObjectSchema
	// conditions of each entity that is routed here; any that holds is enough.
	conditions map[canonical.Entity][]string
}

// plan is where a tenant's records go.
type plan struct {
	targets []*target // in the order of their names
	// fields says that an expression may look at the source record's fields. Most
	// tenants have none, and reading them takes longer than all else in a record.
	fields bool
}

func (w *work) plan(id record.TenantID) *plan {
	if p, ok := w.plans[id]; ok {
		return p
	}
	p := &plan{}
	byName := map[string]*target{}
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
				connection: c, integration: i, schemas: i.Map.Describe(), topic: w.router.cfg.Topics.Outbound(c.App),
				account:    integration.Account{Remote: c.RemoteAccount, Settings: c.Settings},
				conditions: map[canonical.Entity][]string{},
			}
			byName[r.Target] = t
			p.targets = append(p.targets, t)
		}
		t.conditions[r.Entity] = append(t.conditions[r.Entity], r.When)
		_, mapped := w.snapshot.Mapping(id, r.Entity, t.connection.App)
		p.fields = p.fields || mapped || r.When != ""
	}
	slices.SortFunc(p.targets, func(a, b *target) int { return cmp.Compare(a.connection.Name, b.connection.Name) })
	if w.plans == nil {
		w.plans = map[record.TenantID]*plan{}
	}
	w.plans[id] = p
	return p
}
