package quickbooks

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
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

// company is a QuickBooks company as far as these tests need one: sync tokens,
// one name space, remembered request ids.
type company struct {
	t       *testing.T
	url     string
	objects map[string]map[string]any // "vendor/1"
	answers map[string]string         // by request id
	last    int
	calls   []string
}

func newCompany(t *testing.T) *company {
	t.Helper()
	c := &company{t: t, objects: map[string]map[string]any{}, answers: map[string]string{}}
	s := httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

func (c *company) Call(ctx context.Context, req integration.Request) (integration.Answer, error) {
	r, err := http.NewRequestWithContext(ctx, req.Method, c.url+req.Path+"?"+req.Query, strings.NewReader(string(req.Body)))
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

func (c *company) serve(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v3/company/9130/"), "/")
	c.calls = append(c.calls, strings.TrimSpace(r.Method+" "+strings.Join(parts, "/")+" "+r.URL.Query().Get("operation")))
	id := r.URL.Query().Get("requestid")
	if old, ok := c.answers[id]; ok && id != "" {
		_, _ = io.WriteString(w, old)
		return
	}
	status, body := c.handle(parts, r)
	if id != "" && status == http.StatusOK {
		c.answers[id] = body
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func (c *company) handle(parts []string, r *http.Request) (int, string) {
	if r.Method == http.MethodGet {
		switch parts[0] {
		case "query":
			return c.query(r.URL.Query().Get("query"))
		case "companyinfo":
			return 200, `{"CompanyInfo":{"Id":"1"}}`
		}
		o, ok := c.objects[strings.Join(parts, "/")]
		if !ok {
			return 400, faultOf("610", "Object Not Found")
		}
		return 200, c.body(parts[0], o)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
	}
	sent, err := tree(body)
	if err != nil {
		c.t.Errorf("sent %s: %v", body, err)
		return 400, faultOf("2010", "")
	}
	sentID, _ := sent["Id"].(string)
	if name, ok := sent["DisplayName"].(string); ok {
		for at, o := range c.objects {
			if held, _ := o["DisplayName"].(string); strings.EqualFold(held, name) && at != parts[0]+"/"+sentID {
				return 400, faultOf("6240", ": Id="+fmt.Sprint(o["Id"]))
			}
		}
	}
	if sentID == "" {
		c.last++
		sent["Id"], sent["SyncToken"] = strconv.Itoa(c.last), "0"
		if isName(typeOf(parts[0])) {
			sent["Active"] = true
		}
		c.objects[parts[0]+"/"+strconv.Itoa(c.last)] = sent
		return 200, c.body(parts[0], sent)
	}
	at := parts[0] + "/" + sentID
	o, ok := c.objects[at]
	switch {
	case !ok:
		return 400, faultOf("610", "")
	case o["SyncToken"] != sent["SyncToken"]:
		return 400, faultOf("5010", "")
	case r.URL.Query().Get("operation") == "delete":
		delete(c.objects, at)
		return 200, fmt.Sprintf(`{%q:{"Id":%q,"status":"Deleted"}}`, typeOf(parts[0]), sentID)
	case r.URL.Query().Get("operation") == "void":
		o["PrivateNote"], o["TotalAmt"] = "Voided - "+fmt.Sprint(o["PrivateNote"]), json.Number("0")
	default:
		if sent["sparse"] != true {
			c.t.Errorf("a full update of %s would wipe what people filled in", at)
		}
		maps.Copy(o, sent)
		delete(o, "sparse")
		if o["Active"] == false {
			o["DisplayName"] = fmt.Sprint(o["DisplayName"]) + " (deleted)"
		}
	}
	n, err := strconv.Atoi(fmt.Sprint(o["SyncToken"]))
	if err != nil {
		c.t.Error(err)
	}
	o["SyncToken"] = strconv.Itoa(n + 1)
	return 200, c.body(parts[0], o)
}

// query knows the one form that is sent.
func (c *company) query(q string) (int, string) {
	var typ, field, value string
	head, rest, _ := strings.Cut(q, " = '")
	if _, err := fmt.Sscanf(head, "select * from %s where %s", &typ, &field); err != nil {
		return 400, faultOf("4001", q)
	}
	for rest != "" && rest[0] != '\'' {
		if rest[0] == '\\' {
			rest = rest[1:]
		}
		value, rest = value+rest[:1], rest[1:]
	}
	var rows []string
	for at, o := range c.objects {
		if strings.HasPrefix(at, resource(typ)+"/") && o[field] == value {
			b, _ := json.Marshal(o)
			rows = append(rows, string(b))
		}
	}
	return 200, fmt.Sprintf(`{"QueryResponse":{%q:[%s]}}`, typ, strings.Join(rows, ","))
}

func typeOf(path string) string {
	for _, typ := range []string{vendor, customer, invoice, creditMemo, bill, vendorCredit} {
		if resource(typ) == path {
			return typ
		}
	}
	return ""
}

func (c *company) body(path string, o map[string]any) string {
	b, err := json.Marshal(map[string]any{typeOf(path): o})
	if err != nil {
		c.t.Error(err)
	}
	return string(b)
}

// deliver runs an operation to its end, as the delivery service does.
func (c *company) deliver(op integration.Operation) (*integration.Remote, error) {
	c.t.Helper()
	d := deliverer{}
	for step := range 5 {
		op.RequestID = fmt.Sprintf("%s-%d-%v", op.RequestID, step, op.Applied) // as delivery does: by all that the request depends on
		s, err := d.Prepare(op)
		if err != nil {
			return nil, err
		}
		if s.Done {
			return s.Remote, nil
		}
		a, err := c.Call(c.t.Context(), s.Request)
		if err != nil {
			return op.Applied, err
		}
		r, err := d.Read(op, s.Request, a)
		if err != nil {
			return nil, err
		}
		op.Applied = &r
		if s.Final {
			return &r, nil
		}
	}
	return nil, fmt.Errorf("not complete after 5 steps: %v", c.calls)
}

func operation(verb record.Verb, object, typ, payload string, applied *integration.Remote) integration.Operation {
	return integration.Operation{
		Account: integration.Account{Remote: "9130"}, RecordID: "revenova:001", Object: object, Type: typ,
		Verb: verb, Payload: []byte(payload), RequestID: fmt.Sprintf("%s-%d", verb, len(payload)), Applied: applied,
	}
}

func TestAVendorsLife(t *testing.T) {
	c := newCompany(t)
	first := `{"AcctNum":"001","DisplayName":"Acme","PrimaryPhone":{"FreeFormNumber":"555"}}`
	created, err := c.deliver(operation(record.VerbUpsert, vendor, vendor, first, nil))
	if err != nil || created.ID != "1" || created.Version != "0" || !created.Active {
		t.Fatalf("created %+v, %v", created, err)
	}
	c.objects["vendor/1"]["Notes"] = "typed by a person"
	op := operation(record.VerbUpsert, vendor, vendor, `{"AcctNum":"001","DisplayName":"Acme & Sons"}`, created)
	op.AppliedPayload = []byte(first)
	updated, err := c.deliver(op)
	if err != nil || updated.Version != "1" {
		t.Fatalf("updated %+v, %v", updated, err)
	}
	o := c.objects["vendor/1"]
	if o["DisplayName"] != "Acme & Sons" || o["Notes"] != "typed by a person" {
		t.Errorf("after the update %v", o)
	}
	if phone := integration.Values(o, "PrimaryPhone.FreeFormNumber"); len(phone) != 1 || phone[0] != "" {
		t.Errorf("a phone the source no longer has is still %v", phone)
	}
	gone, err := c.deliver(operation(record.VerbDelete, vendor, vendor, "", updated))
	if err != nil || gone.Active {
		t.Fatalf("deactivated %+v, %v", gone, err)
	}
	back, err := c.deliver(operation(record.VerbUpsert, vendor, vendor, `{"AcctNum":"001","DisplayName":"Acme again"}`, gone))
	if err != nil || !back.Active || back.ID != "1" || c.objects["vendor/1"]["DisplayName"] != "Acme again" {
		t.Errorf("reactivated %+v as %v, %v", back, c.objects["vendor/1"], err)
	}
}

func TestASignFlipVoidsBeforeItCreates(t *testing.T) {
	c := newCompany(t)
	payload := `{"DocNumber":"INV-1","PrivateNote":"FluxNex revenova:001","Line":[{"Amount":5.00}]}`
	inv, err := c.deliver(operation(record.VerbUpsert, invoice, invoice, payload, nil))
	if err != nil {
		t.Fatal(err)
	}
	c.calls = nil
	memo, err := c.deliver(operation(record.VerbUpsert, invoice, creditMemo, payload, inv))
	if err != nil || memo.Type != creditMemo {
		t.Fatalf("memo %+v, %v", memo, err)
	}
	if want := []string{"POST invoice void", "POST creditmemo"}; !slices.Equal(c.calls, want) {
		t.Errorf("calls %v, want %v", c.calls, want)
	}
	c.calls = nil
	again, err := c.deliver(operation(record.VerbUpsert, invoice, invoice, payload, memo))
	if err != nil || again.ID == inv.ID {
		t.Fatalf("flipped back %+v, %v", again, err)
	}
	if want := []string{"POST creditmemo delete", "POST invoice"}; !slices.Equal(c.calls, want) {
		t.Errorf("calls %v, want %v", c.calls, want)
	}
}

func TestDocumentsAreVoidedOrDeleted(t *testing.T) {
	for typ, want := range map[string]string{invoice: "POST invoice void", creditMemo: "POST creditmemo delete", bill: "POST bill delete", vendorCredit: "POST vendorcredit delete"} {
		c := newCompany(t)
		made, err := c.deliver(operation(record.VerbUpsert, typ, typ, `{"DocNumber":"1"}`, nil))
		if err != nil {
			t.Fatal(err)
		}
		gone, err := c.deliver(operation(record.VerbDelete, typ, typ, "", made))
		if err != nil || gone.Active || c.calls[len(c.calls)-1] != want {
			t.Errorf("%s: %+v by %v, %v", typ, gone, c.calls, err)
		}
	}
}

func TestALostAnswerIsFoundByOurMarkerOnly(t *testing.T) {
	d := deliverer{}
	for _, k := range []struct {
		typ, payload, stranger string
	}{
		{vendor, `{"AcctNum":"001","DisplayName":"O'Brien \\ Co"}`, "002"},
		{customer, `{"Notes":"FluxNex revenova:001","DisplayName":"O'Brien"}`, "FluxNex revenova:0012"},
		{invoice, `{"PrivateNote":"FluxNex revenova:001, load 7","DocNumber":"INV-1"}`, "FluxNex revenova:0012"},
	} {
		c := newCompany(t)
		op := operation(record.VerbUpsert, k.typ, k.typ, k.payload, nil)
		step, err := d.Prepare(op)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := d.Resolve(t.Context(), c, op, step.Request); r != nil || err != nil {
			t.Errorf("%s: found %+v before anything was sent, %v", k.typ, r, err)
		}
		if _, err := c.Call(t.Context(), step.Request); err != nil {
			t.Fatal(err)
		}
		r, err := d.Resolve(t.Context(), c, op, step.Request)
		if err != nil || r == nil || r.ID != "1" {
			t.Errorf("%s: found %+v, %v", k.typ, r, err)
		}
		c.objects[resource(k.typ)+"/1"][marker(k.typ)] = k.stranger
		if r, err := d.Resolve(t.Context(), c, op, step.Request); r != nil || err != nil {
			t.Errorf("%s: took a stranger's object %+v, %v", k.typ, r, err)
		}
	}
}

func TestALostUpdateIsKnownByItsContent(t *testing.T) {
	c, d := newCompany(t), deliverer{}
	made, err := c.deliver(operation(record.VerbUpsert, vendor, vendor, `{"DisplayName":"A"}`, nil))
	if err != nil {
		t.Fatal(err)
	}
	op := operation(record.VerbUpsert, vendor, vendor, `{"DisplayName":"B"}`, made)
	step, err := d.Prepare(op)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := d.Resolve(t.Context(), c, op, step.Request); r != nil || err != nil {
		t.Errorf("before: %+v, %v", r, err)
	}
	if _, err := c.Call(t.Context(), step.Request); err != nil {
		t.Fatal(err)
	}
	if r, err := d.Resolve(t.Context(), c, op, step.Request); err != nil || r == nil || r.Version != "1" {
		t.Errorf("after: %+v, %v", r, err)
	}
	if _, err := c.Call(t.Context(), step.Request); err != nil || c.objects["vendor/1"]["SyncToken"] != "1" {
		t.Errorf("repeated under its request id: %v, %v", c.objects["vendor/1"], err)
	}
}

func TestRecoveringFromRefusals(t *testing.T) {
	d := deliverer{}
	c := newCompany(t)
	payload := `{"AcctNum":"001","DisplayName":"Acme"}`
	made, err := c.deliver(operation(record.VerbUpsert, vendor, vendor, payload, nil))
	if err != nil {
		t.Fatal(err)
	}
	op := operation(record.VerbUpsert, vendor, vendor, payload, nil)
	op.RequestID = "another"
	_, refusal := c.deliver(op)
	if fault.Of(refusal).Code != "qbo_6240" {
		t.Fatalf("refused as %v", refusal)
	}
	if r, err := d.Recover(t.Context(), c, op, refusal); err != nil || r == nil || r.ID != made.ID {
		t.Errorf("our own vendor under the name: %+v, %v", r, err)
	}
	c.objects["vendor/1"]["AcctNum"] = "777"
	if r, err := d.Recover(t.Context(), c, op, refusal); r != nil || fault.Of(err).Class != fault.Business || !strings.Contains(fault.Of(err).Remedy, `"001"`) {
		t.Errorf("a stranger's vendor was taken, or nothing said how to hand it over: %+v, %v", r, err)
	}

	c.objects["vendor/1"]["AcctNum"] = "001"
	cust := operation(record.VerbUpsert, customer, customer, `{"Notes":"FluxNex revenova:001","DisplayName":"Acme"}`, nil)
	if r, err := d.Recover(t.Context(), c, cust, refusal); r != nil || fault.Of(err).Class != fault.Retryable {
		t.Errorf("the customer of the same account waits for the vendor's new name: %+v, %v", r, err)
	}

	b, err := c.deliver(operation(record.VerbUpsert, bill, bill, `{"DocNumber":"B"}`, nil))
	if err != nil {
		t.Fatal(err)
	}
	delete(c.objects, "bill/"+b.ID)
	del := operation(record.VerbDelete, bill, bill, "", b)
	_, refusal = c.deliver(del)
	r, err := d.Recover(t.Context(), c, del, refusal)
	if err != nil || r == nil || r.Active {
		t.Fatalf("a bill that is gone: %+v, %v", r, err)
	}
	del.Applied = r
	if step, err := d.Prepare(del); err != nil || !step.Done {
		t.Errorf("deleting what is gone sends %+v, %v", step.Request, err)
	}
}

func TestMergeKeepsWhatPeopleChanged(t *testing.T) {
	op := operation(record.VerbUpsert, vendor, vendor, `{"DisplayName":"New name","PrimaryPhone":{"FreeFormNumber":"1"},"CompanyName":"Ours","TaxIdentifier":"98-769875"}`, nil)
	op.AppliedPayload = []byte(`{"DisplayName":"Old name","PrimaryPhone":{"FreeFormNumber":"1"},"CompanyName":"Sent","TaxIdentifier":"98-769875"}`)
	theirs := integration.Remote{Type: vendor, ID: "1", Version: "4", Body: []byte(`{"Id":"1","SyncToken":"4","DisplayName":"Old name","PrimaryPhone":{"FreeFormNumber":"2","Id":"9"},"CompanyName":"Edited","TaxIdentifier":"XXXXXX9875","Balance":3}`)}
	payload, overwritten, err := deliverer{}.Merge(op, theirs)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"CompanyName":"Ours","DisplayName":"New name","PrimaryPhone":{"FreeFormNumber":"2"},"TaxIdentifier":"98-769875"}`; string(payload) != want {
		t.Errorf("merged %s, want %s", payload, want)
	}
	if !slices.Equal(overwritten, []string{"CompanyName"}) {
		t.Errorf("overwritten %v", overwritten)
	}
}

func TestRequestIDsFitAndKeepStepsApart(t *testing.T) {
	long := strings.Repeat("x", 60)
	seen := map[string]bool{}
	for _, id := range []string{"a", long, long + "y"} {
		for _, step := range []string{"", "remove", "again"} {
			got := requestID(id, step)
			if len(got) > maxRequestID || seen[got] {
				t.Errorf("%.5s… %q gives %q", id, step, got)
			}
			seen[got] = true
		}
	}
}

func TestProbe(t *testing.T) {
	c := newCompany(t)
	got, err := deliverer{}.Probe(t.Context(), c, integration.Account{Remote: "9130"})
	if err != nil || got != "9130" {
		t.Errorf("account %q, %v", got, err)
	}
	if _, err := (deliverer{}).Probe(t.Context(), c, integration.Account{}); fault.Of(err).Remedy == "" {
		t.Errorf("without a realm: %v", err)
	}
}

func TestRecordedObjectsAreRead(t *testing.T) {
	body := `{"Vendor":{"DisplayName":"Books","SyncToken":"0","Active":true,"Id":"30","Balance":0},"time":"x"}`
	r, err := deliverer{}.Read(operation(record.VerbUpsert, vendor, vendor, "{}", nil), integration.Request{}, answerOf(200, body))
	if err != nil || r.ID != "30" || r.Version != "0" || !r.Active || r.Type != vendor {
		t.Errorf("read %+v, %v", r, err)
	}
	_, err = deliverer{}.Read(operation(record.VerbUpsert, vendor, vendor, "{}", nil), integration.Request{}, answerOf(200, `{"Customer":{"Id":"1"}}`))
	if f := fault.Of(err); f == nil || !f.Unknown {
		t.Errorf("an answer without the object says nothing of its effect: %v", err)
	}
}
