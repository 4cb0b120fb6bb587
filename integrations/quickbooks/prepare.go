package quickbooks

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// maxRequestID is what QuickBooks keeps of a requestid.
const maxRequestID = 50

func (deliverer) Prepare(op integration.Operation) (integration.Step, error) {
	if resource(op.Type) == "" && op.Verb == record.VerbUpsert {
		return integration.Step{}, fault.New(fault.Poison, "qbo_type", "QuickBooks has no object %q", op.Type)
	}
	switch op.Verb {
	case record.VerbWithdraw:
		return integration.Step{Done: true, Remote: op.Applied}, nil
	case record.VerbDelete:
		if op.Applied == nil || !op.Applied.Active {
			return integration.Step{Done: true, Remote: op.Applied}, nil
		}
		return remove(op, true)
	case record.VerbUpsert:
	}
	payload, err := tree(op.Payload)
	if err != nil {
		return integration.Step{}, fault.Unreadable("qbo_payload", err)
	}
	switch {
	case op.Applied == nil:
		return write(op, payload, "")
	case op.Applied.Type != op.Type && op.Applied.Active:
		// The sign of the total changed: the old document goes before the new
		// one comes, or both would count for a while.
		return remove(op, false)
	case isName(op.Type):
		payload["Active"] = true // an update after a deactivation brings it back
	case !op.Applied.Active:
		return write(op, payload, "again") // a voided document stays void; this is a new one
	}
	var last map[string]any
	if len(op.AppliedPayload) > 0 {
		if last, err = tree(op.AppliedPayload); err != nil {
			return integration.Step{}, fault.Unreadable("qbo_payload", err)
		}
	}
	clearGone(payload, last)
	delete(payload, "CurrencyRef") // fixed once created
	payload["Id"], payload["SyncToken"], payload["sparse"] = op.Applied.ID, op.Applied.Version, true
	return write(op, payload, "")
}

// write creates or updates; the step's own word keeps request ids of one
// operation apart.
func write(op integration.Operation, payload map[string]any, step string) (integration.Step, error) {
	body, err := encode(payload)
	if err != nil {
		return integration.Step{}, fault.Unreadable("qbo_payload", err)
	}
	return integration.Step{Final: true, Request: post(op, op.Type, "", step, body)}, nil
}

// remove takes the applied object away as far as its type allows: names are
// made inactive, invoices voided (their number stays in the books), the others
// deleted.
func remove(op integration.Operation, final bool) (integration.Step, error) {
	p := map[string]any{"Id": op.Applied.ID, "SyncToken": op.Applied.Version}
	operation := "delete"
	switch {
	case isName(op.Applied.Type):
		operation = ""
		p["sparse"], p["Active"] = true, false
	case op.Applied.Type == invoice:
		operation = "void"
		p["sparse"] = true
	}
	body, err := encode(p)
	if err != nil {
		return integration.Step{}, fault.Unreadable("qbo_payload", err)
	}
	return integration.Step{Final: final, Request: post(op, op.Applied.Type, operation, "remove", body)}, nil
}

func post(op integration.Operation, typ, operation, step string, body []byte) integration.Request {
	q := url.Values{"minorversion": {minorVersion}, "requestid": {requestID(op.RequestID, step)}}
	if operation != "" {
		q.Set("operation", operation)
	}
	r := request(op.Account, "POST", resource(typ), q)
	r.ContentType, r.Body = "application/json", body
	return r
}

func request(a integration.Account, method, path string, q url.Values) integration.Request {
	if q == nil {
		q = url.Values{}
	}
	q.Set("minorversion", minorVersion)
	return integration.Request{
		Method: method,
		Path:   "/v3/company/" + integration.Segment(a.Remote) + "/" + path,
		Query:  q.Encode(),
		Header: map[string][]string{"Accept": {"application/json"}},
	}
}

// requestID keeps ids of one operation's steps apart and within the limit; the
// same operation always gives the same one.
func requestID(id, step string) string {
	if step == "" && len(id) <= maxRequestID {
		return id
	}
	sum := sha256.Sum256([]byte(id + "\x00" + step))
	return hex.EncodeToString(sum[:20])
}

// clearGone blanks what was sent last time and is no longer: an update leaves
// what it does not name. References and lists cannot be blanked, so they stay.
func clearGone(payload, last map[string]any) {
	for k, old := range last {
		switch k {
		case "Id", "SyncToken", "sparse", "Active", "CurrencyRef", "DisplayName":
			continue
		}
		now, present := payload[k]
		switch o := old.(type) {
		case string:
			if !present {
				payload[k] = ""
			}
		case map[string]any:
			if strings.HasSuffix(k, "Ref") {
				continue
			}
			n, ok := now.(map[string]any)
			if present && !ok {
				continue
			}
			merged := map[string]any{}
			maps.Copy(merged, n)
			clearGone(merged, o)
			if len(merged) > 0 {
				payload[k] = merged
			}
		}
	}
}

// tree reads a JSON object, its numbers as the digits they were written with.
func tree(b []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("payload is not a JSON object: %w", err)
	}
	if m == nil {
		return nil, fmt.Errorf("payload is null")
	}
	return m, nil
}

func encode(m map[string]any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
