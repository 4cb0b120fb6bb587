package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/fluxnex/fluxnex/integrations"
	"github.com/fluxnex/fluxnex/pkg/app"
	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/httpapi"
	"github.com/fluxnex/fluxnex/pkg/httpapi/token"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/secret"
	"github.com/fluxnex/fluxnex/services/console"
	"github.com/fluxnex/fluxnex/services/delivery"
	"github.com/fluxnex/fluxnex/services/gateway"
)

// services lists every long-running service, in the order of the flow.
func services() []service {
	all := []app.Need{app.NeedKafka, app.NeedRegistry, app.NeedPostgres, app.NeedRedis}
	withKeys := append(slices.Clip(all), app.NeedKeyset)
	return []service{
		{"gateway", "Take webhooks in (L1)", withKeys, runGateway},
		{"replica", "Keep each source record's state (L2)", all, runReplica},
		{"normalizer", "Turn source records into canonical ones (L3)", all, runNormalizer},
		{"router", "Decide what each target must do (L4)", all, runRouter},
		{"delivery", "Bring it to the destinations (L5)", withKeys, runDelivery},
		{"fetcher", "Ask source apps for records that are missing", withKeys, runFetcher},
		{"console", "Keep the notifications that people look at, and measure consumer lag", all, runConsole},
	}
}

func newServiceCommands(e *environment) []*cobra.Command {
	var out []*cobra.Command
	for _, s := range services() {
		out = append(out, s.command(e))
	}
	return append(out, newSandboxCommand(e))
}

// snapshots keeps the control plane current and is a readiness probe. It
// returns with the first snapshot: a service that works without one would take
// every tenant for unknown.
func (p *process) snapshots(ctx context.Context, g *errgroup.Group, db *postgres.DB) (*controlplane.Source, error) {
	source := controlplane.NewSource(postgres.NewControlPlane(db), p.log)
	p.probes.Add(p.name+" configuration", source.Ready)
	g.Go(func() error { return source.Run(ctx) })
	return source, source.Refresh(ctx, 0)
}

// vault opens the stored credentials; a wrong key set is refused at start.
func (p *process) vault(ctx context.Context, db *postgres.DB) (*postgres.Vault, error) {
	keys, err := secret.Open(p.cfg.KeysetFile)
	if err != nil {
		return nil, &usageError{err}
	}
	plane := postgres.NewControlPlane(db)
	if err := plane.CheckKeyset(ctx, keys); err != nil {
		return nil, err
	}
	return postgres.NewVault(plane, keys), nil
}

// tokens puts credentials on outgoing calls.
func (p *process) tokens(client *httpapi.Client, vault *postgres.Vault) *token.Source {
	return token.New(client, vault.Tokens(), p.metrics, p.log, time.Now)
}

func (p *process) http(connections int) *httpapi.Client {
	return httpapi.New(httpapi.Config{Allowed: p.cfg.AllowDial, MaxConnections: connections})
}

func lookup(name string) (*integration.Integration, bool) {
	i, ok := integrations.Lookup(name)
	return &i, ok
}

func runGateway(ctx context.Context, p *process) error {
	codecs, err := p.codecs(ctx)
	if err != nil {
		return err
	}
	db, err := p.postgres(ctx, 2)
	if err != nil {
		return err
	}
	vault, err := p.vault(ctx, db)
	if err != nil {
		return err
	}
	rdb, err := p.redis()
	if err != nil {
		return err
	}
	inbox, err := p.inbox(codecs)
	if err != nil {
		return err
	}
	webhooks := map[string]integration.Webhook{}
	for _, i := range integrations.All() {
		if i.Webhook != nil {
			webhooks[i.App] = i.Webhook
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	config, err := p.snapshots(ctx, g, db)
	if err != nil {
		return err
	}
	gw, err := gateway.New(gateway.Config{Listen: p.cfg.Listen}, gateway.Deps{
		Config: config.Current, Webhooks: webhooks, Inbox: inbox, Secrets: vault, Limiter: rdb.Limiter(),
		Log: p.log, Now: time.Now, Metrics: p.metrics,
	})
	if err != nil {
		return err
	}
	p.probes.Add(p.name, gw.Ready)
	g.Go(func() error { return gw.Run(ctx) })
	return g.Wait()
}

func runDelivery(ctx context.Context, p *process) error {
	codecs, err := p.codecs(ctx)
	if err != nil {
		return err
	}
	db, err := p.postgres(ctx, deliveryConnections)
	if err != nil {
		return err
	}
	vault, err := p.vault(ctx, db)
	if err != nil {
		return err
	}
	rdb, err := p.redis()
	if err != nil {
		return err
	}
	producer, err := p.producer()
	if err != nil {
		return err
	}
	inbox, err := p.inbox(codecs)
	if err != nil {
		return err
	}
	var topics []string
	for _, a := range destinationApps() {
		topics = append(topics, p.kafka.Topics().Outbound(a))
	}
	g, ctx := errgroup.WithContext(ctx)
	config, err := p.snapshots(ctx, g, db)
	if err != nil {
		return err
	}
	replicas, err := p.replicas(codecs, rdb)
	if err != nil {
		return err
	}
	client := p.http(2 * p.cfg.InFlight)
	s, err := delivery.New(delivery.Config{InFlight: p.cfg.InFlight, WaitTTL: p.cfg.WaitTTL}, delivery.Deps{
		Rows: db.Deliveries(),
		Source: func(start delivery.StartOffsets) (delivery.Source, error) {
			return kafka.NewConsumer(kafka.ConsumerConfig{
				Kafka: p.kafka, Group: "delivery", Topics: topics, MaxBatch: deliveryBatch, StartOffsets: start,
			}, p.log)
		},
		Codecs: codecs, Producer: producer, Inbox: inbox, Topics: p.kafka.Topics(), Snapshots: config,
		Sources: db.Fetches(), Replicas: replicas,
		Integrations: lookup, HTTP: client, Credentials: p.tokens(client, vault), Limiter: rdb.Limiter(),
		Registerer: p.metrics, Log: p.log, Clock: time.Now, Owner: processName(),
	})
	if err != nil {
		return err
	}
	p.ready()
	g.Go(func() error { return s.Run(ctx) })
	return g.Wait()
}

const (
	deliveryConnections = 16 // batch writers, claimers, consumer, sweeps and refreshes
	deliveryBatch       = 1000
)

func runConsole(ctx context.Context, p *process) error {
	codecs, err := p.codecs(ctx)
	if err != nil {
		return err
	}
	db, err := p.postgres(ctx, 2)
	if err != nil {
		return err
	}
	p.ready()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return console.NewKeeper(p.kafka, codecs, db, p.log).Run(ctx) })
	g.Go(func() error {
		return console.NewLagExporter(p.kafka, consumerGroups(p.kafka), p.metrics, p.log).Run(ctx)
	})
	return g.Wait()
}
