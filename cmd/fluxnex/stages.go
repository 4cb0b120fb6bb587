package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fluxnex/fluxnex/integrations"
	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/redis"
	"github.com/fluxnex/fluxnex/pkg/stage"
	"github.com/fluxnex/fluxnex/schemas"
	"github.com/fluxnex/fluxnex/services/fetcher"
	"github.com/fluxnex/fluxnex/services/normalizer"
	"github.com/fluxnex/fluxnex/services/replica"
	"github.com/fluxnex/fluxnex/services/router"
)

// processName tells processes apart: where it runs and its number there.
func processName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "-" + strconv.Itoa(os.Getpid())
}

// runner makes the runner of a stage; its views are set by edit.
func (p *process) runner(s stage.Stage, input string, codecs *schemas.Codecs, rdb *redis.Client, edit func(*stage.Config)) (*stage.Runner, error) {
	cfg := stage.Config{
		Name: p.name, Group: p.name, TransactionalIDPrefix: p.kafka.Prefix + "-" + p.name, Input: input,
		Kafka: p.kafka, CommitInterval: p.cfg.CommitInterval,
	}
	edit(&cfg)
	r, err := stage.New(cfg, s, stage.Deps{
		Log: p.log, Now: time.Now, Registerer: p.metrics, Redis: rdb,
		DeadLetters: func(_ context.Context, d *record.DeadLetter) ([]stage.Output, error) {
			return deadLetter(p.kafka.Topics(), codecs, d)
		},
	})
	if err != nil {
		return nil, err
	}
	p.probes.Add(p.name, r.Ready)
	return r, nil
}

// deadLetter turns a record that a stage could not compute into its two
// messages: the bytes for the operator and the word for support.
func deadLetter(topics record.Topics, codecs *schemas.Codecs, d *record.DeadLetter) ([]stage.Output, error) {
	letter, err := codecs.DeadLetter.Append(nil, d)
	if err != nil {
		return nil, err
	}
	n := &record.Notification{
		TenantID: d.TenantID, SourceApp: d.SourceApp, RecordID: d.RecordID, Audience: record.AudienceSupport,
		Stage: d.Stage, Class: d.Class, Code: d.Code,
		Message:     fmt.Sprintf("%s could not process a message of %s (%d:%d): %s", d.Stage, d.Topic, d.Partition, d.Offset, d.Error),
		Remedy:      "look at it with `fluxnex dead-letter list`; after a fix, `fluxnex dead-letter redrive` sends it again",
		Fingerprint: d.Stage + "/" + d.Code, At: d.At,
		Revision: record.Revision{Offset: d.Offset},
	}
	note, err := codecs.Notification.Append(nil, n)
	if err != nil {
		return nil, err
	}
	return []stage.Output{
		{Topic: topics.DeadLetter(), Key: d.Key, Value: letter},
		{Topic: topics.Notification(), Key: d.Key, Value: note},
	}, nil
}

func runReplica(ctx context.Context, p *process) error {
	codecs, err := p.codecs(ctx)
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
	topics := p.kafka.Topics()
	s := replica.New(replica.Config{Topics: topics, Generation: p.kafka.GatewayGeneration}, replica.Deps{
		Codecs: codecs, Integrations: lookup, Dependents: rdb.Dependents(), Inbox: inbox, Log: p.log, Now: time.Now,
	})
	r, err := p.runner(s, topics.Gateway(), codecs, rdb, func(c *stage.Config) {
		c.Changelog, c.ChangelogView = topics.Replica(), stage.ViewReplica
	})
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

func runNormalizer(ctx context.Context, p *process) error {
	codecs, err := p.codecs(ctx)
	if err != nil {
		return err
	}
	db, err := p.postgres(ctx, 2)
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
	replicas, err := p.replicas(codecs, rdb)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	config, err := p.snapshots(ctx, g, db)
	if err != nil {
		return err
	}
	topics := p.kafka.Topics()
	s := normalizer.New(normalizer.Config{Topics: topics, WaitTTL: p.cfg.WaitTTL}, normalizer.Deps{
		Codecs: codecs, Integrations: lookup, Control: config, Dependents: rdb.Dependents(),
		Replicas: replicas, Sources: db.Fetches(), Inbox: inbox, Log: p.log, Now: time.Now,
	})
	r, err := p.runner(s, topics.Replica(), codecs, rdb, func(c *stage.Config) {
		c.Changelog, c.ChangelogView = topics.Canonical(), stage.ViewCanonical
		c.Foreign = map[stage.View]string{stage.ViewReplica: topics.Replica()}
	})
	if err != nil {
		return err
	}
	g.Go(func() error { return r.Run(ctx) })
	g.Go(func() error { return wakeOverdue(ctx, r, s, p.log) })
	return g.Wait()
}

const overdueEvery = 10 * time.Second

// wakeOverdue has the owner of each partition wake the children that have
// waited too long, so that the stage itself ends their wait.
func wakeOverdue(ctx context.Context, r *stage.Runner, s *normalizer.Stage, log *slog.Logger) error {
	tick := time.NewTicker(overdueEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.WakeOverdue(ctx, r.Owned()); err != nil && ctx.Err() == nil {
				log.WarnContext(ctx, "overdue records not woken, trying again", slog.Any("error", err))
			}
		}
	}
}

// routerControl names the control plane as the router does.
type routerControl struct{ *controlplane.Source }

// Snapshot is the newest known state.
func (c routerControl) Snapshot() *controlplane.Snapshot { return c.Current() }

func runRouter(ctx context.Context, p *process) error {
	codecs, err := p.codecs(ctx)
	if err != nil {
		return err
	}
	db, err := p.postgres(ctx, 2)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	config, err := p.snapshots(ctx, g, db)
	if err != nil {
		return err
	}
	byApp := map[string]*integration.Integration{}
	for _, i := range integrations.All() {
		byApp[i.App] = &i
	}
	topics := p.kafka.Topics()
	s, err := router.New(router.Config{Topics: topics}, router.Deps{
		Codecs: codecs, Control: routerControl{config}, Integrations: byApp, Now: time.Now,
	})
	if err != nil {
		return err
	}
	r, err := p.runner(s, topics.Canonical(), codecs, nil, func(*stage.Config) {})
	if err != nil {
		return err
	}
	g.Go(func() error { return r.Run(ctx) })
	return g.Wait()
}

func runFetcher(ctx context.Context, p *process) error {
	codecs, err := p.codecs(ctx)
	if err != nil {
		return err
	}
	db, err := p.postgres(ctx, 4)
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
	replicas, err := p.replicas(codecs, rdb)
	if err != nil {
		return err
	}
	source, err := kafka.NewConsumer(kafka.ConsumerConfig{
		Kafka: p.kafka, Group: p.name, Topics: []string{p.kafka.Topics().FetchRequest()}, MaxBatch: fetchBatch,
	}, p.log)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	config, err := p.snapshots(ctx, g, db)
	if err != nil {
		return err
	}
	client := p.http(fetchConnections)
	s, err := fetcher.New(fetcher.Config{Grace: p.cfg.FetchDelay}, fetcher.Deps{
		Fetches: db.Fetches(), Source: source, Codecs: codecs, Inbox: inbox, Replicas: replicas, Snapshots: config,
		Integrations: lookup, HTTP: client, Credentials: p.tokens(client, vault), Limiter: rdb.Limiter(),
		Registerer: p.metrics, Log: p.log, Clock: time.Now,
	})
	if err != nil {
		return err
	}
	p.ready()
	g.Go(func() error { return s.Run(ctx) })
	return g.Wait()
}

const (
	fetchBatch       = 2000 // what one composite call may ask for
	fetchConnections = 32
)

// replicaReader reads the replica view for services that are not its owner.
type replicaReader struct {
	view  *stage.ViewReader
	codec *schemas.Codec[record.Replica]
}

func (p *process) replicas(codecs *schemas.Codecs, rdb *redis.Client) (*replicaReader, error) {
	reader, err := kafka.NewReader(p.kafka, p.log)
	if err != nil {
		return nil, err
	}
	p.atEnd(reader.Close)
	return &replicaReader{stage.NewViewReader(stage.ViewReplica, p.kafka.Topics().Replica(), p.kafka, reader, rdb.Views()), codecs.Replica}, nil
}

// Replicas are the known ones.
func (r *replicaReader) Replicas(ctx context.Context, keys []record.Key) (map[record.Key]*record.Replica, error) {
	values, err := r.view.Get(ctx, keys)
	if err != nil {
		return nil, err
	}
	out := make(map[record.Key]*record.Replica, len(values))
	for k, v := range values {
		if out[k], err = r.codec.Decode(ctx, v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Live says which records the source has as far as is known.
func (r *replicaReader) Live(ctx context.Context, keys []record.Key) (map[record.Key]bool, error) {
	known, err := r.Replicas(ctx, keys)
	if err != nil {
		return nil, err
	}
	out := make(map[record.Key]bool, len(known))
	for k, v := range known {
		out[k] = v.Live()
	}
	return out, nil
}
