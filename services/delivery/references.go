package delivery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// references puts the ids of referenced objects into the payload, just before
// it is sent. The answer is not nil where the row cannot be sent now.
func (a *attempt) references() (*postgres.Finished, error) {
	if len(a.row.References) == 0 || a.row.Verb != record.VerbUpsert {
		return nil, nil
	}
	var missing []record.Reference
	var never *fault.Error
	ids := map[string]string{}
	for _, ref := range a.row.References {
		found, ok := a.known[a.reference(ref)]
		if found.Usable() {
			ids[ref.Path] = found.ID
			continue
		}
		f := a.never(ref, found, ok)
		if ref.Optional && (f != nil || a.waited() >= a.s.cfg.OptionalWait) {
			a.without = append(a.without, ref) // for now
			continue
		}
		missing = append(missing, ref)
		if never == nil {
			never = f
		}
	}
	switch {
	case never != nil:
		f := a.failed(never)
		f.References = missing // it comes back by itself when they are there
		return &f, nil
	case len(missing) > 0:
		f := a.waiting(missing)
		return &f, nil
	case len(ids) == 0:
		return nil, nil
	}
	payload, err := setAll(a.op.Payload, ids)
	if err != nil {
		return nil, err
	}
	a.op.Payload = payload
	return nil, nil
}

func (a *attempt) reference(ref record.Reference) postgres.Reference {
	return postgres.Reference{Lane: a.row.Lane, RecordID: ref.RecordID, Object: ref.Object}
}

// never says why the reference will not be there unless a person does
// something; nil where time may bring it.
func (a *attempt) never(ref record.Reference, found postgres.Referenced, ok bool) *fault.Error {
	r := a.row
	refused := func(code, remedy, what string) *fault.Error {
		return fault.Refused(code, remedy, fmt.Errorf("%s needs %s %s, which %s", r.Object, ref.Object, ref.RecordID, what))
	}
	switch {
	case !ok && !a.routed(a.snapshot, ref.Object):
		return refused("reference_not_routed",
			fmt.Sprintf("Add a route to %q for what becomes a %s, then apply it with --backfill; this is then sent by itself.", r.TargetName, ref.Object),
			fmt.Sprintf("no route sends to %s", r.TargetName))
	case !ok && a.lost(ref) != nil:
		return a.refusedBySource(ref)
	case !ok && a.clock(ref, found, ok) >= a.s.cfg.ReferenceGrace:
		return refused("reference_unknown",
			"Look the referenced record up with `fluxnex trace`: it may wait, have failed, or be of a type that is not sent there. This is sent by itself once it arrives.",
			fmt.Sprintf("nobody has sent to %s within %s", r.TargetName, a.s.cfg.ReferenceGrace))
	case !ok:
		return nil
	case found.Status == postgres.StatusWithdrawn:
		return refused("reference_withdrawn",
			"Make the referenced record valid for this target, or let its route's filter pass it; this is then sent by itself.",
			"is not to be sent to "+r.TargetName)
	case found.Verb == record.VerbDelete && (found.Status == postgres.StatusDone || found.Status == postgres.StatusFailed):
		return refused("reference_deleted",
			"Restore the referenced record in the source, or let this one refer to another; it is then sent by itself.",
			"was deleted")
	case found.Status == postgres.StatusFailed:
		return refused("reference_failed",
			"Solve what the referenced record's own notification says; this is then sent by itself.",
			fmt.Sprintf("failed at %s (%s)", r.TargetName, found.Code))
	case a.clock(ref, found, ok) >= a.s.cfg.WaitTTL:
		return refused("reference_missing",
			"See why the referenced record is not delivered to this target; this is sent by itself once it is.",
			fmt.Sprintf("was not delivered to %s within %s", r.TargetName, a.s.cfg.WaitTTL))
	}
	return nil
}

// lost is the referenced record where the source has it no more, or never had,
// or did not give it; nil where it may come.
func (a *attempt) lost(ref record.Reference) *record.Replica {
	if r := a.unheard[record.KeyOf(a.row.Tenant, ref.RecordID)]; r != nil && !r.Live() {
		return r
	}
	return nil
}

// refusedBySource says what the source said of a record that the target will
// not hear of. It may say otherwise later; then the row comes back.
func (a *attempt) refusedBySource(ref record.Reference) *fault.Error {
	lost := a.lost(ref)
	code, what := "reference_absent", "the source says does not exist"
	remedy := "Correct the reference in the source record, or give the integration's user access to the missing one; this is then sent by itself."
	switch lost.Presence {
	case record.PresenceDeleted:
		code, what = "reference_deleted", "was deleted in the source"
		remedy = "Restore the referenced record in the source, or let this one refer to another; it is then sent by itself."
	case record.PresenceFailed:
		code, what = "reference_fetch_failed", "could not be fetched from the source"
		remedy = "Check the source connection and its user's access, then save the referenced record again; this is then sent by itself."
	case record.PresenceAbsent, record.PresenceLive:
	}
	if lost.Detail != "" {
		what += ": " + lost.Detail
	}
	return fault.Refused(code, remedy, fmt.Errorf("%s needs %s %s, which %s", a.row.Object, ref.Object, ref.RecordID, what))
}

func (a *attempt) waited() time.Duration {
	if a.row.WaitingSince.IsZero() {
		return 0
	}
	return a.s.deps.Clock().Sub(a.row.WaitingSince)
}

// waiting ends an attempt that found no id. The row is looked at again when the
// id is there, and when the next of the bounds is reached.
func (a *attempt) waiting(missing []record.Reference) postgres.Finished {
	first := missing[0]
	f := a.end(postgres.EndWaiting, &fault.Error{Code: "reference", Err: fmt.Errorf("for %s %s", first.Object, first.RecordID)})
	f.Class = ""
	f.References = missing
	f.Delay = a.s.cfg.WaitTTL
	for _, ref := range missing {
		found, ok := a.known[a.reference(ref)]
		clock := a.clock(ref, found, ok)
		f.Delay = min(f.Delay, a.s.cfg.WaitTTL-clock)
		if !ok {
			// Routes may change, this process may not know the newest yet, and the
			// source may say that there is no such record: the looks get rarer.
			f.Delay = min(f.Delay, a.s.cfg.ReferenceGrace-clock, a.waited())
		}
		if ref.Optional {
			f.Delay = min(f.Delay, a.s.cfg.OptionalWait-a.waited())
		}
	}
	f.Delay = max(f.Delay, sweepEvery)
	return f
}

// setAll writes ids into a JSON object. Numbers keep their digits; names come
// out sorted, so equal payloads stay equal.
func setAll(payload []byte, ids map[string]string) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	var tree map[string]any
	if err := decoder.Decode(&tree); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	for path, id := range ids {
		if err := integration.Set(tree, path, id); err != nil {
			return nil, fmt.Errorf("payload: reference %w", err)
		}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(tree); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}
