package normalizer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/stage"
)

// Compute implements stage.Work.
func (w *work) Compute(ctx context.Context, found stage.Views) (stage.Result, error) {
	if w.round < 2 { // nothing was looked up: the batch has no readable record
		w.normalize(found)
	}
	b := &batch{work: w, found: found, now: w.s.deps.Now(), fetching: map[record.Key]bool{}}
	b.result.Settled = make([]stage.Settled, 0, len(w.inputs))
	b.result.Outputs = make([]stage.Output, 0, len(w.inputs))
	for i := range w.inputs {
		in := &w.inputs[i]
		var err error
		switch {
		case in.err != nil:
			err = b.poison(i, in)
		case in.replica == nil:
			b.settle(in, "erased", nil)
		case w.batch[in.key] != in.replica:
			// A newer state of the record is in this batch: as in a compacted topic,
			// only the newest counts.
			b.settle(in, "superseded", nil)
		default:
			err = b.record(ctx, i, in)
		}
		if err != nil {
			return stage.Result{}, err
		}
	}
	if w.err != nil {
		return stage.Result{}, w.err
	}
	return b.result, nil
}

// batch collects what a batch becomes.
type batch struct {
	*work
	found    stage.Views
	now      time.Time
	fetching map[record.Key]bool // asked for in this batch
	bodies   []byte              // of the record at hand, until it is encoded
	result   stage.Result
}

// record computes one record's canonical state.
func (b *batch) record(ctx context.Context, i int, in *input) error {
	b.bodies = b.bodies[:0]
	prev := &record.Canonical{}
	if value := b.found.Get(stage.ViewCanonical, in.key); value != nil {
		var err error
		if prev, err = b.s.deps.Codecs.CanonicalState.Borrow(ctx, value, nil); err != nil {
			return err
		}
	}
	r := in.replica
	next := &record.Canonical{
		TenantID: r.TenantID, SourceApp: r.SourceApp, RecordID: r.RecordID, EntityType: r.EntityType,
		SourceFields: r.Fields, Revision: r.Revision,
		ConfigVersion: max(r.ConfigVersion, b.snapshot.Version),
		Lineage:       r.Lineage.WithHop(Name, b.now),
	}
	problem, err := b.decide(i, in, prev, next)
	if err != nil {
		return err
	}
	value, err := b.s.deps.Codecs.Canonical.Append(nil, next)
	if err != nil {
		in.err = fault.Of(err)
		return b.poison(i, in)
	}
	b.result.Outputs = append(b.result.Outputs, stage.Output{
		Topic: b.s.topic, Key: in.raw.Key, Value: value, Input: i,
	})
	var f *fault.Error
	if problem != nil {
		f = fault.New(fault.Business, problem.Code, "%s", problem.Message)
	}
	b.settle(in, string(next.Status), f)
	return b.tell(i, in, prev, next, problem)
}

// decide fills in status, entities and dependencies. A problem is what a person
// has to solve; it makes the record failed.
func (b *batch) decide(i int, in *input, prev, next *record.Canonical) (*integration.Problem, error) {
	r := in.replica
	switch {
	case in.app == nil:
		next.Status, next.Code, next.Detail = record.StatusIgnored, "not_a_source", r.SourceApp+" is not a source of canonical entities"
		return nil, nil
	case !r.Live():
		b.gone(r, prev, next)
		return nil, nil
	}
	missing, lost := b.parents(in, next)
	if err := b.ask(i, in, in.parents); err != nil {
		return nil, err
	}
	missing = required(missing)
	switch {
	case len(lost) > 0:
		problem := lostParent(lost[0], b.other(r, lost[0]))
		b.stop(prev, next, record.StatusFailed, problem.Code, problem.Message)
		return problem, nil
	case len(missing) > 0:
		return b.wait(r, missing, prev, next), nil
	case in.normalized == nil:
		// A view's value could not be decoded; Compute reports it.
		return nil, nil
	}
	n := in.normalized
	if err := b.ask(i, in, n.References); err != nil {
		return nil, err
	}
	if n.Failure != nil {
		b.stop(prev, next, record.StatusFailed, n.Failure.Code, n.Failure.Message)
		return n.Failure, nil
	}
	return nil, b.entities(r, n, prev, next)
}

// parents notes what the record depends on and returns the parents that nobody
// knows, and the required ones that the source does not have.
func (b *batch) parents(in *input, next *record.Canonical) (missing, lost []integration.Parent) {
	for _, p := range in.parents {
		parent := b.other(in.replica, p)
		d := record.Dependency{RecordID: p.RecordID, Digest: record.MissingParent}
		switch {
		case parent == nil:
			missing = append(missing, p)
		case !parent.Live() && p.Required:
			lost = append(lost, p)
		}
		if parent != nil {
			d.Digest = record.Digest(parent, in.app.Normalize.Used(parent.EntityType))
		}
		next.Dependencies = append(next.Dependencies, d)
	}
	slices.SortFunc(next.Dependencies, func(a, b record.Dependency) int { return cmp.Compare(a.RecordID, b.RecordID) })
	return missing, lost
}

func required(ps []integration.Parent) []integration.Parent {
	return slices.DeleteFunc(slices.Clone(ps), func(p integration.Parent) bool { return !p.Required })
}

// wait makes the record wait, or fail if it has waited too long. The time it
// began to wait is kept while the same parent is missing.
func (b *batch) wait(r *record.Replica, missing []integration.Parent, prev, next *record.Canonical) *integration.Problem {
	next.WaitingSince = b.now
	for _, p := range missing {
		same := slices.Contains(prev.Dependencies, record.Dependency{RecordID: p.RecordID, Digest: record.MissingParent})
		if same && !prev.WaitingSince.IsZero() && prev.WaitingSince.Before(next.WaitingSince) {
			next.WaitingSince = prev.WaitingSince
		}
	}
	names := make([]string, len(missing))
	for i, p := range missing {
		names[i] = fmt.Sprintf("%s (%s)", p.RecordID, p.EntityType)
	}
	what := strings.Join(names, ", ")
	if b.s.waited(r.TenantID, r.SourceApp, next.WaitingSince, b.now) < b.s.cfg.WaitTTL {
		b.stop(prev, next, record.StatusWaiting, "missing_parent", "waits for "+what)
		return nil
	}
	problem := &integration.Problem{
		Code:    "parent_timeout",
		Message: fmt.Sprintf("It needs %s, which did not arrive within %s and could not be fetched.", what, b.s.cfg.WaitTTL),
		Remedy:  "Save the missing record again in the source, or give the integration's user access to it; this record then goes on by itself.",
	}
	b.stop(prev, next, record.StatusFailed, problem.Code, problem.Message)
	return problem
}

func lostParent(p integration.Parent, parent *record.Replica) *integration.Problem {
	problem := &integration.Problem{Field: string(p.RecordID)}
	name := fmt.Sprintf("%s (%s)", p.RecordID, p.EntityType)
	switch parent.Presence {
	case record.PresenceFailed:
		problem.Code = "parent_fetch_failed"
		problem.Message = fmt.Sprintf("It needs %s, which could not be fetched: %s", name, parent.Detail)
		problem.Remedy = "Check the source connection and its user's access; save the missing record again."
	case record.PresenceDeleted:
		problem.Code = "parent_deleted"
		problem.Message = fmt.Sprintf("It needs %s, which was deleted in the source.", name)
		problem.Remedy = "Restore the deleted record in the source, or delete this one too."
	case record.PresenceAbsent, record.PresenceLive:
		problem.Code = "parent_absent"
		problem.Message = fmt.Sprintf("It needs %s, and the source says there is no such record. %s", name, parent.Detail)
		problem.Remedy = "Correct the reference in the source, or give the integration's user access to the missing record."
	}
	return problem
}

// stop takes back what has not been sent: the record cannot go on now.
func (b *batch) stop(prev, next *record.Canonical, status record.Status, code, detail string) {
	next.Status, next.Code, next.Detail = status, code, detail
	for _, e := range prev.Entities {
		if e.State != record.EntityDeleted {
			e.State, e.Reason = record.EntityWithdrawn, code
		}
		next.Entities = append(next.Entities, e)
	}
}

// gone removes every entity of a record that the source does not have.
func (b *batch) gone(r *record.Replica, prev, next *record.Canonical) {
	next.Status, next.Code, next.Detail = record.StatusIgnored, string(r.Presence), r.Detail
	for _, e := range prev.Entities {
		next.Status = record.StatusReady
		e.State, e.Reason = record.EntityDeleted, "source_"+string(r.Presence)
		next.Entities = append(next.Entities, e)
	}
}

// entities writes what the record is now, and what it no longer is.
func (b *batch) entities(r *record.Replica, n *integration.Normalized, prev, next *record.Canonical) error {
	next.Status = record.StatusReady
	present := map[string]bool{}
	for _, c := range n.Entities {
		e := record.CanonicalEntity{
			Entity: string(c.Entity), State: record.EntityReady, Reason: c.Withdrawn,
		}
		was := indexOf(prev, e.Entity)
		if was >= 0 {
			e.CanonicalID = prev.Entities[was].CanonicalID
		} else {
			e.CanonicalID = CanonicalID(r.TenantID, r.RecordID, c.Entity)
		}
		switch {
		case c.Void:
			e.State = record.EntityDeleted
		case c.Withdrawn != "":
			e.State = record.EntityWithdrawn
		}
		if c.Value != nil {
			from := len(b.bodies)
			all, err := canonical.Append(b.bodies, c.Value)
			if err != nil {
				return fmt.Errorf("%s of %s: %w", c.Entity, r.RecordID, err)
			}
			b.bodies, e.Body = all, all[from:len(all):len(all)]
		} else if was >= 0 {
			e.Body = prev.Entities[was].Body
		}
		present[e.Entity] = true
		next.Entities = append(next.Entities, e)
	}
	for _, e := range prev.Entities {
		if present[e.Entity] {
			continue
		}
		if e.State != record.EntityDeleted {
			e.State, e.Reason = record.EntityWithdrawn, "no_longer"
		}
		next.Entities = append(next.Entities, e)
	}
	if len(n.Entities) == 0 {
		next.Code, next.Detail = "no_entity", n.Ignored
		if len(next.Entities) == 0 {
			next.Status = record.StatusIgnored
		}
	}
	return nil
}

func indexOf(c *record.Canonical, entity string) int {
	return slices.IndexFunc(c.Entities, func(e record.CanonicalEntity) bool { return e.Entity == entity })
}

// CanonicalID is derived, so that every run agrees: "norm-" and the UUIDv5 of
// tenant, source record and entity, in the name space that is the UUIDv5 of
// https://fluxnex.com/canonical.
func CanonicalID(tenant record.TenantID, id record.ID, entity canonical.Entity) string {
	space := uuid.UUID{0x79, 0x31, 0x2a, 0x49, 0x62, 0x3f, 0x5c, 0x6d, 0xaa, 0x90, 0x23, 0x81, 0x5a, 0xf0, 0xae, 0xb0}
	return "norm-" + uuid.NewSHA1(space, []byte(string(record.KeyOf(tenant, id))+"/"+string(entity))).String()
}
