package console

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/redis"
	"github.com/fluxnex/fluxnex/pkg/stage"
	"github.com/fluxnex/fluxnex/schemas"
)

// Waiter finds what waits, and for what.
type Waiter struct {
	Partitions int32
	Dependents *redis.Dependents
	Replicas   *stage.ViewReader
	Canonicals *stage.ViewReader
	Fetches    *postgres.Fetches
	Deliveries *postgres.Deliveries
	Codecs     *schemas.Codecs
	Now        func() time.Time
}

// Waiting is one thing that one record waits for.
type Waiting struct {
	Tenant   record.TenantID `json:"tenant"`
	RecordID record.ID       `json:"record_id"`
	// Layer is normalizer (a parent's fields are missing) or delivery (a
	// reference has no id at the target).
	Layer      string    `json:"layer"`
	EntityType string    `json:"entity_type,omitempty"`
	Target     string    `json:"target,omitempty"`
	Object     string    `json:"object,omitempty"` // that refers, and
	Refers     string    `json:"refers_to,omitempty"`
	WaitsFor   record.ID `json:"waits_for"`
	Since      time.Time `json:"since"`
	Code       string    `json:"code"`
	Why        string    `json:"why"`
	// Fetch is how asking the source for WaitsFor goes; nil if nobody asks.
	Fetch *FetchState `json:"fetch,omitempty"`
}

// FetchState is how the fetch of a missing record goes.
type FetchState struct {
	Requested time.Time `json:"requested"`
	Attempts  int       `json:"attempts"`
	NextAt    time.Time `json:"next_at"`
	Code      string    `json:"code,omitempty"` // of the last attempt
	Error     string    `json:"error,omitempty"`
	// Blocked: the source's quota or credential is the cause, and the record's
	// clock stands since then.
	Blocked time.Time `json:"blocked_since,omitzero"`
}

const (
	waitingPage = 1000
	// mostWaiting bounds one answer.
	mostWaiting = 10_000
)

// Waiting lists what waits, longest first.
func (w *Waiter) Waiting(ctx context.Context, tenants []record.TenantID) ([]Waiting, error) {
	out, err := w.parents(ctx, tenants)
	if err != nil {
		return nil, err
	}
	for _, t := range tenants {
		rows, err := w.Deliveries.Waiting(ctx, t)
		if err != nil {
			return nil, err
		}
		for _, s := range rows {
			for _, what := range s.WaitsFor {
				refers, id, _ := strings.Cut(what, " of ")
				out = append(out, Waiting{
					Tenant: t, RecordID: s.RecordID, Layer: "delivery", Target: s.Target, Object: s.Object, Refers: refers,
					WaitsFor: record.ID(id), Since: s.WaitingSince, Code: "missing_reference",
					Why: fmt.Sprintf("%s is not at %s yet", what, s.Target),
				})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Waiting) int { return a.Since.Compare(b.Since) })
	return out, w.fetches(ctx, out)
}

// parents lists the records whose parents' fields are missing.
func (w *Waiter) parents(ctx context.Context, tenants []record.TenantID) ([]Waiting, error) {
	var out []Waiting
	for p := range w.Partitions {
		for skip := int64(0); len(out) < mostWaiting; skip += waitingPage {
			waits, err := w.Dependents.Waiting(ctx, p, w.Now().Add(time.Hour), skip, waitingPage)
			if err != nil {
				return nil, err
			}
			var keys []record.Key
			for _, x := range waits {
				if tenant, _, err := x.Key.Parse(); err == nil && slices.Contains(tenants, tenant) {
					keys = append(keys, x.Key)
				}
			}
			found, err := w.Canonicals.Get(ctx, keys)
			if err != nil {
				return nil, err
			}
			for _, key := range keys {
				if found[key] == nil {
					continue
				}
				c, err := w.Codecs.Canonical.Decode(ctx, found[key])
				if err != nil {
					return nil, err
				}
				if c.Status != record.StatusWaiting {
					continue
				}
				for _, d := range c.Dependencies {
					if d.Digest == record.MissingParent {
						out = append(out, Waiting{
							Tenant: c.TenantID, RecordID: c.RecordID, Layer: "normalizer", EntityType: c.EntityType,
							WaitsFor: d.RecordID, Since: c.WaitingSince, Code: c.Code, Why: c.Detail,
						})
					}
				}
			}
			if len(waits) < waitingPage {
				break
			}
		}
	}
	return out, nil
}

// fetches adds how asking for the missing records goes, and for references what
// the source said of them.
func (w *Waiter) fetches(ctx context.Context, list []Waiting) error {
	if len(list) == 0 {
		return nil
	}
	tenants, ids := make([]record.TenantID, len(list)), make([]record.ID, len(list))
	keys := make([]record.Key, len(list))
	for i, x := range list {
		tenants[i], ids[i], keys[i] = x.Tenant, x.WaitsFor, record.KeyOf(x.Tenant, x.WaitsFor)
	}
	asked, err := w.Fetches.Asked(ctx, tenants, ids)
	if err != nil {
		return err
	}
	blocks, err := w.Fetches.Blocks(ctx)
	if err != nil {
		return err
	}
	slices.Sort(keys)
	known, err := w.Replicas.Get(ctx, slices.Compact(keys))
	if err != nil {
		return err
	}
	for i := range list {
		x := &list[i]
		for _, a := range asked {
			if cmp.Or(cmp.Compare(a.Tenant, x.Tenant), cmp.Compare(a.RecordID, x.WaitsFor)) != 0 {
				continue
			}
			x.Fetch = &FetchState{Requested: a.Requested, Attempts: a.Attempt, NextAt: a.NextAt, Code: a.Code, Error: a.Detail}
			for _, b := range blocks {
				if b.Until.IsZero() && b.Tenant == x.Tenant && b.App == x.WaitsFor.App() {
					x.Fetch.Blocked, x.Fetch.Code, x.Fetch.Error = b.Since, b.Code, b.Detail
				}
			}
		}
		value := known[record.KeyOf(x.Tenant, x.WaitsFor)]
		if value == nil {
			continue
		}
		r, err := w.Codecs.Replica.Decode(ctx, value)
		if err != nil {
			return err
		}
		if !r.Live() {
			x.Why += fmt.Sprintf("; the source has none (%s): %s", r.Presence, r.Detail)
		}
	}
	return nil
}
