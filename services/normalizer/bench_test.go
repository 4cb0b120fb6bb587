package normalizer_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
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
)

// Record ids of the tests, 18 characters as Salesforce makes them.
const (
	acme    = "0015g00000AbCdEAAV"
	load1   = "a0L5g000000AaaAEAS"
	invoice = "a0I5g000000AccCEAS"
	bill    = "a0B5g000000AddDEAS"
)

// bench drives the stage as the runner does, one partition, views in maps.
type bench struct {
	t        *testing.T
	stage    *normalizer.Stage
	codecs   *schemas.Codecs
	topics   record.Topics
	now      time.Time
	offset   int64
	settings map[string]any

	replicas   map[record.Key][]byte
	canonicals map[record.Key][]byte
	uses       []redis.Use
	blocks     []postgres.Block
	waiting    map[record.Key]time.Time
	onAdd      func() // between registering and looking again
	woken      []record.GatewayEvent
	away       bool // Redis is

	out     []stage.Output // of the last batch
	settled []stage.Settled
}

func lookup(app string) (*integration.Integration, bool) {
	i, ok := integrations.Lookup(app)
	return &i, ok
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{
		t: t, now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), settings: map[string]any{},
		replicas: map[record.Key][]byte{}, canonicals: map[record.Key][]byte{}, waiting: map[record.Key]time.Time{},
	}
	var err error
	if b.codecs, err = schemas.Open(t.Context(), schemas.NewMemoryRegistry(), b.topics, []string{"quickbooks"}); err != nil {
		t.Fatal(err)
	}
	b.stage = normalizer.New(normalizer.Config{}, normalizer.Deps{
		Codecs: b.codecs, Integrations: lookup, Control: b, Dependents: b, Replicas: b, Sources: b, Inbox: b,
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return b.now },
	})
	return b
}

// Current and Refresh are the control plane.
func (b *bench) Current() *controlplane.Snapshot {
	return controlplane.NewSnapshot(7, b.now, nil, []controlplane.Connection{
		{Tenant: "envoy", Name: "Revenova", App: "revenova", Settings: b.settings},
	}, nil, nil)
}

func (b *bench) Refresh(context.Context, int64) error { return errors.New("there is no newer one") }

// Add, SetWaiting, ClearWaiting and Waiting are Redis.
func (b *bench) Add(_ context.Context, uses []redis.Use) error {
	if b.away {
		return errors.New("redis is away")
	}
	b.uses = append(b.uses, uses...)
	if b.onAdd != nil {
		b.onAdd()
	}
	return nil
}

func (b *bench) SetWaiting(_ context.Context, waits []redis.Wait) error {
	for _, w := range waits {
		b.waiting[w.Key] = w.Since
	}
	return nil
}

func (b *bench) ClearWaiting(_ context.Context, waits []redis.Wait) error {
	for _, w := range waits {
		delete(b.waiting, w.Key)
	}
	return nil
}

func (b *bench) Waiting(_ context.Context, _ int32, before time.Time, skip, _ int64) ([]redis.Wait, error) {
	var out []redis.Wait
	for k, since := range b.waiting {
		if since.Before(before) && skip == 0 {
			out = append(out, redis.Wait{Key: k, Since: since})
		}
	}
	return out, nil
}

// Blocks is when sources could not be asked.
func (b *bench) Blocks(context.Context) ([]postgres.Block, error) { return b.blocks, nil }

// Replicas is the replica view, now.
func (b *bench) Replicas(ctx context.Context, keys []record.Key) (map[record.Key]*record.Replica, error) {
	out := map[record.Key]*record.Replica{}
	for _, k := range keys {
		if v := b.replicas[k]; v != nil {
			r, err := b.codecs.Replica.Decode(ctx, v)
			if err != nil {
				return nil, err
			}
			out[k] = r
		}
	}
	return out, nil
}

// Send is the inbox.
func (b *bench) Send(_ context.Context, events []record.GatewayEvent, _ []kafka.Header) ([]kafka.Position, error) {
	b.woken = append(b.woken, events...)
	return make([]kafka.Position, len(events)), nil
}

// Get implements stage.Views.
func (b *bench) Get(v stage.View, k record.Key) []byte {
	if v == stage.ViewReplica {
		return b.replicas[k]
	}
	return b.canonicals[k]
}

func key(id string) record.Key { return record.KeyOf("envoy", record.NewID("revenova", id)) }

// replica is a live record with text fields "Name=value"; "Name=null" is null.
func replica(id, entity string, fields ...string) *record.Replica {
	r := &record.Replica{
		TenantID: "envoy", SourceApp: "revenova", RecordID: record.NewID("revenova", id),
		EntityType: entity, Presence: record.PresenceLive, Version: "1",
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		field := record.Field{Name: name, Kind: record.KindText, Value: value}
		switch {
		case value == "null":
			field.Kind, field.Value = record.KindNull, ""
		case strings.HasPrefix(value, "["):
			field.Kind = record.KindJSON
		}
		r.Fields = append(r.Fields, field)
	}
	slices.SortFunc(r.Fields, func(a, b record.Field) int { return strings.Compare(a.Name, b.Name) })
	return r
}

// message is a state on the replica topic; it is not in the view yet.
func (b *bench) message(r *record.Replica) stage.Record {
	b.t.Helper()
	b.offset++
	r.Revision = record.Revision{Offset: b.offset}
	r.Lineage.ReceivedAt = b.now
	value, err := b.codecs.Replica.Append(nil, r)
	if err != nil {
		b.t.Fatal(err)
	}
	return stage.Record{Topic: b.topics.Replica(), Partition: 4, Offset: b.offset, Key: []byte(r.Key()), Value: value}
}

// know puts a state into the replica view, as the replica stage does.
func (b *bench) know(rs ...*record.Replica) {
	b.t.Helper()
	for _, r := range rs {
		b.replicas[r.Key()] = b.message(r).Value
	}
}

// compute is one batch until its transaction is committed and the view applied.
func (b *bench) compute(batch ...stage.Record) []stage.Change {
	b.t.Helper()
	work, err := b.stage.Begin(b.t.Context(), batch)
	if err != nil {
		b.t.Fatal(err)
	}
	for asked := -1; ; {
		n := len(work.Lookups(b))
		if n == asked {
			break
		}
		asked = n
	}
	res, err := work.Compute(b.t.Context(), b)
	if err != nil {
		b.t.Fatal(err)
	}
	b.out, b.settled = res.Outputs, res.Settled
	var changes []stage.Change
	for _, o := range res.Outputs {
		if o.Topic == b.topics.Canonical() {
			b.canonicals[record.Key(o.Key)] = o.Value
			changes = append(changes, stage.Change{Key: record.Key(o.Key), Value: o.Value, Partition: 4})
		}
	}
	return changes
}

// put is what the two stages do with new states, one batch.
func (b *bench) put(rs ...*record.Replica) {
	b.t.Helper()
	var batch []stage.Record
	for _, r := range rs {
		m := b.message(r)
		b.replicas[r.Key()] = m.Value
		batch = append(batch, m)
	}
	if err := b.stage.Settle(b.t.Context(), b.compute(batch...)); err != nil {
		b.t.Fatal(err)
	}
}

// wake processes the current state of a record again.
func (b *bench) wake(id string) {
	b.t.Helper()
	r, err := b.codecs.Replica.Decode(b.t.Context(), b.replicas[key(id)])
	if err != nil {
		b.t.Fatal(err)
	}
	b.put(r)
}

func (b *bench) state(id string) *record.Canonical {
	b.t.Helper()
	value := b.canonicals[key(id)]
	if value == nil {
		b.t.Fatalf("there is no canonical record of %s", id)
	}
	c, err := b.codecs.Canonical.Decode(b.t.Context(), value)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bench) wants(id string, status record.Status, code string) *record.Canonical {
	b.t.Helper()
	c := b.state(id)
	if c.Status != status || c.Code != code {
		b.t.Errorf("%s is %s %q (%s), want %s %q", id, c.Status, c.Code, c.Detail, status, code)
	}
	return c
}

// entity is "STATE reason" of one entity; "" if the record never was it.
func entity(c *record.Canonical, e canonical.Entity) string {
	for _, x := range c.Entities {
		if x.Entity == string(e) {
			return strings.TrimSpace(string(x.State) + " " + x.Reason)
		}
	}
	return ""
}

func value[T any](t *testing.T, c *record.Canonical, e canonical.Entity) *T {
	t.Helper()
	for _, x := range c.Entities {
		if x.Entity == string(e) {
			v, err := canonical.Decode(e, x.Body)
			if err != nil {
				t.Fatal(err)
			}
			return v.(*T)
		}
	}
	t.Fatalf("the record is no %s: %+v", e, c.Entities)
	return nil
}

// fetches lists what the last batch asked for, as local ids.
func (b *bench) fetches() string {
	b.t.Helper()
	var out []string
	for _, o := range b.out {
		if o.Topic == b.topics.FetchRequest() {
			f, err := b.codecs.FetchRequest.Decode(b.t.Context(), o.Value)
			if err != nil {
				b.t.Fatal(err)
			}
			if string(o.Key) != string(f.Key()) {
				b.t.Errorf("the request's key is %s, the record's %s", o.Key, f.Key())
			}
			out = append(out, f.RecordID.Local())
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// notes lists the last batch's notifications as codes; "resolved" closes.
func (b *bench) notes() string {
	b.t.Helper()
	var out []string
	for _, o := range b.out {
		if o.Topic == b.topics.Notification() {
			n, err := b.codecs.Notification.Decode(b.t.Context(), o.Value)
			if err != nil {
				b.t.Fatal(err)
			}
			if n.Resolved {
				out = append(out, "resolved")
				continue
			}
			if n.Message == "" || n.Remedy == "" || n.Fingerprint == "" {
				b.t.Errorf("a notification that does not help: %+v", n)
			}
			out = append(out, n.Code)
		}
	}
	return strings.Join(out, " ")
}
