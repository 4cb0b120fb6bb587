package normalizer

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/redis"
	"github.com/fluxnex/fluxnex/pkg/stage"
	"github.com/fluxnex/fluxnex/schemas"
)

// Name of the stage in hops, notifications and dead letters.
const Name = "normalizer"

// DefaultWaitTTL is how long a record waits for a parent.
const DefaultWaitTTL = 24 * time.Hour

// Config of the stage.
type Config struct {
	Topics record.Topics
	// WaitTTL is how long a record waits before it has failed; 0 = DefaultWaitTTL.
	WaitTTL time.Duration
}

// Control is the control plane as this stage sees it.
type Control interface {
	// Current is the newest known state; nil before there is one.
	Current() *controlplane.Snapshot
	// Refresh returns when the state has at least the version, or cannot have it.
	Refresh(ctx context.Context, version int64) error
}

// Dependents is where the stage says which records use which, and which wait.
type Dependents interface {
	Add(ctx context.Context, uses []redis.Use) error
	SetWaiting(ctx context.Context, waits []redis.Wait) error
	ClearWaiting(ctx context.Context, waits []redis.Wait) error
	Waiting(ctx context.Context, partition int32, before time.Time, skip, limit int64) ([]redis.Wait, error)
}

// Replicas reads the replica view of any partition, now.
type Replicas interface {
	// Replicas returns the ones that are known. While a view is not ready it is
	// an error, never an absence.
	Replicas(ctx context.Context, keys []record.Key) (map[record.Key]*record.Replica, error)
}

// Inbox writes the gateway topic.
type Inbox interface {
	Send(ctx context.Context, events []record.GatewayEvent, headers []kafka.Header) ([]kafka.Position, error)
}

// Deps are what the stage needs; all are required.
type Deps struct {
	Codecs       *schemas.Codecs
	Integrations func(app string) (*integration.Integration, bool)
	Control      Control
	Dependents   Dependents
	Replicas     Replicas
	Sources      Sources
	Inbox        Inbox
	Log          *slog.Logger
	Now          func() time.Time
}

// Stage implements stage.Stage.
type Stage struct {
	cfg   Config
	deps  Deps
	topic string       // of the canonical records
	room  schemas.Room // of the batch at hand
	stood atomic.Pointer[postgres.Standstill]
}

// New is the stage; a runner runs it, and somebody calls [Stage.WakeOverdue]
// every ten seconds for the partitions it owns.
func New(cfg Config, deps Deps) *Stage {
	if cfg.WaitTTL == 0 {
		cfg.WaitTTL = DefaultWaitTTL
	}
	return &Stage{cfg: cfg, deps: deps, topic: cfg.Topics.Canonical()}
}

// input is one record of a batch, decoded or not.
type input struct {
	raw     *stage.Record
	key     record.Key
	replica *record.Replica // nil: undecodable or erased
	err     *fault.Error
	app     *integration.Integration // nil if it does not normalise
	parents []integration.Parent
	// normalized is filled in once the parents are known, and only if nothing
	// required is missing.
	normalized *integration.Normalized
}

// work is one batch.
type work struct {
	s        *Stage
	inputs   []input
	snapshot *controlplane.Snapshot
	// batch holds the newest state of each record of this batch: the view may
	// not have it yet.
	batch  map[record.Key]*record.Replica
	known  map[record.Key]*record.Replica // parents and references, decoded once; nil: unknown
	decode func(value []byte) (*record.Replica, error)
	round  int
	err    error // of decoding a view's value
}

// Begin implements stage.Stage.
func (s *Stage) Begin(ctx context.Context, batch []stage.Record) (stage.Work, error) {
	s.room.Reset()
	w := &work{s: s, inputs: make([]input, len(batch)), batch: make(map[record.Key]*record.Replica, len(batch))}
	w.decode = func(value []byte) (*record.Replica, error) { return s.deps.Codecs.Replica.Borrow(ctx, value, &s.room) }
	var version int64
	for i := range batch {
		in := &w.inputs[i]
		in.raw, in.key = &batch[i], record.Key(batch[i].Key)
		if batch[i].Value == nil {
			continue // the erasure of a tenant
		}
		r, err := s.deps.Codecs.Replica.Borrow(ctx, batch[i].Value, &s.room)
		switch f := fault.Of(err); {
		case err == nil && !in.key.Is(r.TenantID, r.RecordID):
			in.err = fault.New(fault.Poison, "foreign_key", "the replica is of %s, its key is %s", r.Key(), in.key)
		case err == nil:
			in.replica = r
			w.batch[in.key] = r
			version = max(version, r.ConfigVersion)
			if app, ok := s.deps.Integrations(r.SourceApp); ok && app.Normalize != nil {
				in.app = app
				if r.Live() {
					in.parents = app.Normalize.Parents(r)
				}
			}
		case f.Class == fault.Retryable || ctx.Err() != nil:
			return nil, err
		default:
			in.err = f
		}
	}
	var err error
	w.snapshot, err = s.snapshot(ctx, version)
	return w, err
}

// snapshot is the control plane at the version the records need, or newer.
func (s *Stage) snapshot(ctx context.Context, version int64) (*controlplane.Snapshot, error) {
	if c := s.deps.Control.Current(); c != nil && c.Version >= version {
		return c, nil
	}
	if err := s.deps.Control.Refresh(ctx, version); err != nil {
		return nil, fault.Retry("config_version", 0, fmt.Errorf("refresh the configuration to version %d: %w", version, err))
	}
	c := s.deps.Control.Current()
	if c == nil || c.Version < version {
		return nil, fault.Retry("config_version", 0, fmt.Errorf("the configuration is older than version %d, which records need", version))
	}
	return c, nil
}

// settings are the tenant's for the record's app: those of its first connection
// to it.
func (w *work) settings(r *record.Replica) integration.Settings {
	for _, c := range w.snapshot.ConnectionsOf(r.TenantID, r.SourceApp) {
		return integration.Settings(c.Settings)
	}
	return nil
}

// Lookups implements stage.Work: what a record was and its parents, and in the
// next round, with the parents' fields, what it refers to.
func (w *work) Lookups(found stage.Views) []stage.Lookup {
	w.round++
	var out []stage.Lookup
	switch w.round {
	case 1:
		out = make([]stage.Lookup, 0, len(w.inputs))
		for i := range w.inputs {
			in := &w.inputs[i]
			if in.replica == nil {
				continue
			}
			out = append(out, stage.Lookup{View: stage.ViewCanonical, Key: in.key})
			for _, p := range in.parents {
				out = append(out, stage.Lookup{View: stage.ViewReplica, Key: record.KeyOf(in.replica.TenantID, p.RecordID)})
			}
		}
	case 2:
		w.normalize(found)
		for i := range w.inputs {
			in := &w.inputs[i]
			if in.normalized == nil {
				continue
			}
			for _, p := range in.normalized.References {
				out = append(out, stage.Lookup{View: stage.ViewReplica, Key: record.KeyOf(in.replica.TenantID, p.RecordID)})
			}
		}
	}
	return out
}

// normalize calls the integration for every record that lacks nothing.
func (w *work) normalize(found stage.Views) {
	w.known = map[record.Key]*record.Replica{}
	for i := range w.inputs {
		in := &w.inputs[i]
		if in.app == nil || !in.replica.Live() {
			continue
		}
		parents := make(map[record.ID]*record.Replica, len(in.parents))
		complete := true
		for _, p := range in.parents {
			r := w.record(found, record.KeyOf(in.replica.TenantID, p.RecordID))
			if r != nil {
				parents[p.RecordID] = r
			}
			complete = complete && (r.Live() || !p.Required)
		}
		if complete {
			n := in.app.Normalize.Normalize(in.replica, parents, w.settings(in.replica))
			in.normalized = &n
		}
	}
}

// record is the newest state of a record that the view or this batch has; nil
// if it is unknown.
func (w *work) record(found stage.Views, key record.Key) *record.Replica {
	if r, done := w.known[key]; done {
		return r
	}
	var r *record.Replica
	if value := found.Get(stage.ViewReplica, key); value != nil {
		var err error
		if r, err = w.decode(value); err != nil {
			w.err = err
			return nil
		}
	}
	if b := w.batch[key]; b != nil && (r == nil || b.Revision.Compare(r.Revision) > 0) {
		r = b
	}
	w.known[key] = r
	return r
}
