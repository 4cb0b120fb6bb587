package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/mapping"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/stage"
)

// row is one destination object of a record at a target, before anything is
// mapped.
type row struct {
	object   string
	entities []canonical.Entity // all that the record is or was
	deleted  bool
	reason   string // why it is to be taken back
	problems []integration.Problem
}

// route makes a record's commands for all targets.
func (w *work) route(ctx context.Context, input int, c *record.Canonical, now time.Time, s *stage.Settled, res *stage.Result) error {
	s.Outcome = "unrouted"
	if t, ok := w.snapshot.Tenant(c.TenantID); !ok || t.Disabled {
		return nil
	}
	plan := w.plan(c.TenantID)
	if plan.fields {
		whole, err := w.router.deps.Codecs.Canonical.Borrow(ctx, w.batch[input].Value, &w.router.room)
		if err != nil {
			return err
		}
		c = whole
	}
	if err := w.decode(c); err != nil {
		return err
	}
	w.payloads = w.payloads[:0]
	lineage := c.Lineage.WithHop(Name, now)
	key := s.Key
	if !key.Is(c.TenantID, c.RecordID) {
		key = c.Key()
	}
	for _, t := range plan.targets {
		rows, in, err := w.rows(ctx, t, c)
		if err != nil {
			return err
		}
		commands, notifications, err := w.decide(ctx, t, c, key, rows, in)
		if err != nil {
			return err
		}
		for i := range commands {
			commands[i].Lineage = lineage
			if s.Outcome != "invalid" {
				s.Outcome = "routed"
			}
		}
		for i := range notifications {
			n := &notifications[i]
			n.At, n.Lineage = now, lineage
			s.Outcome, s.Class, s.Code = "invalid", fault.Business, n.Code
		}
		if err := w.emit(input, t, key, commands, notifications, res); err != nil {
			return err
		}
	}
	return nil
}

// decode reads the entities that may be sent.
func (w *work) decode(c *record.Canonical) error {
	w.ready = w.ready[:0]
	if c.Status != record.StatusReady {
		return nil
	}
	for i := range c.Entities {
		e := &c.Entities[i]
		if e.State != record.EntityReady {
			continue
		}
		entity := canonical.Entity(e.Entity)
		v, err := canonical.Borrow(entity, e.Body)
		if err != nil {
			return fault.Unreadable("canonical_body", err)
		}
		w.ready = append(w.ready, integration.Entity{Entity: entity, CanonicalID: e.CanonicalID, Value: v})
	}
	return nil
}

// rows sorts a record's entities by the objects they are at a target, and
// collects what is to be mapped. Both are good until the next target's.
func (w *work) rows(ctx context.Context, t *target, c *record.Canonical) ([]row, integration.Source, error) {
	in := integration.Source{RecordID: c.RecordID, Fields: c.SourceFields, Entities: w.entities[:0]}
	rows := w.objects[:0]
	defer func() { w.objects, w.entities = rows, in.Entities }()
	for i := range c.Entities {
		e := &c.Entities[i]
		entity := canonical.Entity(e.Entity)
		object := t.integration.Map.Of(entity)
		conditions, routed := t.conditions[entity]
		if object == "" || !routed {
			continue
		}
		i := slices.IndexFunc(rows, func(r row) bool { return r.object == object })
		if i < 0 {
			i = len(rows)
			rows = append(rows, row{object: object})
		}
		r := &rows[i]
		r.entities = append(r.entities, entity)
		ready := slices.IndexFunc(w.ready, func(r integration.Entity) bool { return r.Entity == entity })
		if ready < 0 {
			r.deleted = r.deleted || e.State == record.EntityDeleted
			r.reason = whyNot(c, e)
			in.Former = append(in.Former, entity)
			continue
		}
		passes, problem, err := w.passes(ctx, conditions, w.ready[ready], c.SourceFields)
		switch {
		case err != nil:
			return nil, in, err
		case problem != nil:
			r.problems = append(r.problems, *problem)
		case passes:
			in.Entities = append(in.Entities, w.ready[ready])
			continue
		}
		r.reason = "filtered: the route's condition does not hold"
		in.Former = append(in.Former, entity)
	}
	return rows, in, nil
}

// whyNot is the reason for taking an entity back.
func whyNot(c *record.Canonical, e *record.CanonicalEntity) string {
	switch {
	case e.State == record.EntityDeleted:
		return "deleted at the source"
	case e.State == record.EntityWithdrawn && e.Reason != "":
		return "withdrawn: " + e.Reason
	case c.Code != "":
		return string(c.Status) + ": " + c.Code
	case c.Status != record.StatusReady:
		return string(c.Status)
	}
	return string(e.State)
}

// passes reports whether one of a route's conditions holds. A condition that
// fails on this record's data is the customer's problem.
func (w *work) passes(ctx context.Context, conditions []string, e integration.Entity, fields []record.Field) (bool, *integration.Problem, error) {
	var problem *integration.Problem
	for _, when := range conditions {
		if when == "" {
			return true, nil, nil
		}
		f, err := w.router.compiler.Filter(e.Entity, when)
		if err == nil {
			var ok bool
			if ok, err = f.Match(ctx, e, fields); ok {
				return true, nil, nil
			}
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
			return false, nil, err
		}
		problem = &integration.Problem{
			Code: "route_condition", Field: "when",
			Message: fmt.Sprintf("The condition of the route for %s cannot be decided: %v", e.Entity, err),
			Remedy:  "Correct the route's condition, or fill the field it uses in the source record.",
		}
	}
	return false, problem, nil
}

// override applies the tenant's mappings of every entity in an object.
func (w *work) override(ctx context.Context, t *target, c *record.Canonical, o *integration.Object, in integration.Source) (version int64, problems []integration.Problem, err error) {
	for _, e := range o.Entities {
		declared, ok := w.snapshot.Mapping(c.TenantID, e, t.connection.App)
		if !ok {
			continue
		}
		version = max(version, declared.Version)
		m, err := w.router.compiler.Mapping(declared, t.schemas)
		if err != nil {
			problems = append(problems, integration.Problem{
				Code: "mapping_invalid", Field: string(e),
				Message: fmt.Sprintf("The mapping of %s to %s does not compile: %v", e, t.connection.App, err),
				Remedy:  "Correct the mapping and apply it again.",
			})
			continue
		}
		if err := m.Apply(ctx, o, in); err != nil {
			f := (*mapping.FieldError)(nil)
			if !errors.As(err, &f) {
				return 0, nil, err
			}
			problems = append(problems, integration.Problem{
				Code: "mapping_failed", Field: f.Field,
				Message: fmt.Sprintf("The expression for %s failed on this record: %v", f.Field, f.Err),
				Remedy:  "Correct the expression in the mapping, or the data it uses in the source record.",
			})
			continue
		}
		for _, path := range integration.Missing(o, m.Required...) {
			problems = append(problems, integration.Problem{
				Code: "missing_field", Field: path,
				Message: fmt.Sprintf("%s has no %s, which your mapping requires.", o.Type, path),
				Remedy:  fmt.Sprintf("Fill the field in the source record, or take %s out of the mapping's required fields.", path),
			})
		}
	}
	return version, problems, nil
}
