package main

import (
	"context"
	"log/slog"
	"maps"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/integrations"
	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/redis"
	"github.com/fluxnex/fluxnex/pkg/stage"
	"github.com/fluxnex/fluxnex/schemas"
	"github.com/fluxnex/fluxnex/services/normalizer"
	"github.com/fluxnex/fluxnex/services/replica"
	"github.com/fluxnex/fluxnex/services/router"
)

// pure is everything that the three stages have around them, in memory: what
// is left are their own costs.
type pure struct {
	codecs   *schemas.Codecs
	snapshot *controlplane.Snapshot
	views    map[stage.Lookup][]byte
	stages   map[string]stage.Stage
	inputs   map[string][]stage.Record // of the second version of each record
}

func (p *pure) Current() *controlplane.Snapshot      { return p.snapshot }
func (p *pure) Snapshot() *controlplane.Snapshot     { return p.snapshot }
func (p *pure) Refresh(context.Context, int64) error { return nil }

func (p *pure) Get(v stage.View, k record.Key) []byte {
	return p.views[stage.Lookup{View: v, Key: k}]
}

func (p *pure) Of(context.Context, []record.Key) (map[record.Key]map[record.Key]string, error) {
	return nil, nil
}
func (p *pure) Add(context.Context, []redis.Use) error           { return nil }
func (p *pure) SetWaiting(context.Context, []redis.Wait) error   { return nil }
func (p *pure) ClearWaiting(context.Context, []redis.Wait) error { return nil }
func (p *pure) Waiting(context.Context, int32, time.Time, int64, int64) ([]redis.Wait, error) {
	return nil, nil
}
func (p *pure) Blocks(context.Context) ([]postgres.Block, error) { return nil, nil }
func (p *pure) Replicas(context.Context, []record.Key) (map[record.Key]*record.Replica, error) {
	return nil, nil
}

func (p *pure) Send(context.Context, []record.GatewayEvent, []kafka.Header) ([]kafka.Position, error) {
	return nil, nil
}

func newPure(b *testing.B, n int) *pure {
	b.Helper()
	topics := record.Topics{}
	p := &pure{views: map[stage.Lookup][]byte{}, stages: map[string]stage.Stage{}, inputs: map[string][]stage.Record{}}
	var err error
	if p.codecs, err = schemas.Open(b.Context(), schemas.NewMemoryRegistry(), topics, destinations()); err != nil {
		b.Fatal(err)
	}
	p.snapshot = controlplane.NewSnapshot(7, time.Now(), []controlplane.Tenant{{ID: tenantID, Slug: tenantSlug}},
		[]controlplane.Connection{
			{Tenant: tenantID, Name: "Revenova", App: "revenova", Settings: map[string]any{"vendor_types": []any{"Carrier", "Vendor"}}},
			{Tenant: tenantID, Name: "Books", App: "quickbooks", RemoteAccount: "9130", Settings: map[string]any{"home_currency": "USD"}},
			{Tenant: tenantID, Name: "CRM", App: "hubspot", RemoteAccount: "44", Settings: map[string]any{"unique_property": "fluxnex_record_id"}},
		},
		[]controlplane.Route{
			{Tenant: tenantID, Entity: canonical.TMSVendor, Target: "Books"},
			{Tenant: tenantID, Entity: canonical.TMSVendor, Target: "CRM"},
		}, nil)
	byApp := map[string]*integration.Integration{}
	for _, i := range integrations.All() {
		byApp[i.App] = &i
	}
	lookup := func(app string) (*integration.Integration, bool) { i, ok := byApp[app]; return i, ok }
	log := slog.New(slog.DiscardHandler)
	p.stages["replica"] = replica.New(replica.Config{Topics: topics, Generation: 1}, replica.Deps{
		Codecs: p.codecs, Integrations: lookup, Dependents: p, Inbox: p, Log: log, Now: time.Now,
	})
	p.stages["normalizer"] = normalizer.New(normalizer.Config{Topics: topics}, normalizer.Deps{
		Codecs: p.codecs, Integrations: lookup, Control: p, Dependents: p, Replicas: p, Sources: p, Inbox: p, Log: log, Now: time.Now,
	})
	if p.stages["router"], err = router.New(router.Config{Topics: topics}, router.Deps{
		Codecs: p.codecs, Control: p, Integrations: byApp, Now: time.Now,
	}); err != nil {
		b.Fatal(err)
	}
	for version := range 2 {
		ms, err := accounts(p.codecs, 1, n, 0, version+1)
		if err != nil {
			b.Fatal(err)
		}
		batch := make([]stage.Record, len(ms))
		for i, m := range ms {
			batch[i] = stage.Record{Topic: topics.Gateway(), Offset: int64(version*n + i), Key: m.key, Value: m.value}
		}
		var made []map[stage.Lookup][]byte
		for _, s := range []struct {
			name, to string
			view     stage.View
		}{
			{"replica", topics.Replica(), stage.ViewReplica},
			{"normalizer", topics.Canonical(), stage.ViewCanonical},
			{"router", "", ""},
		} {
			p.inputs[s.name] = batch
			res := p.compute(b, s.name, batch)
			batch = nil
			changes := map[stage.Lookup][]byte{}
			for _, o := range res.Outputs {
				if o.Topic == s.to {
					changes[stage.Lookup{View: s.view, Key: record.Key(o.Key)}] = o.Value
					batch = append(batch, stage.Record{Topic: o.Topic, Offset: int64(version*n + len(batch)), Key: o.Key, Value: o.Value})
				}
			}
			made = append(made, changes)
		}
		if version == 0 {
			for _, changes := range made {
				maps.Copy(p.views, changes)
			}
		}
	}
	return p
}

// compute does with a batch what the runner does.
func (p *pure) compute(b *testing.B, name string, batch []stage.Record) stage.Result {
	b.Helper()
	work, err := p.stages[name].Begin(b.Context(), batch)
	if err != nil {
		b.Fatal(err)
	}
	for range 2 { // what a record was, then what it refers to
		work.Lookups(p)
	}
	res, err := work.Compute(b.Context(), p)
	if err != nil {
		b.Fatal(err)
	}
	return res
}

// BenchmarkStages is what each stage does for a changed record, without Kafka,
// Redis and the runner: one operation is one record.
func BenchmarkStages(b *testing.B) {
	const n = 500
	p := newPure(b, n)
	for _, name := range []string{"replica", "normalizer", "router"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for done := 0; done < b.N; done += n {
				p.compute(b, name, p.inputs[name][:min(n, b.N-done)])
			}
		})
	}
	changes := make([]stage.Change, n)
	for i, r := range p.inputs["router"] {
		changes[i] = stage.Change{Key: record.Key(r.Key), Value: r.Value, Offset: r.Offset}
	}
	b.Run("normalizer-settle", func(b *testing.B) {
		b.ReportAllocs()
		for done := 0; done < b.N; done += n {
			if err := p.stages["normalizer"].Settle(b.Context(), changes[:min(n, b.N-done)]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
