package delivery

import (
	"bytes"
	"encoding/json"
	"fmt"

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
	ids := map[string]string{}
	for _, ref := range a.row.References {
		found, ok := a.known[postgres.Reference{Lane: a.row.Lane, RecordID: ref.RecordID, Object: ref.Object}]
		switch {
		case found.ID != "":
			ids[ref.Path] = found.ID
		case ref.Optional && (!ok || stopped(found.Status)):
			// It may never be: send without.
		case found.Status == postgres.StatusWithdrawn:
			f := a.failed(fault.Refused("reference_withdrawn", "make the referenced record valid for this target, or route it there",
				fmt.Errorf("%s needs %s %s, which is not to be sent to %s", a.row.Object, ref.Object, ref.RecordID, a.row.TargetName)))
			f.References = a.row.References
			return &f, nil
		default:
			missing = append(missing, ref)
		}
	}
	if len(missing) > 0 {
		f := a.waiting(missing)
		return &f, nil
	}
	if len(ids) == 0 {
		return nil, nil
	}
	payload, err := setAll(a.op.Payload, ids)
	if err != nil {
		return nil, err
	}
	a.op.Payload = payload
	return nil, nil
}

func stopped(s postgres.Status) bool {
	return s == postgres.StatusFailed || s == postgres.StatusWithdrawn
}

// waiting ends an attempt that found no id. The row is looked at again when the
// id is there; after WaitTTL it fails.
func (a *attempt) waiting(missing []record.Reference) postgres.Finished {
	first := missing[0]
	if since := a.row.WaitingSince; !since.IsZero() && a.s.deps.Clock().Sub(since) >= a.s.cfg.WaitTTL {
		f := a.failed(fault.Refused("reference_missing", "see that the referenced record is routed to this target and delivered",
			fmt.Errorf("%s waited for %s %s, which was not delivered to %s within %s", a.row.Object, first.Object, first.RecordID, a.row.TargetName, a.s.cfg.WaitTTL)))
		f.References = missing
		return f
	}
	f := a.end(postgres.EndWaiting, &fault.Error{Code: "reference", Err: fmt.Errorf("for %s %s", first.Object, first.RecordID)})
	f.Class = ""
	f.References = missing
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
