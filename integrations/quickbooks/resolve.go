package quickbooks

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

// Resolve looks for what a lost answer would have told. A removal is found by
// the object being gone, an update by the object holding everything that was
// sent, a creation by name or number with our marker.
func (d deliverer) Resolve(ctx context.Context, c integration.Caller, op integration.Operation, sent integration.Request) (*integration.Remote, error) {
	body, err := tree(sent.Body)
	if err != nil {
		return nil, fault.Unreadable("qbo_payload", err)
	}
	id, _ := body["Id"].(string)
	if id == "" {
		return d.findCreated(ctx, c, op, body)
	}
	typ := op.Type
	if op.Applied != nil && op.Applied.ID == id {
		typ = op.Applied.Type
	}
	now, err := d.byID(ctx, c, op.Account, typ, id)
	if err != nil {
		return nil, err
	}
	if operationOf(sent) != "" {
		switch {
		case now == nil:
			return &integration.Remote{Type: typ, ID: id, Active: false}, nil
		case !now.Active:
			return now, nil
		}
		return nil, nil
	}
	if base, _ := body["SyncToken"].(string); now == nil || now.Version == base {
		return nil, nil
	}
	theirs, err := tree(now.Body)
	if err != nil {
		return nil, fault.Retry("qbo_unreadable_answer", 0, err)
	}
	delete(body, "SyncToken")
	delete(body, "sparse")
	if !holds(body, theirs) {
		return nil, nil
	}
	return now, nil
}

// findCreated looks for an object that a creation may have left.
func (d deliverer) findCreated(ctx context.Context, c integration.Caller, op integration.Operation, body map[string]any) (*integration.Remote, error) {
	candidates, err := d.candidates(ctx, c, op, op.Type, body)
	if err != nil {
		return nil, err
	}
	for _, r := range candidates {
		if op.Applied != nil && op.Applied.Type == r.Type && op.Applied.ID == r.ID {
			continue // the predecessor that was voided, under the same number
		}
		if r.Active && ours(r, body) {
			return &r, nil
		}
	}
	return nil, nil
}

// candidates asks for objects of a type with the name or number of body,
// inactive ones included.
func (d deliverer) candidates(ctx context.Context, c integration.Caller, op integration.Operation, typ string, body map[string]any) ([]integration.Remote, error) {
	field := "DocNumber"
	if isName(typ) {
		field = "DisplayName"
	}
	value, _ := body[field].(string)
	if value == "" {
		return nil, nil
	}
	query := fmt.Sprintf("select * from %s where %s = '%s'", typ, field, escapeQuery(value))
	if isName(typ) {
		query += " and Active in (true, false)"
	}
	query += " startposition 1 maxresults 100"
	answer, err := c.Call(ctx, request(op.Account, "GET", "query", url.Values{"query": {query}}))
	if err == nil {
		err = d.Classify(answer)
	}
	if err != nil {
		return nil, err
	}
	var result struct {
		QueryResponse map[string]json.RawMessage
	}
	if err := json.Unmarshal(answer.Body, &result); err != nil {
		return nil, fault.Retry("qbo_unreadable_answer", 0, err)
	}
	var rows []json.RawMessage
	if raw, ok := result.QueryResponse[typ]; ok {
		if err := json.Unmarshal(raw, &rows); err != nil {
			return nil, fault.Retry("qbo_unreadable_answer", 0, err)
		}
	}
	var out []integration.Remote
	for _, raw := range rows {
		r, err := remote(typ, raw)
		if err != nil {
			return nil, fault.Retry("qbo_unreadable_answer", 0, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// escapeQuery keeps a value inside its quotes.
func escapeQuery(s string) string {
	return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s)
}

// ours reports that an object carries the marker of what we would send. People
// may write around it in notes, not in an account number.
func ours(r integration.Remote, body map[string]any) bool {
	field := marker(r.Type)
	want, _ := body[field].(string)
	have, err := tree(r.Body)
	if err != nil || strings.TrimSpace(want) == "" {
		return false
	}
	got, _ := have[field].(string)
	if r.Type == vendor {
		return got == want
	}
	return marked(got, want)
}

// marked finds the marker at the beginning of our note ("FluxNex <id>") inside
// a note, as a whole word.
func marked(note, ours string) bool {
	m := ours
	if strings.HasPrefix(ours, "FluxNex ") {
		m, _, _ = strings.Cut(ours, ",")
	}
	for {
		i := strings.Index(note, m)
		if i < 0 {
			return false
		}
		note = note[i+len(m):]
		if note == "" || !isIDByte(note[0]) {
			return true
		}
	}
}

func isIDByte(c byte) bool {
	return c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// voided recognises an invoice that was voided: QuickBooks keeps it with a
// total of zero and says so in its note.
func voided(typ, note string, total json.Number) bool {
	if typ != invoice || !strings.HasPrefix(note, "Voided") {
		return false
	}
	m, err := canonical.ParseMoney(total.String())
	return err == nil && m.IsZero()
}

// Recover looks behind a refusal: a name or number that is taken may be our own
// object, and what was not found may have been made inactive or deleted.
func (d deliverer) Recover(ctx context.Context, c integration.Caller, op integration.Operation, refusal error) (*integration.Remote, error) {
	switch fault.Of(refusal).Code {
	case "qbo_6240", "qbo_6140":
		if op.Applied != nil && op.Applied.Active {
			return nil, nil // a rename to somebody else's name
		}
		return d.adopt(ctx, c, op, refusal)
	case "qbo_610":
		if op.Applied == nil {
			return nil, nil // something it refers to
		}
		now, err := d.Latest(ctx, c, op)
		switch {
		case err != nil:
			return nil, err
		case now == nil && isName(op.Applied.Type):
			return nil, nil // names are never deleted: somebody must look
		case now == nil:
			return &integration.Remote{Type: op.Applied.Type, ID: op.Applied.ID, Version: op.Applied.Version}, nil
		case !now.Active:
			return now, nil
		}
		return nil, nil
	case "qbo_6000":
		if op.Applied == nil || op.Applied.Type != invoice {
			return nil, nil
		}
		return nil, d.paid(ctx, c, op, refusal)
	}
	return nil, nil
}

// adopt finds our own object under the name or number that is taken. The
// customer and the vendor of one account share a name until the vendor has its
// suffix: then waiting helps.
func (d deliverer) adopt(ctx context.Context, c integration.Caller, op integration.Operation, refusal error) (*integration.Remote, error) {
	body, err := tree(op.Payload)
	if err != nil {
		return nil, fault.Unreadable("qbo_payload", err)
	}
	found, err := d.candidates(ctx, c, op, op.Type, body)
	if err != nil {
		return nil, err
	}
	for _, r := range found {
		if ours(r, body) && (r.Active || isName(r.Type)) {
			return &r, nil
		}
	}
	strangers := found
	if op.Type == customer {
		found, err = d.candidates(ctx, c, op, vendor, body)
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			if ours(r, map[string]any{"AcctNum": op.RecordID.Local()}) {
				return nil, fault.Retry("qbo_vendor_rename_pending", 0, fmt.Errorf("the vendor of the same account still has the name"))
			}
		}
	}
	return nil, offered(strangers, body, refusal)
}

// offered says how somebody can hand one of their objects over, if one has the
// name: nobody but a person can know that it is the same company.
func offered(strangers []integration.Remote, body map[string]any, refusal error) error {
	if len(strangers) == 0 || !isName(strangers[0].Type) {
		return nil
	}
	r := strangers[0]
	field := "the account number"
	if r.Type != vendor {
		field = "the notes"
	}
	mark, _ := body[marker(r.Type)].(string)
	if mark == "" {
		return nil
	}
	f := fault.Of(refusal)
	return fault.Refused(f.Code, fmt.Sprintf("%s %s in QuickBooks has this name. If it is the same company, write %q into %s of it there, and the next change takes it over; otherwise rename one of them, or map DisplayName with a distinguishing suffix.", r.Type, r.ID, mark, field), f.Err)
}
