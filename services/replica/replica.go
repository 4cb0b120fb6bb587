package replica

import (
	"context"
	"log/slog"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/stage"
	"github.com/fluxnex/fluxnex/schemas"
)

// Name of the stage in hops, notifications and dead letters.
const Name = "replica"

// Config of the stage.
type Config struct {
	Topics record.Topics
	// Generation of the gateway topic: the first half of every revision.
	Generation int32
}

// Dependents knows which records used fields of which.
type Dependents interface {
	// Of returns the children of each parent with the digest each was computed with.
	Of(ctx context.Context, parents []record.Key) (map[record.Key]map[record.Key]string, error)
}

// Inbox writes the gateway topic.
type Inbox interface {
	Send(ctx context.Context, events []record.GatewayEvent, headers []kafka.Header) ([]kafka.Position, error)
}

// Deps are what the stage needs; all are required.
type Deps struct {
	Codecs       *schemas.Codecs
	Integrations func(app string) (*integration.Integration, bool)
	Dependents   Dependents
	Inbox        Inbox
	Log          *slog.Logger
	Now          func() time.Time
}

// Stage implements stage.Stage.
type Stage struct {
	cfg   Config
	deps  Deps
	topic string       // of the replicas
	room  schemas.Room // of the batch at hand
}

// New is the stage; a runner runs it.
func New(cfg Config, deps Deps) *Stage {
	return &Stage{cfg: cfg, deps: deps, topic: cfg.Topics.Replica()}
}

// input is one record of a batch, decoded or not.
type input struct {
	raw   *stage.Record
	key   record.Key
	event *record.GatewayEvent
	err   *fault.Error // why it could not be decoded
}

// work is one batch.
type work struct {
	s      *Stage
	inputs []input
}

// Begin implements stage.Stage.
func (s *Stage) Begin(ctx context.Context, batch []stage.Record) (stage.Work, error) {
	s.room.Reset()
	w := &work{s: s, inputs: make([]input, len(batch))}
	for i := range batch {
		in := &w.inputs[i]
		in.raw, in.key = &batch[i], record.Key(batch[i].Key)
		event, err := s.deps.Codecs.Gateway.Borrow(ctx, batch[i].Value, nil)
		switch f := fault.Of(err); {
		case err == nil && !in.key.Is(event.TenantID, event.RecordID):
			in.err = fault.New(fault.Poison, "foreign_key", "the event is about %s, its key is %s", event.Key(), in.key)
		case err == nil:
			in.event = event
		case f.Class == fault.Retryable:
			return nil, err
		default:
			in.err = f
		}
	}
	return w, nil
}

// Lookups implements stage.Work: each record's own state.
func (w *work) Lookups(stage.Views) []stage.Lookup {
	seen := make(map[record.Key]bool, len(w.inputs))
	out := make([]stage.Lookup, 0, len(w.inputs))
	for _, in := range w.inputs {
		if in.event != nil && !seen[in.key] {
			seen[in.key] = true
			out = append(out, stage.Lookup{View: stage.ViewReplica, Key: in.key})
		}
	}
	return out
}

// Compute implements stage.Work.
func (w *work) Compute(ctx context.Context, found stage.Views) (stage.Result, error) {
	b := &batch{s: w.s, states: make(map[record.Key]*record.Replica, len(w.inputs)), fetching: map[record.Key]bool{}}
	b.result.Settled = make([]stage.Settled, 0, len(w.inputs))
	b.result.Outputs = make([]stage.Output, 0, len(w.inputs))
	for i := range w.inputs {
		in := &w.inputs[i]
		if in.event == nil {
			if err := b.poison(i, in, nil, in.err); err != nil {
				return stage.Result{}, err
			}
			continue
		}
		prev, ok := b.states[in.key]
		if !ok {
			if value := found.Get(stage.ViewReplica, in.key); value != nil {
				var err error
				if prev, err = w.s.deps.Codecs.Replica.Borrow(ctx, value, &w.s.room); err != nil {
					return stage.Result{}, err
				}
			}
			b.states[in.key] = prev
		}
		if err := b.apply(i, in, prev); err != nil {
			return stage.Result{}, err
		}
	}
	return b.result, nil
}
