package hubspot

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// portal is a HubSpot portal as far as these tests need one: unique values,
// upserts, lower-cased addresses.
type portal struct {
	t          *testing.T
	url        string
	objects    map[string]map[string]string // "contacts/1"
	properties map[string]bool              // "contacts/fluxnex_record_id"
	tied       map[string]string            // "contacts/1" → company
	last       int
	calls      []string
}

func newPortal(t *testing.T) *portal {
	t.Helper()
	p := &portal{
		t: t, objects: map[string]map[string]string{}, tied: map[string]string{},
		properties: map[string]bool{"companies/" + defaultUnique: true, "contacts/" + defaultUnique: true, "deals/" + defaultUnique: true},
	}
	s := httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

func (p *portal) Call(ctx context.Context, req integration.Request) (integration.Answer, error) {
	u := p.url + req.Path
	if req.Query != "" {
		u += "?" + req.Query
	}
	r, err := http.NewRequestWithContext(ctx, req.Method, u, strings.NewReader(string(req.Body)))
	if err != nil {
		return integration.Answer{}, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return integration.Answer{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return integration.Answer{}, err
	}
	a := integration.Answer{Status: answer.StatusCode, Header: answer.Header, Body: body}
	return a, deliverer{}.Classify(a)
}

func refuse(category, message string) string {
	return fmt.Sprintf(`{"status":"error","category":%q,"message":%q}`, category, message)
}

func (p *portal) serve(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/crm/")
	p.calls = append(p.calls, r.Method+" "+path)
	status, body := p.handle(r, strings.Split(path, "/"))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func (p *portal) handle(r *http.Request, parts []string) (int, string) {
	switch {
	case r.URL.Path == "/account-info/v3/details":
		return 200, `{"portalId":44556677}`
	case parts[1] == "properties":
		return p.property(r, parts[2:])
	case parts[0] == "v4":
		p.tied[parts[2]+"/"+parts[3]] = parts[len(parts)-1]
		return 200, `{"status":"COMPLETE","results":[]}`
	case r.Method == http.MethodPost:
		return p.upsert(r, parts[2])
	}
	at := p.find(parts[2], parts[3], r.URL.Query().Get("idProperty"))
	if at == "" {
		return 404, refuse("OBJECT_NOT_FOUND", "resource not found")
	}
	switch r.Method {
	case http.MethodDelete:
		delete(p.objects, at)
		return 204, ""
	case http.MethodPatch:
		var body struct{ Properties map[string]string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			p.t.Error(err)
		}
		p.set(at, body.Properties)
	}
	return 200, p.body(at)
}

func (p *portal) property(r *http.Request, parts []string) (int, string) {
	if r.Method == http.MethodGet {
		if !p.properties[strings.Join(parts, "/")] {
			return 404, refuse("OBJECT_NOT_FOUND", "no property")
		}
		return 200, `{"name":"x"}`
	}
	var body struct {
		Name           string
		HasUniqueValue bool
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || !body.HasUniqueValue {
		p.t.Errorf("property %+v, %v", body, err)
	}
	p.properties[parts[0]+"/"+body.Name] = true
	return 201, `{"name":"x"}`
}

func (p *portal) upsert(r *http.Request, typ string) (int, string) {
	var body struct {
		Inputs []struct {
			IDProperty, ID string
			Properties     map[string]string
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Inputs) != 1 {
		p.t.Errorf("upsert of %+v, %v", body, err)
		return 400, refuse("VALIDATION_ERROR", "bad")
	}
	in := body.Inputs[0]
	if !p.properties[typ+"/"+in.IDProperty] {
		return 400, refuse("VALIDATION_ERROR", `[{"error":"PROPERTY_DOESNT_EXIST","name":"`+in.IDProperty+`"}]`)
	}
	at := p.find(typ, in.ID, in.IDProperty)
	if at == "" {
		if mail := in.Properties["email"]; mail != "" && p.find(typ, mail, "email") != "" {
			return 409, refuse("CONFLICT", "Contact already exists")
		}
		p.last++
		at = typ + "/" + strconv.Itoa(p.last)
		p.objects[at] = map[string]string{in.IDProperty: in.ID}
	}
	p.set(at, in.Properties)
	return 200, `{"status":"COMPLETE","results":[` + p.body(at) + `]}`
}

func (p *portal) set(at string, properties map[string]string) {
	for k, v := range properties {
		if k == "email" || k == "domain" {
			v = strings.ToLower(v)
		}
		p.objects[at][k] = v
	}
}

func (p *portal) find(typ, value, property string) string {
	if property == "" {
		if _, ok := p.objects[typ+"/"+value]; ok {
			return typ + "/" + value
		}
		return ""
	}
	for at, o := range p.objects {
		if strings.HasPrefix(at, typ+"/") && strings.EqualFold(o[property], value) {
			return at
		}
	}
	return ""
}

func (p *portal) body(at string) string {
	_, id, _ := strings.Cut(at, "/")
	b, err := json.Marshal(map[string]any{"id": id, "properties": p.objects[at], "archived": false})
	if err != nil {
		p.t.Error(err)
	}
	return string(b)
}

// deliver runs an operation to its end, as the delivery service does.
func (p *portal) deliver(op integration.Operation) (*integration.Remote, error) {
	p.t.Helper()
	for step := range 5 {
		op.RequestID = fmt.Sprintf("request-%d", step)
		s, err := deliverer{}.Prepare(op)
		if err != nil {
			return nil, err
		}
		if s.Done {
			return s.Remote, nil
		}
		a, err := p.Call(p.t.Context(), s.Request)
		if err != nil {
			return op.Applied, err
		}
		r, err := deliverer{}.Read(op, s.Request, a)
		if err != nil {
			return nil, err
		}
		op.Applied = &r
		if s.Final {
			return &r, nil
		}
	}
	return nil, fmt.Errorf("not complete after 5 steps: %v", p.calls)
}

func operation(verb record.Verb, typ, payload string, applied *integration.Remote, last string) integration.Operation {
	return integration.Operation{
		RecordID: "revenova:001", Object: typ, Type: typ, Verb: verb, Payload: []byte(payload),
		RequestID: "request", Applied: applied, AppliedPayload: []byte(last),
	}
}

const company = `{"domain":"acme.example","fluxnex_record_id":"revenova:001","name":"Acme","phone":"555"}`

func TestACompanysLife(t *testing.T) {
	p := newPortal(t)
	created, err := p.deliver(operation(record.VerbUpsert, companies, company, nil, ""))
	if err != nil || created.ID != "1" || !created.Active {
		t.Fatalf("created %+v, %v", created, err)
	}
	twice, err := p.deliver(operation(record.VerbUpsert, companies, company, nil, ""))
	if err != nil || twice.ID != "1" || len(p.objects) != 1 {
		t.Errorf("created again it is %+v of %d objects, %v", twice, len(p.objects), err)
	}
	updated, err := p.deliver(operation(record.VerbUpsert, companies, `{"fluxnex_record_id":"revenova:001","name":"Acme & Sons"}`, created, company))
	if err != nil || updated.ID != "1" {
		t.Fatalf("updated %+v, %v", updated, err)
	}
	if o := p.objects["companies/1"]; o["name"] != "Acme & Sons" || o["phone"] != "" || o["domain"] != "" {
		t.Errorf("what the source no longer has is still there: %v", o)
	}
	gone, err := p.deliver(operation(record.VerbDelete, companies, "", updated, ""))
	if err != nil || gone.Active || len(p.objects) != 0 {
		t.Fatalf("archived %+v, %v", gone, err)
	}
	back, err := p.deliver(operation(record.VerbUpsert, companies, company, gone, ""))
	if err != nil || !back.Active || back.ID != "2" {
		t.Errorf("created anew %+v, %v", back, err)
	}
}

func TestAContactIsTiedToItsCompanyOnce(t *testing.T) {
	p := newPortal(t)
	payload := `{"associations":{"companies":"77"},"email":"ann@acme.example","fluxnex_record_id":"revenova:001"}`
	made, err := p.deliver(operation(record.VerbUpsert, contacts, payload, nil, ""))
	if err != nil || p.tied["contacts/1"] != "77" || made.Version != "" {
		t.Fatalf("made %+v, tied %v, %v", made, p.tied, err)
	}
	p.calls = nil
	next := `{"associations":{"companies":"77"},"email":"ann@acme.example","firstname":"Ann","fluxnex_record_id":"revenova:001"}`
	made, err = p.deliver(operation(record.VerbUpsert, contacts, next, made, payload))
	if want := []string{"PATCH v3/objects/contacts/1"}; err != nil || !slices.Equal(p.calls, want) {
		t.Errorf("an update made %v, want %v; %v", p.calls, want, err)
	}
	p.calls = nil
	moved := strings.Replace(next, "77", "78", 1)
	if _, err = p.deliver(operation(record.VerbUpsert, contacts, moved, made, next)); err != nil || p.tied["contacts/1"] != "78" {
		t.Errorf("moved to %v by %v, %v", p.tied, p.calls, err)
	}
	p.calls = nil
	alone := operation(record.VerbUpsert, contacts, `{"associations":{},"email":"bo@acme.example"}`, nil, "")
	alone.RecordID = "revenova:002"
	if _, err = p.deliver(alone); err != nil || len(p.calls) != 1 {
		t.Errorf("a contact without a company made %v, %v", p.calls, err)
	}
}

func TestALostAnswerIsFoundByTheUniqueProperty(t *testing.T) {
	p, d := newPortal(t), deliverer{}
	op := operation(record.VerbUpsert, companies, company, nil, "")
	step, err := d.Prepare(op)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := d.Resolve(t.Context(), p, op, step.Request); r != nil || err != nil {
		t.Errorf("before: %+v, %v", r, err)
	}
	if _, err := p.Call(t.Context(), step.Request); err != nil {
		t.Fatal(err)
	}
	r, err := d.Resolve(t.Context(), p, op, step.Request)
	if err != nil || r == nil || r.ID != "1" {
		t.Fatalf("after: %+v, %v", r, err)
	}
	del := operation(record.VerbDelete, companies, "", r, "")
	step, err = d.Prepare(del)
	if err != nil {
		t.Fatal(err)
	}
	delete(p.objects, "companies/1")
	if r, err := d.Resolve(t.Context(), p, del, step.Request); err != nil || r == nil || r.Active {
		t.Errorf("after a deletion: %+v, %v", r, err)
	}
}

func TestRecoveringFromRefusals(t *testing.T) {
	p, d := newPortal(t), deliverer{}
	p.objects["contacts/9"] = map[string]string{"email": "ann@acme.example"}
	op := operation(record.VerbUpsert, contacts, `{"email":"ann@acme.example","fluxnex_record_id":"revenova:001"}`, nil, "")
	_, refusal := p.deliver(op)
	if fault.Of(refusal).Code != codeConflict {
		t.Fatalf("refused as %v", refusal)
	}
	r, err := d.Recover(t.Context(), p, op, refusal)
	if err != nil || r == nil || r.ID != "9" {
		t.Fatalf("the contact with our address: %+v, %v", r, err)
	}
	op.Applied = r
	if _, err := p.deliver(op); err != nil || p.objects["contacts/9"][defaultUnique] != "revenova:001" {
		t.Errorf("taken over as %v, %v", p.objects["contacts/9"], err)
	}
	op.Applied, op.RecordID = nil, "revenova:002"
	if r, err := d.Recover(t.Context(), p, op, refusal); r != nil || err != nil {
		t.Errorf("another record's contact was taken: %+v, %v", r, err)
	}

	// Merged in HubSpot: the winner has our property under another id.
	p.objects["companies/5"] = map[string]string{defaultUnique: "revenova:001"}
	merged := operation(record.VerbUpsert, companies, company, &integration.Remote{Type: companies, ID: "4", Active: true}, "")
	_, refusal = p.deliver(merged)
	if r, err := d.Recover(t.Context(), p, merged, refusal); err != nil || r == nil || r.ID != "5" || !r.Active {
		t.Errorf("merged into %+v, %v", r, err)
	}
	delete(p.objects, "companies/5")
	if r, err := d.Recover(t.Context(), p, merged, refusal); err != nil || r == nil || r.Active {
		t.Errorf("archived by somebody: %+v, %v", r, err)
	}

	delete(p.properties, "companies/"+defaultUnique)
	fresh := operation(record.VerbUpsert, companies, company, nil, "")
	_, refusal = p.deliver(fresh)
	r, err = d.Recover(t.Context(), p, fresh, refusal)
	if err != nil || r == nil || r.Active || !p.properties["companies/"+defaultUnique] {
		t.Fatalf("a portal without our property: %+v, %v (refused as %v)", r, err, refusal)
	}
	fresh.Applied = r
	if made, err := p.deliver(fresh); err != nil || made.ID == "" {
		t.Errorf("then: %+v, %v", made, err)
	}
}

func TestProbeMakesTheUniqueProperties(t *testing.T) {
	p := newPortal(t)
	clear(p.properties)
	id, err := deliverer{}.Probe(t.Context(), p, integration.Account{})
	if err != nil || id != "44556677" || len(p.properties) != 3 {
		t.Errorf("portal %q with %v, %v", id, p.properties, err)
	}
}

func TestMergeKeepsWhatPeopleChanged(t *testing.T) {
	op := operation(record.VerbUpsert, contacts, `{"email":"ann@acme.example","firstname":"Anna","phone":"1"}`, nil, `{"email":"ann@acme.example","firstname":"Ann","phone":"1"}`)
	theirs := integration.Remote{Type: contacts, ID: "1", Body: []byte(`{"id":"1","properties":{"email":"ANN@acme.example","firstname":"Annie","phone":"2"}}`)}
	payload, overwritten, err := deliverer{}.Merge(op, theirs)
	if want := `{"email":"ann@acme.example","firstname":"Anna","phone":"2"}`; err != nil || string(payload) != want {
		t.Errorf("merged %s, want %s; %v", payload, want, err)
	}
	if !slices.Equal(overwritten, []string{"firstname"}) {
		t.Errorf("overwritten %v", overwritten)
	}
}
