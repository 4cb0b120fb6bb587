package hubspot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// written marks, as the version of an object, that this payload's properties
// are written and only the association is left. HubSpot has no versions of its
// own, and the mark survives a crash between the two calls.
func written(op integration.Operation) string {
	sum := sha256.Sum256(op.Payload)
	return "written:" + hex.EncodeToString(sum[:8])
}

// oneCall reports that writing the properties completes an operation: it ties
// the object to no company, or to the one it is tied to.
func oneCall(op integration.Operation, company string) bool {
	if company == "" {
		return true
	}
	if op.Applied == nil || !op.Applied.Active || len(op.AppliedPayload) == 0 {
		return false
	}
	last, err := tree(op.AppliedPayload)
	if err != nil {
		return false
	}
	before, err := companyOf(last)
	return err == nil && before == company
}

func (deliverer) Prepare(op integration.Operation) (integration.Step, error) {
	switch op.Verb {
	case record.VerbWithdraw:
		return integration.Step{Done: true, Remote: op.Applied}, nil
	case record.VerbDelete:
		if op.Applied == nil || !op.Applied.Active {
			return integration.Step{Done: true, Remote: op.Applied}, nil
		}
		return integration.Step{Final: true, Request: integration.Request{Method: "DELETE", Path: objectPath(op.Applied.Type, op.Applied.ID)}}, nil
	case record.VerbUpsert:
	}
	if op.Type != companies && op.Type != contacts && op.Type != deals {
		return integration.Step{}, fault.New(fault.Poison, "hubspot_type", "HubSpot has no object %q", op.Type)
	}
	payload, err := tree(op.Payload)
	if err != nil {
		return integration.Step{}, fault.Unreadable("hubspot_payload", err)
	}
	company, err := companyOf(payload)
	if err != nil {
		return integration.Step{}, fault.Unreadable("hubspot_payload", err)
	}
	properties, err := texts(payload)
	if err != nil {
		return integration.Step{}, fault.Unreadable("hubspot_payload", err)
	}
	if op.Applied == nil || !op.Applied.Active {
		r, err := upsert(op, properties)
		return integration.Step{Request: r, Final: oneCall(op, company)}, err
	}
	if company != "" && op.Applied.Version == written(op) {
		return integration.Step{Final: true, Request: associate(op, company)}, nil
	}
	if len(op.AppliedPayload) > 0 {
		last, err := tree(op.AppliedPayload)
		if err != nil {
			return integration.Step{}, fault.Unreadable("hubspot_payload", err)
		}
		for name := range last {
			if _, still := payload[name]; !still && name != associated {
				properties[name] = "" // what the source no longer has
			}
		}
	}
	body, err := encode(map[string]any{"properties": properties})
	if err != nil {
		return integration.Step{}, fault.Unreadable("hubspot_payload", err)
	}
	return integration.Step{
		Final:   oneCall(op, company),
		Request: integration.Request{Method: "PATCH", Path: objectPath(op.Type, op.Applied.ID), ContentType: "application/json", Body: body},
	}, nil
}

// upsert creates by our own unique property, so that a repetition updates.
func upsert(op integration.Operation, properties map[string]string) (integration.Request, error) {
	key := unique(op.Account.Settings)
	value := properties[key]
	if value == "" {
		value = string(op.RecordID)
	}
	rest := make(map[string]string, len(properties))
	for k, v := range properties {
		if k != key {
			rest[k] = v
		}
	}
	body, err := encode(map[string]any{"inputs": []any{map[string]any{
		"idProperty":         key,
		"id":                 value,
		"properties":         rest,
		"objectWriteTraceId": op.RequestID,
	}}})
	if err != nil {
		return integration.Request{}, fault.Unreadable("hubspot_payload", err)
	}
	return integration.Request{Method: "POST", Path: "/crm/v3/objects/" + op.Type + "/batch/upsert", ContentType: "application/json", Body: body}, nil
}

func associate(op integration.Operation, company string) integration.Request {
	return integration.Request{
		Method: "PUT",
		Path: "/crm/v4/objects/" + integration.Segment(op.Type) + "/" + integration.Segment(op.Applied.ID) +
			"/associations/default/companies/" + integration.Segment(company),
	}
}

func objectPath(typ, id string) string {
	return "/crm/v3/objects/" + integration.Segment(typ) + "/" + integration.Segment(id)
}

// companyOf is the company a payload ties its object to; "" if none is known.
func companyOf(payload map[string]any) (string, error) {
	m, ok := payload[associated].(map[string]any)
	if !ok {
		return "", nil
	}
	switch id := m[companies].(type) {
	case nil:
		return "", nil
	case string:
		return id, nil
	case json.Number:
		return id.String(), nil
	default:
		return "", fmt.Errorf("%s.%s is %T", associated, companies, id)
	}
}

// texts writes every property as the text HubSpot takes.
func texts(payload map[string]any) (map[string]string, error) {
	out := make(map[string]string, len(payload))
	for name, v := range payload {
		if name == associated {
			continue
		}
		switch t := v.(type) {
		case string:
			out[name] = t
		case json.Number:
			out[name] = t.String()
		case bool:
			out[name] = fmt.Sprint(t)
		case nil:
			out[name] = ""
		default:
			return nil, fmt.Errorf("property %q is not a single value", name)
		}
	}
	return out, nil
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

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
