package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/redis"
)

const (
	// lookupRounds bounds parents of parents of parents.
	lookupRounds = 32
	// unclassifiedTries is how often a batch is repeated whose error nobody
	// classified, before the record that causes it is isolated.
	unclassifiedTries = 3
)

// dependencyError: something is away, the batch is repeated later.
type dependencyError struct{ err error }

func (e *dependencyError) Error() string { return e.err.Error() }
func (e *dependencyError) Unwrap() error { return e.err }

// lostViewError: the view of own partitions is not where it must be.
type lostViewError struct{ partitions []int32 }

func (e *lostViewError) Error() string {
	return fmt.Sprintf("the view of partitions %v is not where it must be", e.partitions)
}

// compute repeats a batch until it has a result; a dependency that is away
// costs time only. It gives up when the assignment changes.
func (m *member) compute(batch []Record) (Result, error) {
	backoff := backoffMin
	for tries := 1; ; {
		res, err := m.try(batch, nil)
		if err == nil {
			return res, nil
		}
		if lost := (*lostViewError)(nil); errors.As(err, &lost) || m.epochCtx.Err() != nil {
			return res, err
		}
		dep := (*dependencyError)(nil)
		if !errors.As(err, &dep) {
			if fault.Of(err).Class != fault.Unclassified || tries == unclassifiedTries {
				res, err = m.isolate(batch, map[record.Key][]byte{}, err)
				if err == nil || !errors.As(err, &dep) {
					return res, err
				}
			}
			tries++
		}
		m.deps.Log.Warn("batch not computed, trying again", slog.String("stage", m.cfg.Name),
			slog.Int("records", len(batch)), slog.String("wait", backoff.String()), slog.String("error", err.Error()))
		m.setStatus("waiting: " + err.Error())
		m.metrics.waits.Inc()
		kafka.Wait(m.epochCtx, backoff)
		backoff = min(2*backoff, backoffMax)
	}
}

// isolate halves a batch that fails until the failing records are alone; each
// becomes a dead letter, its neighbours go on. overlay holds what the records
// before them became, because the view does not know it yet.
func (m *member) isolate(batch []Record, overlay map[record.Key][]byte, cause error) (Result, error) {
	if len(batch) == 1 {
		return m.deadLetter(&batch[0], cause)
	}
	var all Result
	for _, part := range [][]Record{batch[:len(batch)/2], batch[len(batch)/2:]} {
		shift := len(all.Settled)
		res, err := m.try(part, overlay)
		if err != nil {
			if dep, lost := (*dependencyError)(nil), (*lostViewError)(nil); errors.As(err, &dep) || errors.As(err, &lost) {
				return Result{}, err
			}
			if res, err = m.isolate(part, overlay, err); err != nil {
				return Result{}, err
			}
		} else {
			m.overlay(res.Outputs, overlay)
		}
		for _, o := range res.Outputs {
			o.Input += shift
			all.Outputs = append(all.Outputs, o)
		}
		all.Settled = append(all.Settled, res.Settled...)
	}
	return all, nil
}

func (m *member) overlay(outputs []Output, overlay map[record.Key][]byte) {
	for _, o := range outputs {
		if o.Topic == m.cfg.Changelog {
			overlay[record.Key(o.Key)] = o.Value
		}
	}
}

func (m *member) deadLetter(r *Record, cause error) (Result, error) {
	f := fault.Of(cause)
	key := record.Key(r.Key)
	tenant, id, err := key.Parse()
	if err != nil {
		tenant, id = "", "" // a dead letter must not fail on its own key
	}
	d := &record.DeadLetter{
		TenantID: tenant, SourceApp: id.App(), RecordID: id,
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value,
		Stage: m.cfg.Name, Class: fault.Poison.String(), Code: f.Code, Error: cause.Error(), At: m.deps.Now(),
	}
	for _, h := range r.Headers {
		d.Headers = append(d.Headers, record.Header{Name: h.Key, Value: string(h.Value)})
	}
	m.deps.Log.Error("record cannot be computed, kept as dead letter", slog.String("stage", m.cfg.Name), slog.String("key", string(key)),
		slog.String("topic", r.Topic), slog.Int("partition", int(r.Partition)), slog.Int64("offset", r.Offset),
		slog.String("code", f.Code), slog.String("error", cause.Error()))
	outputs, err := m.deps.DeadLetters(m.epochCtx, d)
	if err != nil {
		return Result{}, &dependencyError{err}
	}
	for i := range outputs {
		outputs[i].Input = 0
	}
	return Result{Outputs: outputs, Settled: []Settled{{
		Key: key, Input: Position{Partition: r.Partition, Offset: r.Offset},
		Outcome: "dead_letter", Class: fault.Poison, Code: f.Code,
	}}}, nil
}

// try computes a batch once. It is the only place that recovers from a panic.
func (m *member) try(batch []Record, overlay map[record.Key][]byte) (res Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			m.deps.Log.Error("stage panicked", slog.Any("stage", m.cfg.Name), slog.Any("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
			res, err = Result{}, fault.Unreadable("panic", fmt.Errorf("panic: %v", p))
		}
	}()
	n := m.cfg.Kafka.PartitionCount()
	for i := range batch {
		// Its state would belong to another partition's owner.
		if kafka.Partition(batch[i].Key, n) != batch[i].Partition {
			return Result{}, fault.Unreadable("misplaced_key",
				fmt.Errorf("key %q belongs to partition %d of %d, not %d", batch[i].Key, kafka.Partition(batch[i].Key, n), n, batch[i].Partition))
		}
	}
	ctx := m.epochCtx
	work, err := m.stage.Begin(ctx, batch)
	if err != nil {
		return Result{}, &dependencyError{err}
	}
	found, err := m.lookUp(ctx, work, overlay)
	if err != nil {
		return Result{}, err
	}
	res, err = work.Compute(ctx, found)
	if err != nil {
		if fault.Of(err).Class == fault.Retryable || errors.Is(err, context.Canceled) {
			return Result{}, &dependencyError{err}
		}
		return Result{}, err
	}
	return res, m.checkResult(batch, &res)
}

func (m *member) checkResult(batch []Record, res *Result) error {
	if len(res.Settled) != len(batch) {
		return fault.Unreadable("stage_contract", fmt.Errorf("%d records were settled of %d", len(res.Settled), len(batch)))
	}
	for i := range res.Outputs {
		o := &res.Outputs[i]
		if o.Input < 0 || o.Input >= len(batch) {
			return fault.Unreadable("stage_contract", fmt.Errorf("output %d names input %d of %d", i, o.Input, len(batch)))
		}
		in := &batch[o.Input] // its own key is in the right place
		if o.Topic == m.cfg.Changelog && !bytes.Equal(o.Key, in.Key) && kafka.Partition(o.Key, m.cfg.Kafka.PartitionCount()) != in.Partition {
			return fault.Unreadable("stage_contract", fmt.Errorf("state of key %q is not written by the owner of its partition", o.Key))
		}
	}
	return nil
}

// found is what the views answered so far, with overlay in front.
type found struct {
	values  map[View]map[record.Key][]byte
	own     View
	overlay map[record.Key][]byte
}

// Get implements Views.
func (f *found) Get(v View, k record.Key) []byte {
	if v == f.own && f.overlay != nil {
		if value, ok := f.overlay[k]; ok {
			return value
		}
	}
	return f.values[v][k]
}

// lookUp asks until the stage needs nothing more, one round trip each time.
func (m *member) lookUp(ctx context.Context, work Work, overlay map[record.Key][]byte) (*found, error) {
	f := &found{values: make(map[View]map[record.Key][]byte), own: m.cfg.ChangelogView, overlay: overlay}
	partitions := m.cfg.Kafka.PartitionCount()
	for range lookupRounds {
		lookups := work.Lookups(f)
		asks, questions, own, more := make(map[View][]int), []redis.Question(nil), false, false
		for _, l := range lookups {
			values := f.values[l.View]
			if values == nil {
				values = make(map[record.Key][]byte, len(lookups))
				f.values[l.View] = values
			}
			if _, known := values[l.Key]; known {
				continue
			}
			more = true // of what is found the stage may ask on, wherever it was found
			if l.View == m.cfg.ChangelogView {
				if value, ok := m.recent.get(l.Key); ok {
					values[l.Key] = value
					continue
				}
				own = true
			}
			values[l.Key] = nil
			if m.topics[l.View] == "" {
				return nil, fault.Unreadable("stage_contract", fmt.Errorf("stage %s does not say that it reads view %s", m.cfg.Name, l.View))
			}
			places := asks[l.View] // where in questions each partition's is, counted from 1
			if places == nil {
				places = make([]int, partitions)
				asks[l.View] = places
			}
			p := kafka.Partition([]byte(l.Key), partitions)
			if places[p] == 0 {
				questions = append(questions, redis.Question{ID: m.viewID(l.View, p)})
				places[p] = len(questions)
			}
			q := &questions[places[p]-1]
			q.Keys = append(q.Keys, string(l.Key))
		}
		if !more {
			return f, nil
		}
		if len(questions) == 0 {
			continue
		}
		if own { // the view must have the last commit before it is read
			if err := m.awaitApplied(); err != nil {
				return nil, &dependencyError{err}
			}
		}
		answers, err := m.views.Read(ctx, questions)
		if err != nil {
			return nil, &dependencyError{err}
		}
		var lost []int32
		for i, a := range answers {
			id := questions[i].ID
			if View(id.View) == m.cfg.ChangelogView && m.ready[id.Partition] {
				if a.Checkpoint != m.next[id.Partition] {
					lost = append(lost, id.Partition)
				}
			} else if a.Checkpoint == redis.NoCheckpoint {
				return nil, &dependencyError{fmt.Errorf("view %s partition %d is not ready: its owner has not read its topic yet", id.View, id.Partition)}
			}
			for j, key := range questions[i].Keys {
				f.values[View(id.View)][record.Key(key)] = a.Values[j]
			}
		}
		if len(lost) > 0 {
			return nil, &lostViewError{lost}
		}
	}
	return nil, fault.Unreadable("stage_contract", fmt.Errorf("more than %d rounds of look-ups", lookupRounds))
}

// traced adds the input's trace context, so that a trace follows the record.
func traced(headers, input []Header) []Header {
	for _, h := range input {
		switch h.Key {
		case "traceparent", "tracestate", "baggage":
		default:
			continue
		}
		set := false
		for _, have := range headers {
			set = set || have.Key == h.Key
		}
		if !set {
			headers = append(slices.Clip(headers), h)
		}
	}
	return headers
}
