package hubspot

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

// object is one object in an answer.
type object struct {
	ID         string             `json:"id"`
	Properties map[string]*string `json:"properties"`
	Archived   bool               `json:"archived"`
}

// Read takes the object out of an answer. The id in the answer counts, not the
// one asked for: after a merge they differ.
func (deliverer) Read(op integration.Operation, req integration.Request, a integration.Answer) (integration.Remote, error) {
	switch req.Method {
	case "DELETE":
		r := *op.Applied
		r.Active, r.Body = false, nil
		return r, nil
	case "PUT":
		r := *op.Applied
		r.Version = ""
		return r, nil
	}
	raw := json.RawMessage(a.Body)
	if strings.HasSuffix(req.Path, "/batch/upsert") {
		var batch struct {
			Results []json.RawMessage `json:"results"`
		}
		if err := json.Unmarshal(a.Body, &batch); err != nil {
			return integration.Remote{}, unreadable(err)
		}
		if len(batch.Results) != 1 {
			return integration.Remote{}, unreadable(fmt.Errorf("%d results for one input", len(batch.Results)))
		}
		raw = batch.Results[0]
	}
	r, err := remote(op.Type, raw)
	if err != nil {
		return integration.Remote{}, unreadable(err)
	}
	mark(&r, op)
	return r, nil
}

// mark notes on an object whose properties were just written whether a call is
// left to make.
func mark(r *integration.Remote, op integration.Operation) {
	r.Version = ""
	payload, err := tree(op.Payload)
	if err != nil {
		return
	}
	if company, err := companyOf(payload); err == nil && !oneCall(op, company) {
		r.Version = written(op)
	}
}

// unreadable: the call succeeded, so what it did is unknown, not undone.
func unreadable(err error) error {
	f := fault.Retry("hubspot_unreadable_answer", 0, err)
	f.Unknown = true
	return f
}

func remote(typ string, raw json.RawMessage) (integration.Remote, error) {
	var o object
	if err := json.Unmarshal(raw, &o); err != nil {
		return integration.Remote{}, fmt.Errorf("%s in the answer: %w", typ, err)
	}
	if o.ID == "" {
		return integration.Remote{}, fmt.Errorf("%s in the answer has no id", typ)
	}
	return integration.Remote{Type: typ, ID: o.ID, Active: !o.Archived, Body: raw}, nil
}

// Latest reads the properties we write.
func (d deliverer) Latest(ctx context.Context, c integration.Caller, op integration.Operation) (*integration.Remote, error) {
	if op.Applied == nil || op.Applied.ID == "" {
		return nil, nil
	}
	return d.find(ctx, c, op, op.Applied.ID, "")
}

// find reads one object by id, or by the value of a unique property. Unlike a
// search it sees what was just written.
func (d deliverer) find(ctx context.Context, c integration.Caller, op integration.Operation, value, idProperty string) (*integration.Remote, error) {
	q := url.Values{}
	if idProperty != "" {
		q.Set("idProperty", idProperty)
	}
	names := []string{unique(op.Account.Settings)}
	if payload, err := tree(op.Payload); err == nil {
		for name := range payload {
			if name != associated && name != names[0] {
				names = append(names, name)
			}
		}
	}
	q.Set("properties", strings.Join(sorted(names), ","))
	answer, err := c.Call(ctx, integration.Request{Method: "GET", Path: objectPath(op.Type, value), Query: q.Encode()})
	if err == nil {
		err = d.Classify(answer)
	}
	if err != nil {
		if fault.Of(err).Code == codeNotFound {
			return nil, nil
		}
		return nil, err
	}
	r, err := remote(op.Type, answer.Body)
	if err != nil {
		return nil, fault.Retry("hubspot_unreadable_answer", 0, err)
	}
	return &r, nil
}

// Probe asks which portal the token belongs to, and makes sure that our unique
// property exists there.
func (d deliverer) Probe(ctx context.Context, c integration.Caller, a integration.Account) (string, error) {
	answer, err := c.Call(ctx, integration.Request{Method: "GET", Path: "/account-info/v3/details"})
	if err == nil {
		err = d.Classify(answer)
	}
	if err != nil {
		return "", err
	}
	var details struct {
		PortalID json.Number `json:"portalId"`
	}
	if err := json.Unmarshal(answer.Body, &details); err != nil || details.PortalID == "" {
		return "", fault.Retry("hubspot_unreadable_answer", 0, fmt.Errorf("account details without a portal id"))
	}
	for _, typ := range []string{companies, contacts, deals} {
		if err := d.ensure(ctx, c, typ, unique(a.Settings)); err != nil {
			return "", err
		}
	}
	return details.PortalID.String(), nil
}

// ensure creates the unique property of an object unless it is there.
func (d deliverer) ensure(ctx context.Context, c integration.Caller, typ, name string) error {
	answer, err := c.Call(ctx, integration.Request{Method: "GET", Path: "/crm/v3/properties/" + typ + "/" + name})
	if err == nil {
		err = d.Classify(answer)
	}
	if err == nil || fault.Of(err).Code != codeNotFound {
		return err
	}
	group := map[string]string{companies: "companyinformation", contacts: "contactinformation", deals: "dealinformation"}[typ]
	body, err := encode(map[string]any{
		"name": name, "label": "FluxNex record", "type": "string", "fieldType": "text",
		"groupName": group, "hasUniqueValue": true,
		"description": "The source record this was synchronised from. FluxNex finds its own records by it.",
	})
	if err != nil {
		return fault.Unreadable("hubspot_payload", err)
	}
	answer, err = c.Call(ctx, integration.Request{Method: "POST", Path: "/crm/v3/properties/" + typ, ContentType: "application/json", Body: body})
	if err == nil {
		err = d.Classify(answer)
	}
	if err != nil && fault.Of(err).Code == codeConflict {
		return nil // somebody else was first
	}
	return err
}
