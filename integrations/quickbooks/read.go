package quickbooks

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

// Read takes the object out of an answer. A document that the request voided
// or deleted is no longer active.
func (deliverer) Read(op integration.Operation, req integration.Request, a integration.Answer) (integration.Remote, error) {
	typ := op.Type
	if op.Applied != nil {
		typ = op.Applied.Type
	}
	removed := operationOf(req) != ""
	r, err := readObject(a.Body, typ, op.Type)
	if err != nil {
		// The call succeeded, so what it did is unknown, not undone.
		f := fault.Retry("qbo_unreadable_answer", 0, err)
		f.Unknown = true
		return integration.Remote{}, f
	}
	if removed {
		r.Active = false
	}
	return r, nil
}

func operationOf(req integration.Request) string {
	q, err := url.ParseQuery(req.Query)
	if err != nil {
		return ""
	}
	return q.Get("operation")
}

// readObject finds the first of the named types in an answer.
func readObject(body []byte, types ...string) (integration.Remote, error) {
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(body, &answer); err != nil {
		return integration.Remote{}, fmt.Errorf("answer is not JSON: %w", err)
	}
	for _, typ := range types {
		if raw, ok := answer[typ]; ok {
			return remote(typ, raw)
		}
	}
	return integration.Remote{}, fmt.Errorf("answer holds no %s", types[0])
}

func remote(typ string, raw json.RawMessage) (integration.Remote, error) {
	var o struct {
		ID          string `json:"Id"`
		SyncToken   string
		Active      *bool
		Status      string `json:"status"`
		PrivateNote string
		TotalAmt    json.Number
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return integration.Remote{}, fmt.Errorf("%s in the answer: %w", typ, err)
	}
	if o.ID == "" {
		return integration.Remote{}, fmt.Errorf("%s in the answer has no Id", typ)
	}
	active := o.Active == nil || *o.Active
	if o.Status == "Deleted" || voided(typ, o.PrivateNote, o.TotalAmt) {
		active = false
	}
	return integration.Remote{Type: typ, ID: o.ID, Version: o.SyncToken, Active: active, Body: raw}, nil
}

// Latest reads by id: list queries have returned a wrong SyncToken.
func (d deliverer) Latest(ctx context.Context, c integration.Caller, op integration.Operation) (*integration.Remote, error) {
	if op.Applied == nil || op.Applied.ID == "" {
		return nil, nil
	}
	return d.byID(ctx, c, op.Account, op.Applied.Type, op.Applied.ID)
}

func (d deliverer) byID(ctx context.Context, c integration.Caller, a integration.Account, typ, id string) (*integration.Remote, error) {
	answer, err := c.Call(ctx, request(a, "GET", resource(typ)+"/"+integration.Segment(id), nil))
	if err == nil {
		err = d.Classify(answer)
	}
	if err != nil {
		if fault.Of(err).Code == "qbo_610" {
			return nil, nil // deleted for good
		}
		return nil, err
	}
	r, err := readObject(answer.Body, typ)
	if err != nil {
		return nil, fault.Retry("qbo_unreadable_answer", 0, err)
	}
	return &r, nil
}

// Probe reads the company's own record. The account is the realm that was
// asked for: CompanyInfo has no id of its own that would tell companies apart.
func (d deliverer) Probe(ctx context.Context, c integration.Caller, a integration.Account) (string, error) {
	if a.Remote == "" {
		f := fault.New(fault.Auth, "qbo_no_realm", "the connection names no QuickBooks company")
		f.Remedy = "Set the connection's remote account to the realm id that Intuit gave when the company was connected."
		return "", f
	}
	answer, err := c.Call(ctx, request(a, "GET", "companyinfo/"+integration.Segment(a.Remote), nil))
	if err == nil {
		err = d.Classify(answer)
	}
	if err != nil {
		return "", err
	}
	return a.Remote, nil
}
