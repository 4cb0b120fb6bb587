package integrationtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// Destination checks what every destination has to keep, whatever its app. The
// account's settings must suffice to map every entity the app takes.
func Destination(t *testing.T, i *integration.Integration, a integration.Account) {
	t.Helper()
	if i.Map == nil || i.Deliver == nil {
		t.Fatalf("%s maps or delivers nothing", i.App)
	}
	t.Run("describes what it maps", func(t *testing.T) { describes(t, i.Map) })
	t.Run("maps whole entities without a problem", func(t *testing.T) { mapsWholeEntities(t, i.Map, a) })
	t.Run("finds what is missing or too long", func(t *testing.T) { findsProblems(t, i.Map, a) })
	t.Run("classifies every answer", func(t *testing.T) { classifies(t, i.Deliver) })
	t.Run("prepares purely", func(t *testing.T) { preparesPurely(t, i, a) })
	t.Run("has nothing to do for what was never created", func(t *testing.T) { nothingToUndo(t, i, a) })
	t.Run("keeps hostile values in their place", func(t *testing.T) { containsValues(t, i, a) })
}

// Whole is one record of each entity with every field filled.
func Whole() []integration.Entity {
	price := canonical.MustMoney("100.00")
	party := canonical.Party{
		SourceID: "0015g00000AbCdEAAV", Name: "Acme Trucking", DBAName: "Acme", AccountNumber: "A-1", Phone: "555-0100",
		Fax: "555-0101", Email: "ap@acme.example", Website: "acme.example", Currency: "USD", TermsDays: "30", TaxID: "98-7654321",
		Billing:  &canonical.Address{Street: "1 Dock Rd\nSuite 2", City: "Portland", State: "ME", PostalCode: "04001", Country: "US"},
		Shipping: &canonical.Address{Street: "2 Dock Rd", City: "Portland", State: "ME", PostalCode: "04001", Country: "US"},
	}
	account := &canonical.Ref{RecordID: "revenova:0015g00000AbCdEAAV", Entity: canonical.TMSCustomer, Name: "Acme"}
	lines := []canonical.Line{
		{Kind: "Freight", Description: "Line haul", Quantity: "2", UnitPrice: &price, Amount: canonical.MustMoney("200.00")},
		{Kind: "Fuel", Amount: canonical.MustMoney("0.5")},
	}
	return []integration.Entity{
		{Entity: canonical.TMSVendor, CanonicalID: "norm-1", Value: &canonical.Vendor{Party: party, MCNumber: "MC1", DOTNumber: "D1", RemitTo: account}},
		{Entity: canonical.TMSCustomer, CanonicalID: "norm-2", Value: &canonical.Customer{Party: party, BillTo: account}},
		{Entity: canonical.TMSContact, CanonicalID: "norm-3", Value: &canonical.Contact{SourceID: "003", FirstName: "Ann", LastName: "Lee", Email: "Ann.Lee@acmetrucking.com", Phone: "555-0102", Title: "Dispatcher", Account: account, Address: party.Billing}},
		{Entity: canonical.TMSLoad, CanonicalID: "norm-4", Value: &canonical.Load{SourceID: "a01", Number: "28944", Status: "Delivered", Customer: account, BillTo: account, Carrier: account, DeliveryDate: "2026-01-31", Revenue: &price, Currency: "USD"}},
		{Entity: canonical.TMSInvoice, CanonicalID: "norm-5", Value: &canonical.Invoice{SourceID: "a02", Number: "INV-1", Customer: *account, Load: account, LoadNumber: "28944", Date: "2026-01-31", DueDate: "2026-03-02", Currency: "USD", Total: canonical.MustMoney("200.50"), Lines: lines}},
		{Entity: canonical.TMSBill, CanonicalID: "norm-6", Value: &canonical.Bill{SourceID: "a03", Number: "B-1", Vendor: *account, Load: account, LoadNumber: "28944", Date: "2026-01-31", DueDate: "2026-03-02", Currency: "USD", Total: canonical.MustMoney("200.50"), Lines: lines}},
	}
}

// objects maps each entity the app takes by itself.
func objects(m integration.Mapper, a integration.Account) []integration.Object {
	var out []integration.Object
	for _, e := range Whole() {
		out = append(out, m.Objects(integration.Source{RecordID: "revenova:0015g00000AbCdEAAV", Entities: []integration.Entity{e}}, a)...)
	}
	return out
}

func describes(t *testing.T, m integration.Mapper) {
	t.Helper()
	for _, e := range canonical.All() {
		object := m.Of(e)
		if object == "" {
			continue
		}
		if !slices.ContainsFunc(m.Describe(), func(s integration.ObjectSchema) bool { return s.Object == object && slices.Contains(s.Entities, e) }) {
			t.Errorf("%s becomes a %s, which Describe does not list for it", e, object)
		}
	}
}

func mapsWholeEntities(t *testing.T, m integration.Mapper, a integration.Account) {
	t.Helper()
	seen := map[string]bool{}
	for _, o := range objects(m, a) {
		seen[o.Object] = true
		if p := append(m.Validate(&o), o.Problems...); len(p) > 0 {
			t.Errorf("a whole %s has problems: %+v", o.Type, p)
		}
		if o.Name == "" && o.Number == "" {
			t.Errorf("%s can be found by neither name nor number", o.Type)
		}
		if f := floatIn(o.Payload); f != "" {
			t.Errorf("%s has a float at %s", o.Type, f)
		}
		if len(o.Entities) == 0 {
			t.Errorf("%s does not say what it was made of", o.Type)
		}
	}
	for _, e := range canonical.All() {
		if object := m.Of(e); object != "" && !seen[object] {
			t.Errorf("a whole %s became no %s", e, object)
		}
	}
}

func floatIn(v any) string {
	switch t := v.(type) {
	case float64, float32:
		return "."
	case *integration.Tree:
		for k := range t.Names() {
			if at := floatIn(t.Get(k)); at != "" {
				return k + "." + at
			}
		}
	case []any:
		for _, e := range t {
			if at := floatIn(e); at != "" {
				return at
			}
		}
	}
	return ""
}

func findsProblems(t *testing.T, m integration.Mapper, a integration.Account) {
	t.Helper()
	for _, s := range m.Describe() {
		for _, f := range s.Fields {
			if f.Mandatory {
				o := objectOf(m, a, s.Object)
				erase(o.Payload, f.Path)
				o.References = slices.DeleteFunc(o.References, func(r record.Reference) bool { return r.Path == f.Path })
				if !slices.ContainsFunc(m.Validate(o), func(p integration.Problem) bool { return p.Field == f.Path && p.Remedy != "" && p.Message != "" }) {
					t.Errorf("%s without %s has no problem that says so", s.Object, f.Path)
				}
			}
			if f.Max == 0 {
				continue
			}
			o := objectOf(m, a, s.Object)
			fillAt(o.Payload, f.Path, strings.Repeat("é", f.Max+1))
			reported := slices.ContainsFunc(m.Validate(o), func(p integration.Problem) bool { return p.Field == f.Path && p.Remedy != "" })
			for _, v := range integration.Values(o.Payload, f.Path) {
				if n := utf8.RuneCountInString(fmt.Sprint(v)); n > f.Max && !reported {
					t.Errorf("%s with %d characters in %s is neither reported nor cut", s.Object, n, f.Path)
				}
			}
		}
	}
}

func objectOf(m integration.Mapper, a integration.Account, object string) *integration.Object {
	for _, o := range objects(m, a) {
		if o.Object == object {
			return &o
		}
	}
	return &integration.Object{Object: object, Type: object, Payload: &integration.Tree{}}
}

func erase(tree any, at string) {
	head, rest, more := strings.Cut(at, ".")
	switch t := tree.(type) {
	case *integration.Tree:
		if !more {
			t.Delete(head)
			return
		}
		erase(t.Get(head), rest)
	case []any:
		for _, e := range t {
			erase(e, at)
		}
	}
}

func fillAt(tree *integration.Tree, at, value string) {
	head, rest, more := strings.Cut(at, ".")
	if !more {
		tree.Put(head, value)
		return
	}
	switch next := tree.Get(head).(type) {
	case []any:
		for _, e := range next {
			if m, ok := e.(*integration.Tree); ok {
				fillAt(m, rest, value)
			}
		}
	case *integration.Tree:
		fillAt(next, rest, value)
	default:
		m := &integration.Tree{}
		tree.Put(head, m)
		fillAt(m, rest, value)
	}
}

// bodies are answers of all sorts; every status has to cope with each.
func bodies() []string {
	return []string{
		"", " ", "null", "true", "[]", "{}", "{", `"x"`, "1e999", "<html>busy</html>", "\x00\xff", `{"Fault":null}`, `{"Fault":{}}`, `{"Fault":{"Error":null}}`,
		`{"fault":{"error":[{"message":"m","detail":"d","code":"3200"}],"type":"AUTHENTICATION"}}`,
		`{"Fault":{"Error":[{"code":5010},{"code":"6240"}],"type":"ValidationFault"}}`, `{"Fault":{"Error":[{"code":{}}]}}`, `{"Fault":[]}`, `{"errors":{}}`,
		`{"status":"error","message":"m","category":"VALIDATION_ERROR"}`, `{"status":"error","errorType":"RATE_LIMIT","policyName":"DAILY"}`,
		`{"status":"COMPLETE","results":[],"errors":[{"category":"CONFLICT"}]}`, `[{"errorCode":"REQUEST_LIMIT_EXCEEDED"}]`,
		strings.Repeat("[", 20_000),
	}
}

func classifies(t *testing.T, d integration.Deliverer) {
	t.Helper()
	for status := -1; status <= 999; status++ {
		Classified(t, d.Classify, status, nil)
		Classified(t, d.Classify, status, []byte("<html>busy</html>"))
	}
	for _, status := range []int{200, 201, 204, 207, 301, 400, 401, 403, 404, 405, 408, 409, 413, 422, 423, 429, 477, 500, 502, 503, 504, math.MaxInt} {
		for _, b := range bodies() {
			Classified(t, d.Classify, status, []byte(b))
		}
	}
}

// Classified checks one answer; a fuzz test calls it with whatever comes.
func Classified(t *testing.T, classify func(integration.Answer) error, status int, body []byte) {
	t.Helper()
	a := integration.Answer{Status: status, Header: http.Header{"Retry-After": {"1"}}, Body: body}
	err := classify(a)
	f := fault.Of(err)
	if again := fault.Of(classify(a)); (f == nil) != (again == nil) || f != nil && (f.Class != again.Class || f.Code != again.Code || f.After != again.After) {
		t.Errorf("status %d with %.60q is %v, then %v", status, body, f, again)
	}
	success := status >= 200 && status <= 299
	switch {
	case f == nil && !success:
		t.Errorf("status %d with %.60q counts as success", status, body)
	case f == nil:
	case f.Class == fault.Unclassified:
		t.Errorf("status %d with %.60q has no class", status, body)
	case f.Code == "" || len(f.Code) > 60 || strings.ContainsAny(f.Code, " \n\""):
		t.Errorf("status %d with %.60q has the code %q, no label", status, body, f.Code)
	case f.After < 0:
		t.Errorf("status %d with %.60q waits %v", status, body, f.After)
	case (f.Class == fault.Business || f.Class == fault.Auth) && f.Remedy == "":
		t.Errorf("status %d with %.60q (%s) tells nobody what to do", status, body, f.Code)
	case status >= 500 && status <= 599 && f.Class == fault.Retryable && !f.Unknown && f.Scope == fault.ScopeRecord:
		// A server that failed may have done it before.
		t.Errorf("status %d with %.60q says that nothing happened", status, body)
	}
}

// operations is every verb in every situation.
func operations(t *testing.T, i *integration.Integration, a integration.Account) []integration.Operation {
	t.Helper()
	var out []integration.Operation
	for _, o := range objects(i.Map, a) {
		for _, r := range o.References {
			if err := integration.Set(o.Payload, r.Path, "77"); err != nil {
				t.Fatal(err)
			}
		}
		payload, err := json.Marshal(o.Payload)
		if err != nil {
			t.Fatal(err)
		}
		for _, verb := range []record.Verb{record.VerbUpsert, record.VerbDelete, record.VerbWithdraw} {
			for _, applied := range []*integration.Remote{nil, {Type: o.Type, ID: "56", Version: "3", Active: true}, {Type: o.Type, ID: "56", Version: "4"}} {
				op := integration.Operation{
					Account: a, RecordID: "revenova:0015g00000AbCdEAAV", Object: o.Object, Type: o.Type,
					Verb: verb, Payload: payload, RequestID: "5e8f6d0a-5f0c-5d1b-9d38-3c2ee6d1b1a1", Applied: applied,
				}
				if verb != record.VerbUpsert {
					op.Payload = nil
				}
				if applied != nil {
					op.AppliedPayload = payload
				}
				out = append(out, op)
			}
		}
	}
	return out
}

func preparesPurely(t *testing.T, i *integration.Integration, a integration.Account) {
	t.Helper()
	for _, op := range operations(t, i, a) {
		payload, last := bytes.Clone(op.Payload), bytes.Clone(op.AppliedPayload)
		first, err := i.Deliver.Prepare(op)
		if err != nil {
			t.Errorf("%s of %s: %v", op.Verb, op.Type, err)
			continue
		}
		second, err := i.Deliver.Prepare(op)
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Errorf("%s of %s is prepared differently the second time (%v)", op.Verb, op.Type, err)
		}
		if !bytes.Equal(payload, op.Payload) || !bytes.Equal(last, op.AppliedPayload) {
			t.Errorf("%s of %s changed what it was given", op.Verb, op.Type)
		}
		if first.Done {
			continue
		}
		inside(t, first.Request)
		if first.Request.Body != nil && !json.Valid(first.Request.Body) {
			t.Errorf("%s of %s sends a body that is not JSON: %s", op.Verb, op.Type, first.Request.Body)
		}
	}
}

// inside checks that a request stays under the base URL and carries no secret.
func inside(t *testing.T, r integration.Request) {
	t.Helper()
	u, err := url.Parse("https://api.example/base" + r.Path + "?" + r.Query)
	if err != nil {
		t.Errorf("%s %s?%s is not a URL: %v", r.Method, r.Path, r.Query, err)
		return
	}
	if u.Host != "api.example" || u.Fragment != "" || !strings.HasPrefix(r.Path, "/") || strings.ContainsAny(r.Path, "?#") ||
		path.Clean(u.EscapedPath()) != u.EscapedPath() || u.RawQuery != r.Query {
		t.Errorf("%s %s?%s leaves its place", r.Method, r.Path, r.Query)
	}
	if _, err := url.ParseQuery(r.Query); err != nil {
		t.Errorf("query %q: %v", r.Query, err)
	}
	for name := range r.Header {
		switch http.CanonicalHeaderKey(name) {
		case "Authorization", "Cookie", "Proxy-Authorization", "Host":
			t.Errorf("%s %s carries %s: credentials are the caller's", r.Method, r.Path, name)
		}
	}
}

func nothingToUndo(t *testing.T, i *integration.Integration, a integration.Account) {
	t.Helper()
	for _, op := range operations(t, i, a) {
		if op.Verb == record.VerbUpsert || op.Verb == record.VerbDelete && op.Applied != nil && op.Applied.Active {
			continue
		}
		step, err := i.Deliver.Prepare(op)
		if err != nil || !step.Done {
			t.Errorf("%s of a %s that is not there (%+v) sends %s %s (%v)", op.Verb, op.Type, op.Applied, step.Request.Method, step.Request.Path, err)
		}
	}
}

// hostile are values that try to leave the place they are put in.
func hostile() []string {
	return []string{`O'Brien`, `x' or 'a'='a`, `\' or Id > '0`, `\\'; drop`, `../../admin?x=1#y`, "a&b=c", "a%27b", "a\r\nHost: evil", "\u2028'", "", "..", "."}
}

func containsValues(t *testing.T, i *integration.Integration, a integration.Account) {
	t.Helper()
	for _, h := range hostile() {
		for _, op := range operations(t, i, a) {
			if op.Applied != nil {
				applied := *op.Applied
				applied.ID = h
				op.Applied = &applied
			}
			op.RequestID, op.RecordID = h, record.ID("revenova:"+h)
			var payload map[string]any
			if op.Payload != nil {
				if err := json.Unmarshal(op.Payload, &payload); err != nil {
					t.Fatal(err)
				}
				for k, v := range payload {
					if _, text := v.(string); text {
						payload[k] = h
					}
				}
				op.Payload, _ = json.Marshal(payload)
			}
			c := &watcher{t: t, classify: i.Deliver.Classify}
			step, err := i.Deliver.Prepare(op)
			if err == nil && !step.Done && h != "" && h != "." && h != ".." {
				inside(t, step.Request)
			}
			if err == nil && !step.Done {
				_, _ = i.Deliver.Resolve(t.Context(), c, op, step.Request) // only what it asks for matters
			}
			if r, ok := i.Deliver.(integration.Recoverer); ok {
				_, _ = r.Recover(t.Context(), c, op, fault.Refused("conflict", "", errors.New("refused"))) // likewise
			}
		}
	}
}

// watcher answers every call with an empty object and checks the request.
type watcher struct {
	t        *testing.T
	classify func(integration.Answer) error
}

func (w *watcher) Call(_ context.Context, r integration.Request) (integration.Answer, error) {
	w.t.Helper()
	inside(w.t, r)
	a := integration.Answer{Status: http.StatusOK, Header: http.Header{}, Body: []byte("{}")}
	return a, w.classify(a)
}
