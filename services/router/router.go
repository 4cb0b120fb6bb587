package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/mapping"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/stage"
	"github.com/fluxnex/fluxnex/schemas"
)

// Name is the stage's name in hops, notifications and metrics.
const Name = "router"

// Config of the router.
type Config struct {
	Topics record.Topics
}

// Control is the control plane as the router sees it.
type Control interface {
	// Snapshot returns the newest known state; nil before there is one.
	Snapshot() *controlplane.Snapshot
	// Refresh asks for a state of at least the version, and returns when it is
	// there or cannot be had.
	Refresh(ctx context.Context, version int64) error
}

// Deps are the router's collaborators.
type Deps struct {
	Codecs       *schemas.Codecs
	Control      Control
	Integrations map[string]*integration.Integration // by app
	Now          func() time.Time
}

// New builds the stage.
func New(cfg Config, deps Deps) (stage.Stage, error) {
	if deps.Codecs == nil || deps.Control == nil || deps.Now == nil {
		return nil, errors.New("router: codecs, control plane and clock are required")
	}
	c, err := mapping.NewCompiler()
	if err != nil {
		return nil, err
	}
	return &router{cfg: cfg, deps: deps, compiler: c}, nil
}

type router struct {
	cfg      Config
	deps     Deps
	compiler *mapping.Compiler
	room     schemas.Room // of the batch at hand
}

// Begin decodes a batch and makes sure that the control plane is as new as
// what the records need.
func (r *router) Begin(ctx context.Context, batch []stage.Record) (stage.Work, error) {
	r.room.Reset()
	w := &work{router: r, batch: batch, records: make([]*record.Canonical, len(batch)), unreadable: make([]error, len(batch))}
	var version int64
	for i := range batch {
		if batch[i].Value == nil {
			continue // the erasure of a tenant
		}
		c, err := r.deps.Codecs.CanonicalHead.Borrow(ctx, batch[i].Value, &r.room)
		switch {
		case err == nil:
			w.records[i] = c
			version = max(version, c.ConfigVersion)
		case fault.Of(err).Class == fault.Retryable || ctx.Err() != nil:
			return nil, err
		default:
			w.unreadable[i] = err
		}
	}
	if w.snapshot = r.deps.Control.Snapshot(); w.snapshot == nil || w.snapshot.Version < version {
		if err := r.deps.Control.Refresh(ctx, version); err != nil {
			return nil, fault.Retry("config_version", 0, fmt.Errorf("refresh the control plane to version %d: %w", version, err))
		}
		if w.snapshot = r.deps.Control.Snapshot(); w.snapshot == nil || w.snapshot.Version < version {
			return nil, fault.Retry("config_version", 0, fmt.Errorf("the control plane is older than version %d, which records need", version))
		}
	}
	return w, nil
}

// Settle has nothing to repeat: no state follows from a commit.
func (r *router) Settle(context.Context, []stage.Change) error { return nil }

// work is one batch.
type work struct {
	router     *router
	batch      []stage.Record
	records    []*record.Canonical // nil where unreadable or erased
	unreadable []error
	snapshot   *controlplane.Snapshot
	plans      map[record.TenantID]*plan

	// Room that one record has after the other.
	ready    []integration.Entity // what it is
	payloads []byte
	// And one target after the other.
	entities []integration.Entity // of the ready ones, those that are routed there
	objects  []row
	commands []record.OutboundCommand
}

// Lookups asks for nothing: everything the router needs is in the record.
func (w *work) Lookups(stage.Views) []stage.Lookup { return nil }

func (w *work) Compute(ctx context.Context, _ stage.Views) (stage.Result, error) {
	now := w.router.deps.Now()
	res := stage.Result{Settled: make([]stage.Settled, 0, len(w.batch)), Outputs: make([]stage.Output, 0, 2*len(w.batch))}
	for i := range w.batch {
		in := &w.batch[i]
		s := stage.Settled{Key: record.Key(in.Key), Input: stage.Position{Partition: in.Partition, Offset: in.Offset}}
		c := w.records[i]
		err := w.unreadable[i]
		if err == nil && c != nil {
			s.Received = c.Lineage.ReceivedAt
			err = w.route(ctx, i, c, now, &s, &res)
		}
		switch {
		case err != nil && fault.Of(err).Class != fault.Poison:
			return stage.Result{}, err
		case err != nil:
			if err := w.deadLetter(i, err, now, &res); err != nil {
				return stage.Result{}, err
			}
			s.Outcome, s.Class, s.Code = "dead_letter", fault.Poison, fault.Of(err).Code
		case c == nil:
			s.Outcome = "erased"
		}
		res.Settled = append(res.Settled, s)
	}
	return res, nil
}
