package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/httpapi"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/schemas"
	"github.com/fluxnex/fluxnex/tests/parts"
)

// rig is a database, a destination, and any number of delivery services.
type rig struct {
	t      testing.TB
	db     *postgres.DB
	rows   *postgres.Deliveries
	shop   *shop
	dest   *shopDeliverer
	creds  *staticCredentials
	codecs *schemas.Codecs
	log    *producerLog
	snap   *fixedSnapshots
	next   int64
	tune   func(*Config, *Deps)
}

func newRig(t testing.TB) *rig {
	t.Helper()
	db, err := postgres.Open(t.Context(), parts.Postgres(t), postgres.Options{MaxConnections: 12})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := postgres.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	codecs, err := schemas.Open(t.Context(), schemas.NewMemoryRegistry(), record.Topics{}, []string{"shop"})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		t: t, db: db, rows: db.Deliveries(), shop: newShop(t), dest: &shopDeliverer{}, codecs: codecs,
		creds: &staticCredentials{token: "t1", version: 1}, log: &producerLog{}, snap: &fixedSnapshots{},
	}
	r.connect("envoy", "acme")
	return r
}

// connect declares one connection for each tenant, to an account of its name.
func (r *rig) connect(tenants ...record.TenantID) {
	var ts []controlplane.Tenant
	var cs []controlplane.Connection
	for _, t := range tenants {
		ts = append(ts, controlplane.Tenant{ID: t, Slug: string(t)})
		cs = append(cs, controlplane.Connection{Tenant: t, Name: "Shop", App: "shop", BaseURL: r.shop.URL, RemoteAccount: "a-" + string(t), Auth: controlplane.Auth{Kind: controlplane.AuthStaticToken}})
	}
	r.snap.set(controlplane.NewSnapshot(1, time.Now(), ts, cs, nil, nil))
}

type fixedSnapshots struct {
	mu sync.Mutex
	s  *controlplane.Snapshot
}

func (f *fixedSnapshots) set(s *controlplane.Snapshot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.s = s
}

func (f *fixedSnapshots) Current() *controlplane.Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.s
}
func (f *fixedSnapshots) Refresh(context.Context, int64) error { return nil }

type staticCredentials struct {
	mu      sync.Mutex
	token   string
	version int64
}

func (c *staticCredentials) Authorizer(*controlplane.Connection, *integration.OAuth) httpapi.Authorizer {
	return c
}

func (c *staticCredentials) Authorize(_ context.Context, h http.Header) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.Set("Authorization", "Bearer "+c.token)
	return c.token, nil
}
func (c *staticCredentials) Refused(context.Context, string) (bool, error) { return false, nil }

func (c *staticCredentials) Accepted(string) {}
func (c *staticCredentials) Version(context.Context, *controlplane.Connection) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.version, nil
}

func (c *staticCredentials) renew(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = token
	c.version++
}

// producerLog is where published messages end.
type producerLog struct {
	mu   sync.Mutex
	msgs []kafka.Message
}

func (p *producerLog) Send(_ context.Context, msgs ...kafka.Message) ([]kafka.Position, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.msgs = append(p.msgs, msgs...)
	return make([]kafka.Position, len(msgs)), nil
}

func (r *rig) results() []*record.DeliveryResult {
	r.t.Helper()
	return published(r, record.Topics{}.Delivery(), r.codecs.Delivery)
}

func (r *rig) notifications() []*record.Notification {
	r.t.Helper()
	return published(r, record.Topics{}.Notification(), r.codecs.Notification)
}

func published[T any](r *rig, topic string, codec *schemas.Codec[T]) []*T {
	r.t.Helper()
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	var out []*T
	for _, m := range r.log.msgs {
		if m.Topic != topic {
			continue
		}
		v, err := codec.Decode(context.Background(), m.Value)
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// service builds one; each has its own client, like a process.
func (r *rig) service() *Service {
	r.t.Helper()
	client := httpapi.New(httpapi.Config{Allowed: []string{r.shop.host()}, Timeout: 2 * time.Second})
	r.t.Cleanup(client.Close)
	cfg := Config{InFlight: 32, Lease: 5 * time.Second, Margin: time.Second, BackoffMin: 5 * time.Millisecond, BackoffMax: 50 * time.Millisecond, Poll: 5 * time.Millisecond, BreakerPause: 20 * time.Millisecond}
	deps := Deps{
		Rows: r.db.Deliveries(), Codecs: r.codecs, Producer: r.log, Snapshots: r.snap, Sources: r.db.Fetches(),
		Integrations: func(app string) (*integration.Integration, bool) {
			return &integration.Integration{App: "shop", Deliver: r.dest}, app == "shop"
		},
		HTTP: client, Credentials: r.creds, Registerer: prometheus.NewPedanticRegistry(), Log: slog.New(slog.DiscardHandler), Clock: time.Now,
		Owner: fmt.Sprintf("owner-%p", client),
	}
	if r.tune != nil {
		r.tune(&cfg, &deps)
	}
	s, err := New(cfg, deps)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// start runs a service until the test ends or stop is called.
func (r *rig) start() (stop func()) {
	r.t.Helper()
	s := r.service()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("the service ended with %v", err)
		}
	})
	r.t.Cleanup(stop)
	return stop
}

func command(tenant record.TenantID, id string, seq int, verb record.Verb) *record.OutboundCommand {
	return &record.OutboundCommand{
		TenantID: tenant, SourceApp: "revenova", RecordID: record.ID("revenova:" + id), TargetName: "Shop", App: "shop",
		Object: "Object", Type: "Object", Verb: verb, Payload: fmt.Appendf(nil, `{"Seq":%d}`, seq), Name: id,
		Revision: record.Revision{Generation: 1, Offset: int64(seq)},
		Lineage:  record.Lineage{ReceivedAt: time.Now().Add(-time.Second), GatewayID: "gw-1"},
	}
}

// consume hands commands to the rows as the outbound topic would.
func (r *rig) consume(commands ...*record.OutboundCommand) {
	r.t.Helper()
	desired := make([]postgres.Desired, len(commands))
	from := r.next
	for i, c := range commands {
		connection, ok := r.snap.Current().Connection(c.TenantID, c.TargetName)
		if !ok {
			r.t.Fatalf("no connection %s of %s", c.TargetName, c.TenantID)
		}
		desired[i] = postgres.Desired{Command: c, RemoteAccount: connection.RemoteAccount, Offset: r.next}
		r.next++
	}
	moved, err := r.rows.Consume(context.Background(), "fluxnex.outbound.shop", []postgres.Cursor{{Expected: from, Next: r.next}}, desired, time.Now())
	if err != nil || !moved {
		r.t.Fatalf("consume: moved %v, error %v", moved, err)
	}
}

func (r *rig) upsert(id string, seqs ...int) {
	r.t.Helper()
	for _, seq := range seqs {
		r.consume(command("envoy", id, seq, record.VerbUpsert))
	}
}

// eventually asks until ok, which says what it saw when it never is.
func (r *rig) eventually(what string, ok func() (bool, string)) {
	r.t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	for {
		good, saw := ok()
		if good {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			r.t.Fatalf("%s: not within 2 minutes; saw %s", what, saw)
		}
	}
}

// atShop waits until the record's only object has the sequence number.
func (r *rig) atShop(id string, seq int) {
	r.t.Helper()
	r.eventually(fmt.Sprintf("%s ends at %d", id, seq), func() (bool, string) {
		got := r.shop.of("revenova:" + id)
		if len(got) > 1 {
			r.t.Fatalf("%s is there %d times, which nothing mends: %+v, ledger %+v", id, len(got), got, r.shop.entries())
		}
		return len(got) == 1 && got[0].Seq == seq, fmt.Sprintf("%+v, ledger %+v", got, r.shop.entries())
	})
}

// status waits until the record's row stands there.
func (r *rig) status(tenant record.TenantID, id string, want postgres.Status) postgres.Standing {
	r.t.Helper()
	var last postgres.Standing
	r.eventually(fmt.Sprintf("%s is %s", id, want), func() (bool, string) {
		rows, err := r.rows.Of(context.Background(), tenant, record.ID("revenova:"+id))
		if err != nil || len(rows) != 1 {
			return false, fmt.Sprintf("%d rows, %v", len(rows), err)
		}
		last = rows[0]
		raw, _ := json.Marshal(last)
		return last.Status == want, string(raw)
	})
	return last
}

// inOrder fails if a version was applied after a newer one of its record.
func (r *rig) inOrder() {
	r.t.Helper()
	last := map[string]int{}
	for _, e := range r.shop.entries() {
		if !e.Applied {
			continue
		}
		key := e.Account + "/" + e.Record
		if e.Seq < last[key] {
			r.t.Errorf("%s: %d was applied after %d", key, e.Seq, last[key])
		}
		last[key] = e.Seq
	}
}

var errKilled = errors.New("killed")
