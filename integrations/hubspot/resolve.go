package hubspot

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

// Resolve looks for what a lost answer would have told. All our requests may be
// repeated, so it only saves a call and says the truth in the ledger.
func (d deliverer) Resolve(ctx context.Context, c integration.Caller, op integration.Operation, sent integration.Request) (*integration.Remote, error) {
	switch {
	case sent.Method == "DELETE":
		now, err := d.Latest(ctx, c, op)
		if err != nil || now != nil && now.Active {
			return nil, err
		}
		r := *op.Applied
		r.Active, r.Body = false, nil
		return &r, nil
	case strings.HasSuffix(sent.Path, "/batch/upsert"):
		var body struct {
			Inputs []struct {
				ID         string            `json:"id"`
				IDProperty string            `json:"idProperty"`
				Properties map[string]string `json:"properties"`
			} `json:"inputs"`
		}
		if err := json.Unmarshal(sent.Body, &body); err != nil || len(body.Inputs) != 1 {
			return nil, fault.New(fault.Poison, "hubspot_payload", "a stored upsert is not one input: %v", err)
		}
		in := body.Inputs[0]
		return d.effect(d.find(ctx, c, op, in.ID, in.IDProperty))(op, in.Properties)
	case sent.Method == "PATCH":
		var body struct {
			Properties map[string]string `json:"properties"`
		}
		if err := json.Unmarshal(sent.Body, &body); err != nil {
			return nil, fault.Unreadable("hubspot_payload", err)
		}
		return d.effect(d.Latest(ctx, c, op))(op, body.Properties)
	}
	return nil, nil
}

// effect passes an object on if it holds what was sent.
func (deliverer) effect(now *integration.Remote, err error) func(integration.Operation, map[string]string) (*integration.Remote, error) {
	return func(op integration.Operation, sent map[string]string) (*integration.Remote, error) {
		if err != nil || now == nil || !now.Active {
			return nil, err
		}
		have, err := properties(now.Body)
		if err != nil {
			return nil, fault.Retry("hubspot_unreadable_answer", 0, err)
		}
		for name, want := range sent {
			if !same(name, want, have[name]) {
				return nil, nil
			}
		}
		mark(now, op)
		return now, nil
	}
}

// Recover looks behind a refusal.
func (d deliverer) Recover(ctx context.Context, c integration.Caller, op integration.Operation, refusal error) (*integration.Remote, error) {
	key := unique(op.Account.Settings)
	switch f := fault.Of(refusal); f.Code {
	case codeNotFound:
		// Merged objects answer under the winner's id; archived ones are gone.
		if op.Applied == nil {
			return nil, nil
		}
		now, err := d.find(ctx, c, op, string(op.RecordID), key)
		if err != nil || now != nil && now.ID != op.Applied.ID {
			return now, err
		}
		r := *op.Applied
		r.Active, r.Version, r.Body = false, "", nil
		return &r, nil
	case codeConflict:
		return d.adopt(ctx, c, op, key)
	case codeNoProperty:
		if op.Applied != nil || !strings.Contains(f.Error(), key) {
			return nil, nil
		}
		if err := d.ensure(ctx, c, op.Type, key); err != nil {
			return nil, err
		}
		return &integration.Remote{Type: op.Type}, nil // nothing is there yet: create it now
	}
	return nil, nil
}

// adopt takes over the contact that has our e-mail address unless it is
// another record's. HubSpot keeps one contact for an address, so it is the same
// person.
func (d deliverer) adopt(ctx context.Context, c integration.Caller, op integration.Operation, key string) (*integration.Remote, error) {
	if op.Type != contacts || op.Applied != nil && op.Applied.Active {
		return nil, nil
	}
	payload, err := tree(op.Payload)
	if err != nil {
		return nil, fault.Unreadable("hubspot_payload", err)
	}
	email, _ := payload["email"].(string)
	if email == "" {
		return nil, nil
	}
	now, err := d.find(ctx, c, op, email, "email")
	if err != nil || now == nil {
		return nil, err
	}
	have, err := properties(now.Body)
	if err != nil {
		return nil, fault.Retry("hubspot_unreadable_answer", 0, err)
	}
	if m := have[key]; m != "" && m != string(op.RecordID) {
		return nil, nil
	}
	return now, nil
}

// Merge keeps what a person wrote into properties we did not change.
func (deliverer) Merge(op integration.Operation, theirs integration.Remote) ([]byte, []string, error) {
	ours, err := tree(op.Payload)
	if err != nil {
		return nil, nil, fault.Unreadable("hubspot_payload", err)
	}
	their, err := properties(theirs.Body)
	if err != nil {
		return nil, nil, fault.Retry("hubspot_unreadable_answer", 0, err)
	}
	last := map[string]string{}
	if len(op.AppliedPayload) > 0 {
		t, err := tree(op.AppliedPayload)
		if err == nil {
			last, err = texts(t)
		}
		if err != nil {
			return nil, nil, fault.Unreadable("hubspot_payload", err)
		}
	}
	want, err := texts(ours)
	if err != nil {
		return nil, nil, fault.Unreadable("hubspot_payload", err)
	}
	var overwritten []string
	for name, w := range want {
		sent, before := last[name]
		switch {
		case !before, same(name, sent, their[name]), same(name, w, their[name]):
		case same(name, w, sent):
			ours[name] = their[name]
		default:
			overwritten = append(overwritten, name)
		}
	}
	slices.Sort(overwritten)
	payload, err := encode(ours)
	if err != nil {
		return nil, nil, fault.Unreadable("hubspot_payload", err)
	}
	return payload, overwritten, nil
}

func properties(raw []byte) (map[string]string, error) {
	var o object
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, err
	}
	out := make(map[string]string, len(o.Properties))
	for name, v := range o.Properties {
		if v != nil {
			out[name] = *v
		}
	}
	return out, nil
}

// same compares as HubSpot does: it lower-cases addresses and domains itself,
// and writes a date as midnight.
func same(name, a, b string) bool {
	switch name {
	case "email", "domain":
		return strings.EqualFold(a, b)
	case "closedate":
		return a == b || len(a) == len("2026-01-31") && strings.HasPrefix(b, a+"T00:00:00")
	case "amount":
		return strings.TrimSuffix(a, ".00") == strings.TrimSuffix(b, ".00")
	}
	return a == b
}
