package hubspot

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/integrations/integrationtest"
	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

func answerOf(status int, body string) integration.Answer {
	return integration.Answer{Status: status, Header: http.Header{}, Body: []byte(body)}
}

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer integration.Answer
		class  fault.Class
		code   string
		after  time.Duration
		scope  fault.Scope
	}{
		{"daily quota", answerOf(429, `{"errorType":"RATE_LIMIT","policyName":"DAILY","message":"m"}`), fault.Retryable, "hubspot_daily_limit", time.Hour, fault.ScopeAccount},
		{"ten seconds", answerOf(429, `{"errorType":"RATE_LIMIT","policyName":"TEN_SECONDLY_ROLLING","message":"m"}`), fault.Retryable, "hubspot_ten_secondly_limit", 10 * time.Second, fault.ScopeAccount},
		{"one second", answerOf(429, `{"errorType":"RATE_LIMIT","policyName":"SECONDLY","message":"m"}`), fault.Retryable, "hubspot_secondly_limit", time.Second, fault.ScopeAccount},
		{"search", answerOf(429, `{"status":"error","message":"You have reached your secondly limit.","errorType":"RATE_LIMIT"}`), fault.Retryable, "hubspot_search_limit", time.Second, fault.ScopeAccount},
		{"limited by something in between", answerOf(429, ""), fault.Retryable, "hubspot_limit", 10 * time.Second, fault.ScopeAccount},
		{"conflict", answerOf(409, `{"status":"error","message":"Contact already exists. Existing ID: 3401","category":"CONFLICT"}`), fault.Business, codeConflict, 0, fault.ScopeRecord},
		{"conflict inside a 207", answerOf(207, `{"status":"COMPLETE","results":[],"errors":[{"status":"error","category":"CONFLICT","message":"m","context":{"existingId":["1"]}}]}`), fault.Business, codeConflict, 0, fault.ScopeRecord},
		{"archived or merged", answerOf(404, `{"status":"error","message":"resource not found"}`), fault.Business, codeNotFound, 0, fault.ScopeRecord},
		{"wrong base URL", answerOf(404, `<html>`), fault.Retryable, "http_404", 5 * time.Minute, fault.ScopeConnection},
		{"unknown property", answerOf(400, `{"status":"error","message":"Property values were not valid: [{\"error\":\"PROPERTY_DOESNT_EXIST\"}]","category":"VALIDATION_ERROR"}`), fault.Business, codeNoProperty, 0, fault.ScopeRecord},
		{"duplicates in a batch", answerOf(400, `{"status":"error","message":"Duplicate IDs found in batch input: [1]","category":"VALIDATION_ERROR"}`), fault.Poison, "hubspot_duplicate_id", 0, fault.ScopeRecord},
		{"locked", answerOf(423, `{}`), fault.Retryable, "hubspot_locked", 2 * time.Second, fault.ScopeRecord},
		{"migrating", answerOf(477, `{}`), fault.Retryable, "hubspot_migrating", 10 * time.Minute, fault.ScopeAccount},
	} {
		f := fault.Of(deliverer{}.Classify(c.answer))
		if f == nil {
			t.Errorf("%s: taken for success", c.name)
			continue
		}
		if f.Class != c.class || f.Code != c.code || f.After != c.after || f.Scope != c.scope {
			t.Errorf("%s: %s %s after %v scope %d, want %s %s after %v scope %d", c.name, f.Class, f.Code, f.After, f.Scope, c.class, c.code, c.after, c.scope)
		}
	}
	for _, ok := range []integration.Answer{answerOf(204, ""), answerOf(200, `{"id":"1"}`), answerOf(201, `{"status":"COMPLETE","results":[{"id":"1"}]}`)} {
		if err := (deliverer{}).Classify(ok); err != nil {
			t.Errorf("%d %s: %v", ok.Status, ok.Body, err)
		}
	}
}

// TestRecordedAnswers classifies what HubSpot really answered.
func TestRecordedAnswers(t *testing.T) {
	for name, want := range map[string]struct {
		status int
		code   string
	}{
		"company_create.json":                     {201, ""},
		"company_create_custom-properties.json":   {201, ""},
		"contacts_batch_create_success.json":      {201, ""},
		"contacts_search_page1.json":              {200, ""},
		"properties_batch_create.json":            {201, ""},
		"contacts_batch_create_409_CONFLICT.json": {409, codeConflict},
		"contacts_batch_update_207_partial.json":  {207, codeNotFound},
		"error_400_INVALID_EMAIL.json":            {400, "hubspot_invalid_email"},
		"error_400_VALIDATION_ERROR_generic.json": {400, "hubspot_validation"},
		"error_401_EXPIRED_AUTHENTICATION.json":   {401, "hubspot_expired_authentication"},
		"error_403_MISSING_SCOPES.json":           {403, "hubspot_missing_scopes"},
		"error_429_DAILY.json":                    {429, "hubspot_daily_limit"},
		"error_429_TEN_SECONDLY_ROLLING.json":     {429, "hubspot_ten_secondly_limit"},
	} {
		body, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "samples", "hubspot", name))
		if err != nil {
			t.Skipf("recorded answers are not at hand: %v", err)
		}
		f := fault.Of(deliverer{}.Classify(integration.Answer{Status: want.status, Header: http.Header{}, Body: body}))
		got := ""
		if f != nil {
			got = f.Code
		}
		if got != want.code {
			t.Errorf("%s is %q, want %q", name, got, want.code)
		}
	}
}

func mapped(t *testing.T, s integration.Settings, entities ...canonical.Entity) []integration.Object {
	t.Helper()
	in := integration.Source{RecordID: "revenova:001"}
	for _, e := range integrationtest.Whole() {
		for _, want := range entities {
			if e.Entity == want {
				in.Entities = append(in.Entities, e)
			}
		}
	}
	return newMapper().Objects(in, integration.Account{Settings: s})
}

func text(t *testing.T, o integration.Object) string {
	t.Helper()
	b, err := json.Marshal(o.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestMapping(t *testing.T) {
	company := mapped(t, nil, canonical.TMSVendor, canonical.TMSCustomer)
	if len(company) != 1 || len(company[0].Entities) != 2 {
		t.Fatalf("a vendor and customer are %+v, want one company", company)
	}
	if got, want := text(t, company[0]), `{"address":"1 Dock Rd","address2":"Suite 2","city":"Portland","country":"US","domain":"acme.example","fluxnex_record_id":"revenova:001","name":"Acme","phone":"555-0100","state":"ME","zip":"04001"}`; got != want {
		t.Errorf("company %s, want %s", got, want)
	}
	contact := mapped(t, integration.Settings{"unique_property": "sf_id"}, canonical.TMSContact)[0]
	if got, want := text(t, contact), `{"address":"1 Dock Rd, Suite 2","associations":{},"city":"Portland","country":"US","email":"ann.lee@acmetrucking.com","firstname":"Ann","jobtitle":"Dispatcher","lastname":"Lee","phone":"555-0102","sf_id":"revenova:001","state":"ME","zip":"04001"}`; got != want {
		t.Errorf("contact %s, want %s", got, want)
	}
	if r := contact.References; len(r) != 1 || r[0].Path != "associations.companies" || !r[0].Optional || r[0].Object != "companies" {
		t.Errorf("references %+v", r)
	}
	deal := mapped(t, settings(), canonical.TMSLoad)[0]
	if got, want := text(t, deal), `{"amount":"100.00","associations":{},"closedate":"2026-01-31","dealname":"Load 28944","dealstage":"closedwon","fluxnex_record_id":"revenova:001","pipeline":"default"}`; got != want {
		t.Errorf("deal %s, want %s", got, want)
	}
	other := mapped(t, integration.Settings{"pipeline": "4711"}, canonical.TMSLoad)[0]
	if p := newMapper().Validate(&other); len(p) != 1 || p[0].Code != "missing_setting" {
		t.Errorf("a pipeline of the portal's own without stages: %+v", p)
	}
}

func TestDomains(t *testing.T) {
	for in, want := range map[string]string{
		"https://WWW.Acme.example/about?x": "acme.example",
		"Acme.Example":                     "acme.example",
		"acme.example:8080/x":              "acme.example",
		"n/a":                              "",
		"":                                 "",
		"http://%zz":                       "",
	} {
		if got := domain(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	o := &integration.Object{Object: contacts, Type: contacts, Payload: integration.TreeOf("email", " Ann@Acme ")}
	o.Payload.Put("Custom Field", "x")
	o.Payload.Put("fluxnex_record_id", "1")
	var got []string
	for _, p := range newMapper().Validate(o) {
		got = append(got, p.Code+" "+p.Field)
	}
	if len(got) != 2 || got[0] != "invalid_email email" || got[1] != "invalid_property Custom Field" {
		t.Errorf("problems %v", got)
	}
	if mail := o.Payload.Get("email"); mail != "ann@acme" {
		t.Errorf("e-mail %q: HubSpot would lower-case it, and every sync would show a change", mail)
	}
	empty := &integration.Object{Object: contacts, Type: contacts, Payload: &integration.Tree{}}
	if p := newMapper().Validate(empty); len(p) != 1 || p[0].Code != "missing_field" {
		t.Errorf("a contact without anything: %+v", p)
	}
}
