package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/integrations/integrationtest"
	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/sandbox"
)

// admin asks the sandbox's own interface.
func (l *line) admin(method, path string, body any) map[string]any {
	l.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		l.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(l.t.Context(), method, l.base+"/_sandbox/"+path, strings.NewReader(string(raw)))
	if err != nil {
		l.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode/100 != 2 {
		l.t.Fatalf("%s %s: %s %s, %v", method, path, answer.Status, text, err)
	}
	var out map[string]any
	_ = json.Unmarshal(text, &out) // some answers are lists
	return out
}

// person makes a call as somebody at the app would.
func (l *line) person(method, path, body string) map[string]any {
	l.t.Helper()
	a, err := l.Call(l.t.Context(), integration.Request{Method: method, Path: path, ContentType: "application/json", Body: []byte(body)})
	if err != nil {
		l.t.Fatalf("%s %s: %v", method, path, err)
	}
	var out map[string]any
	if err := json.Unmarshal(a.Body, &out); err != nil {
		l.t.Fatal(err)
	}
	return out
}

const company = "/v3/company/" + sandbox.ExampleRealm

func (l *line) vendor(applied *integration.Remote) integration.Operation {
	return l.operation("revenova:0015g00000AbCdEAAV", record.VerbUpsert, integrationtest.Whole()[0], nil, applied)
}

// TestQuickBooks6240OurOwnIsAdopted: the answer to a creation was lost, and the
// memory of request ids with it.
func TestQuickBooks6240OurOwnIsAdopted(t *testing.T) {
	l := quickBooks(t)
	l.admin(http.MethodPost, "faults", []map[string]any{{"app": "quickbooks", "object": "Vendor", "method": "POST", "times": 1, "action": "apply_then_500"}})
	op := l.vendor(nil)
	if _, err := l.do(op); fault.Of(err) == nil || !fault.Of(err).Unknown {
		t.Fatalf("a creation whose answer is lost: %v, want an unknown outcome", err)
	}
	now, err := l.do(op) // under another request id
	if err != nil || !now.Active {
		t.Fatalf("the second try: %+v, %v", now, err)
	}
	if all := l.admin(http.MethodGet, "quickbooks/"+sandbox.ExampleRealm+"/Vendor", nil); len(all["objects"].([]any)) != 1 {
		t.Errorf("there are %v", all)
	}
}

func TestQuickBooks6240AStrangersIsOffered(t *testing.T) {
	l := quickBooks(t)
	op := l.vendor(nil)
	var ours struct{ DisplayName, AcctNum string }
	if err := json.Unmarshal(op.Payload, &ours); err != nil {
		t.Fatal(err)
	}
	theirs := l.person(http.MethodPost, company+"/vendor", fmt.Sprintf(`{"DisplayName":%q}`, ours.DisplayName))["Vendor"].(map[string]any)
	_, err := l.do(op)
	f := fault.Of(err)
	if f == nil || f.Class != fault.Business || f.Code != "qbo_6240" || !strings.Contains(f.Remedy, ours.AcctNum) {
		t.Fatalf("a stranger's name: %v, want a refusal that says how to hand it over", err)
	}
	// Somebody does what the remedy says.
	l.person(http.MethodPost, company+"/vendor", fmt.Sprintf(`{"Id":%q,"SyncToken":%q,"sparse":true,"AcctNum":%q}`, theirs["Id"], theirs["SyncToken"], ours.AcctNum))
	now, err := l.do(op)
	if err != nil || now.ID != theirs["Id"] {
		t.Errorf("after it was handed over: %+v, %v", now, err)
	}
}

// TestQuickBooksAnInactiveVendorIsReactivated: somebody made the vendor inactive.
func TestQuickBooksAnInactiveVendorIsReactivated(t *testing.T) {
	l := quickBooks(t)
	op := l.vendor(nil)
	made, err := l.do(op)
	if err != nil {
		t.Fatal(err)
	}
	l.admin(http.MethodPost, "quickbooks/"+sandbox.ExampleRealm+"/Vendor/"+made.ID+"/edit", map[string]any{"Active": false})
	next := l.vendor(made)
	next.AppliedPayload = op.Payload
	now, err := l.do(next)
	if err != nil || now.ID != made.ID || !now.Active {
		t.Errorf("the vendor is %+v, %v", now, err)
	}
}

func TestQuickBooksA200WithAFaultIsNoSuccess(t *testing.T) {
	l := quickBooks(t)
	l.admin(http.MethodPost, "faults", []map[string]any{{"app": "quickbooks", "object": "Vendor", "method": "POST", "times": 1, "action": "fault200"}})
	made, err := l.do(l.vendor(nil))
	if fault.Of(err) == nil || made != nil {
		t.Errorf("a 200 with a Fault inside made %+v, %v", made, err)
	}
	if made, err = l.do(l.vendor(nil)); err != nil || !made.Active {
		t.Errorf("the next try: %+v, %v", made, err)
	}
}

func TestHubSpotFollowsAMerge(t *testing.T) {
	l := hubSpot(t)
	op := l.vendor(nil)
	made, err := l.do(op)
	if err != nil {
		t.Fatal(err)
	}
	winner := l.person(http.MethodPost, "/crm/v3/objects/companies", `{"properties":{"name":"The winner"}}`)["id"].(string)
	l.person(http.MethodPost, "/crm/v3/objects/companies/merge", fmt.Sprintf(`{"primaryObjectId":%q,"objectIdToMerge":%q}`, winner, made.ID))
	next := l.vendor(made)
	next.AppliedPayload = op.Payload
	now, err := l.do(next)
	if err != nil || !now.Active {
		t.Fatalf("after the merge: %+v, %v", now, err)
	}
	all := l.admin(http.MethodGet, "hubspot/"+sandbox.ExamplePortal+"/companies", nil)
	live := 0
	for _, o := range all["objects"].([]any) {
		o := o.(map[string]any)
		if o["archived"] != true && o["merged_into"] == nil {
			live++
		}
	}
	if live != 1 {
		t.Errorf("%d companies live after the merge, want 1: %v", live, all)
	}
}

// TestHubSpotA409WithoutAnIDIsLookedUp: the refusal does not say whose the
// address is.
func TestHubSpotA409WithoutAnIDIsLookedUp(t *testing.T) {
	l := hubSpot(t)
	var contact integration.Entity
	for _, e := range integrationtest.Whole() {
		if e.Entity == canonical.TMSContact {
			contact = e
		}
	}
	known := map[string]string{}
	if _, err := l.app.Deliver.Probe(t.Context(), l, l.account); err != nil { // makes our property
		t.Fatal(err)
	}
	if made, err := l.do(l.vendor(nil)); err == nil {
		known["companies"] = made.ID
	}
	email := contact.Value.(*canonical.Contact).Email
	theirs := l.person(http.MethodPost, "/crm/v3/objects/contacts", fmt.Sprintf(`{"properties":{"email":%q}}`, email))["id"].(string)
	l.admin(http.MethodPost, "faults", []map[string]any{{
		"app": "hubspot", "object": "contacts", "method": "POST", "times": 1, "action": "status", "status": 409,
		"body": map[string]any{"status": "error", "category": "CONFLICT", "message": "Contact already exists"},
	}})
	now, err := l.do(l.operation("revenova:003", record.VerbUpsert, contact, known, nil))
	if err != nil || now.ID != theirs {
		t.Errorf("the person is contact %s, and ours is %+v, %v", theirs, now, err)
	}
}
