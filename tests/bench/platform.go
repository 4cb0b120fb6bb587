package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/pkg/embedded"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/schemas"
)

// commitInterval is the product's default, used by both sides.
const commitInterval = 15 * time.Millisecond

const partitions = 12

// cluster is a broker with its registry.
type cluster struct {
	Name        string // "embedded broker" or "Apache Kafka"
	Brokers     string
	RegistryURL string
	Replication int      // 0: one
	process     *process // nil where we did not start it
}

// platform is one installation on one cluster: everything that a measure needs
// beside its own baseline.
type platform struct {
	cluster  cluster
	dir, bin string
	env      []string
	kafka    kafka.Config
	codecs   *schemas.Codecs
	gateway  *process
	listen   string     // of the gateway
	stages   []*process // replica, normalizer, router
	redis    *embedded.Server
	all      []*process
}

// destinations are the apps that the tenant's routes lead to.
func destinations() []string { return []string{"hubspot", "quickbooks"} }

const configuration = `
kind: Tenant
id: bench
slug: bench-logistics
name: Benchmark
limits: {webhooks_per_second: 10000000}
---
kind: Connection
tenant: bench
name: Revenova
app: revenova
base_url: http://127.0.0.1:9
remote_account: ` + organization + `
auth: {kind: client_credentials, token_url: "http://127.0.0.1:9/token", client_id: bench, client_secret: {env: BENCH_SECRET}}
webhook:
  organization: ` + organization + `
  secrets: [{env: BENCH_KEY}]
  signing_secrets: [{env: BENCH_SIGNING}]
settings: {vendor_types: [Carrier, Vendor], time_zone: America/Chicago}
---
kind: Connection
tenant: bench
name: Books
app: quickbooks
base_url: http://127.0.0.1:9
remote_account: "9130347798120106"
auth: {kind: refresh_token, token_url: "http://127.0.0.1:9/token", client_id: bench, client_secret: {env: BENCH_SECRET}, refresh_token: {env: BENCH_SECRET}}
settings: {home_currency: USD, item_ref: {default: "1"}, expense_account_ref: "3"}
---
kind: Connection
tenant: bench
name: CRM
app: hubspot
base_url: http://127.0.0.1:9
remote_account: "44556677"
auth: {kind: token, token: {env: BENCH_SECRET}}
settings: {unique_property: fluxnex_record_id, pipeline: default}
---
kind: Route
tenant: bench
entity: TMS_VENDOR
target: Books
---
kind: Route
tenant: bench
entity: TMS_VENDOR
target: CRM
---
kind: Route
tenant: bench
entity: TMS_INVOICE
target: Books
`

// shape is what installations differ in.
type shape struct {
	config     string   // its tenants, whose secrets env holds
	env        []string // beside what all have
	partitions int32    // of each topic; 0: 12
}

// install prepares an installation on c and starts the services named, one
// process for each time that one is named.
func install(ctx context.Context, c cluster, dir, bin, postgresURL string, like shape, services ...string) (p *platform, err error) {
	p = &platform{cluster: c, dir: dir, bin: bin}
	if like.partitions == 0 {
		like.partitions = partitions
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.redis, err = embedded.InstalledRedis(ctx, filepath.Join(dir, "redis"), 0); err != nil {
		return p, fmt.Errorf("redis-server: %w: install it, the embedded one is no part of production", err)
	}
	// All installations share a database, so also what its secrets are encrypted
	// with.
	keyset := filepath.Join(filepath.Dir(dir), "keyset.json")
	prefix := fmt.Sprintf("bench%d", time.Now().UnixNano()%1_000_000_000)
	p.env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "FLUXNEX_") }),
		"FLUXNEX_KAFKA_BROKERS="+c.Brokers, "FLUXNEX_SCHEMA_REGISTRY_URL="+c.RegistryURL, "FLUXNEX_TOPIC_PREFIX="+prefix,
		"FLUXNEX_POSTGRES_URL="+postgresURL, "FLUXNEX_REDIS_URL="+p.redis.URL, "FLUXNEX_KEYSET_FILE="+keyset,
		"FLUXNEX_COMMIT_INTERVAL="+commitInterval.String(), fmt.Sprint("FLUXNEX_PARTITIONS=", like.partitions), fmt.Sprint("FLUXNEX_REPLICATION_FACTOR=", max(1, c.Replication)),
		"BENCH_KEY="+webhookKey, "BENCH_SIGNING="+signingSecret, "BENCH_SECRET=benchmark",
	)
	p.env = append(p.env, like.env...)
	file := filepath.Join(dir, "tenant.yaml")
	if err := os.WriteFile(file, []byte(like.config), 0o600); err != nil {
		return p, err
	}
	steps := [][]string{{"migrate"}, {"topics", "apply"}, {"schemas", "register"}, {"apply", "-f", file}}
	if _, err := os.Stat(keyset); errors.Is(err, os.ErrNotExist) {
		steps = slices.Insert(steps, 0, []string{"keyset", "create"})
	}
	for _, args := range steps {
		if err := command(ctx, bin, p.env, args...); err != nil {
			return p, err
		}
	}
	p.kafka = kafka.Config{Brokers: strings.Split(c.Brokers, ","), RegistryURL: c.RegistryURL, Prefix: prefix, Partitions: like.partitions}
	registry, err := kafka.NewRegistry(p.kafka)
	if err != nil {
		return p, err
	}
	if p.codecs, err = schemas.Open(ctx, registry, p.kafka.Topics(), destinations()); err != nil {
		return p, err
	}
	for _, name := range services {
		listen, admin, err := twoAddresses(ctx)
		if err != nil {
			return p, err
		}
		if name == "gateway" {
			p.listen = listen
		}
		s, err := serve(ctx, dir, bin, name, p.env, listen, admin)
		if err != nil {
			return p, err
		}
		p.all = append(p.all, s)
		if name == "gateway" {
			p.gateway = s
		} else {
			p.stages = append(p.stages, s)
		}
	}
	return p, nil
}

// outbound are the topics that the pipeline ends in.
func (p *platform) outbound() []string {
	var out []string
	for _, app := range destinations() {
		out = append(out, p.kafka.Topics().Outbound(app))
	}
	return out
}

func (p *platform) close() {
	for _, s := range slices.Backward(p.all) {
		s.stop()
	}
	if p.redis != nil {
		_ = p.redis.Close()
	}
	if p.kafka.Prefix != "" {
		dropTopics(p.cluster.Brokers, p.kafka.Prefix)
	}
}

// chain is the bare pipeline on the same cluster: three copies in processes of
// their own, and the bare handler in front.
type chain struct {
	topics  []string // gateway, and where the first two copies go
	out     []string // where the last one goes: one topic for each destination
	listen  string   // of the handler
	handler *process
	copies  []*process
}

func startChain(ctx context.Context, p *platform, hops int) (c *chain, err error) {
	c = &chain{}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	bare := p.kafka
	bare.Prefix += "-bare"
	t := bare.Topics()
	if _, err := kafka.Apply(ctx, bare, destinations(), slog.New(slog.DiscardHandler)); err != nil {
		return c, err
	}
	c.topics = []string{t.Gateway(), t.Replica(), t.Canonical()}
	for _, app := range destinations() {
		c.out = append(c.out, t.Outbound(app))
	}
	to := [][]string{c.topics[1:2], c.topics[2:3], c.out}
	if c.handler, err = role(ctx, p.dir, "handler", "handler", "-brokers", p.cluster.Brokers, "-to", c.topics[0]); err != nil {
		return c, err
	}
	c.listen = c.handler.hello
	for i := range hops {
		s, err := role(ctx, p.dir, fmt.Sprint("copy", i), "copy", "-brokers", p.cluster.Brokers,
			"-from", c.topics[i], "-to", strings.Join(to[i], ","), "-interval", commitInterval.String())
		if err != nil {
			return c, err
		}
		c.copies = append(c.copies, s)
	}
	return c, nil
}

func (c *chain) close() {
	for _, s := range c.copies {
		s.stop()
	}
	if c.handler != nil {
		c.handler.stop()
	}
}

// clusters are the embedded broker, and the real one where the environment
// names it.
func clusters(ctx context.Context, dir string) ([]cluster, error) {
	b, err := role(ctx, dir, "broker", "broker")
	if err != nil {
		return nil, err
	}
	broker, registry, ok := strings.Cut(b.hello, " ")
	if !ok {
		return nil, errors.New("the embedded broker says " + b.hello)
	}
	out := []cluster{{Name: embeddedName, Brokers: broker, RegistryURL: registry, process: b}}
	if brokers, registry := os.Getenv("FLUXNEX_TEST_KAFKA_BROKERS"), os.Getenv("FLUXNEX_TEST_REGISTRY_URL"); brokers != "" && registry != "" {
		out = append(out, cluster{Name: kafkaName, Brokers: brokers, RegistryURL: registry})
	}
	return out, nil
}

const (
	embeddedName = "embedded broker"
	kafkaName    = "Apache Kafka"
)
