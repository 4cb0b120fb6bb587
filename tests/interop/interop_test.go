package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/integrations/hubspot"
	"github.com/fluxnex/fluxnex/integrations/integrationtest"
	"github.com/fluxnex/fluxnex/integrations/quickbooks"
	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/sandbox"
)

// line is one connection to the sandbox.
type line struct {
	t       *testing.T
	base    string
	token   string
	app     *integration.Integration
	account integration.Account
	serial  int
}

func (l *line) Call(ctx context.Context, req integration.Request) (integration.Answer, error) {
	u := l.base + req.Path
	if req.Query != "" {
		u += "?" + req.Query
	}
	r, err := http.NewRequestWithContext(ctx, req.Method, u, strings.NewReader(string(req.Body)))
	if err != nil {
		return integration.Answer{}, err
	}
	maps.Copy(r.Header, req.Header)
	r.Header.Set("Authorization", "Bearer "+l.token)
	if req.ContentType != "" {
		r.Header.Set("Content-Type", req.ContentType)
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
	return a, l.app.Deliver.Classify(a)
}

// do runs an operation to its end. Before each request is sent it is looked
// for, and after: the effect must be found only then.
func (l *line) do(op integration.Operation) (*integration.Remote, error) {
	l.t.Helper()
	healed := false
	for range 8 {
		l.serial++
		op.RequestID = fmt.Sprintf("request-%d", l.serial)
		step, err := l.app.Deliver.Prepare(op)
		if err != nil {
			return nil, err
		}
		if step.Done {
			return step.Remote, nil
		}
		a, err := l.Call(l.t.Context(), step.Request)
		if fault.Of(err) != nil && fault.Of(err).Class == fault.Conflict {
			now, err := l.app.Deliver.Latest(l.t.Context(), l, op)
			if err != nil || now == nil {
				return now, fmt.Errorf("latest: %w", err)
			}
			if op.Payload, _, err = l.app.Deliver.Merge(op, *now); err != nil {
				return nil, err
			}
			op.Applied = now
			continue
		}
		if recoverer, ok := l.app.Deliver.(integration.Recoverer); ok && err != nil && !healed {
			healed = true
			now, failed := recoverer.Recover(l.t.Context(), l, op, err)
			if failed != nil {
				return nil, failed
			}
			if now != nil {
				op.Applied = now
				continue
			}
		}
		if err != nil {
			return op.Applied, err
		}
		if r, err := l.app.Deliver.Resolve(l.t.Context(), l, op, step.Request); err != nil || r == nil && step.Request.Method != http.MethodPut {
			l.t.Errorf("%s %s %s: its effect is not found (%v)", step.Request.Method, step.Request.Path, step.Request.Body, err)
		}
		r, err := l.app.Deliver.Read(op, step.Request, a)
		if err != nil {
			return nil, err
		}
		op.Applied = &r
		if step.Final {
			return &r, nil
		}
	}
	return nil, errors.New("not complete after 8 steps")
}

// operation maps, validates and resolves references to what was delivered.
func (l *line) operation(id record.ID, verb record.Verb, e integration.Entity, known map[string]string, applied *integration.Remote) integration.Operation {
	l.t.Helper()
	objects := l.app.Map.Objects(integration.Source{RecordID: id, Entities: []integration.Entity{e}}, l.account)
	if len(objects) != 1 {
		l.t.Fatalf("%s became %d objects", e.Entity, len(objects))
	}
	o := &objects[0]
	if p := append(l.app.Map.Validate(o), o.Problems...); len(p) > 0 {
		l.t.Fatalf("%s: %+v", e.Entity, p)
	}
	for _, r := range o.References {
		if known[r.Object] == "" {
			l.t.Fatalf("%s needs a %s first", o.Type, r.Object)
		}
		if err := integration.Set(o.Payload, r.Path, known[r.Object]); err != nil {
			l.t.Fatal(err)
		}
	}
	payload, err := json.Marshal(o.Payload)
	if err != nil {
		l.t.Fatal(err)
	}
	return integration.Operation{Account: l.account, RecordID: id, Object: o.Object, Type: o.Type, Verb: verb, Payload: payload, Applied: applied}
}

// start serves a sandbox of what seed holds; nil is the example.
func start(t *testing.T, seed *sandbox.Seed) string {
	t.Helper()
	s, err := sandbox.New(sandbox.Config{Limits: "off", Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return server.URL
}

func quickBooks(t *testing.T) *line {
	t.Helper()
	base := start(t, nil)
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {sandbox.ExampleQuickBooksRefreshToken}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/oauth2/v1/tokens/bearer", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(sandbox.ExampleQuickBooksClientID, sandbox.ExampleQuickBooksClientSecret)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(a.Body).Decode(&token); err != nil || token.AccessToken == "" {
		t.Fatalf("no access token: %d, %v", a.StatusCode, err)
	}
	return &line{t: t, base: base, token: token.AccessToken, app: quickbooks.New(), account: integration.Account{
		Remote:   sandbox.ExampleRealm,
		Settings: integration.Settings{"home_currency": "USD", "item_ref": "1", "expense_account_ref": "3", "terms": map[string]any{"30": "3"}},
	}}
}

func hubSpot(t *testing.T) *line {
	t.Helper()
	return &line{t: t, base: start(t, nil), token: sandbox.ExampleHubSpotPrivateToken, app: hubspot.New(), account: integration.Account{Remote: sandbox.ExamplePortal}}
}

func TestProbes(t *testing.T) {
	for _, l := range []*line{quickBooks(t), hubSpot(t)} {
		got, err := l.app.Deliver.Probe(t.Context(), l, l.account)
		if err != nil || got != l.account.Remote {
			t.Errorf("%s: account %q, %v", l.app.App, got, err)
		}
	}
}

// TestEveryEntityLives creates, changes, removes and brings back one of each.
func TestEveryEntityLives(t *testing.T) {
	for _, l := range []*line{quickBooks(t), hubSpot(t)} {
		known := map[string]string{}
		for _, e := range integrationtest.Whole() {
			if l.app.Map.Of(e.Entity) == "" {
				continue
			}
			if v, ok := e.Value.(*canonical.Vendor); ok {
				v.Name, v.DBAName = "Acme Vendor", "Acme Vendor"
			}
			name := l.app.App + " " + string(e.Entity)
			id := record.NewID("revenova", string(e.Entity))
			op := l.operation(id, record.VerbUpsert, e, known, nil)
			made, err := l.do(op)
			if err != nil || made == nil || made.ID == "" || !made.Active {
				t.Errorf("%s: made %+v, %v", name, made, err)
				continue
			}
			known[op.Object] = made.ID

			l.serial += 100
			again, err := l.do(op)
			if err != nil && fault.Of(err).Class != fault.Business || err == nil && op.Object != "Invoice" && op.Object != "Bill" && again.ID != made.ID {
				t.Errorf("%s: a second creation made %+v, %v", name, again, err)
			}

			op = l.operation(id, record.VerbUpsert, e, known, made)
			op.AppliedPayload = op.Payload
			changed, err := l.do(op)
			if err != nil || changed.ID != made.ID {
				t.Errorf("%s: changed %+v, %v", name, changed, err)
				continue
			}
			op.Verb, op.Applied = record.VerbDelete, changed
			gone, err := l.do(op)
			if err != nil || gone.Active {
				t.Errorf("%s: removed %+v, %v", name, gone, err)
				continue
			}
			op.Verb, op.Applied = record.VerbUpsert, gone
			back, err := l.do(op)
			if err != nil || !back.Active {
				t.Errorf("%s: brought back %+v, %v", name, back, err)
				continue
			}
			known[op.Object] = back.ID
		}
	}
}

func TestQuickBooksSignFlip(t *testing.T) {
	l := quickBooks(t)
	known := map[string]string{}
	for _, e := range integrationtest.Whole() {
		id := record.NewID("revenova", string(e.Entity))
		switch v := e.Value.(type) {
		case *canonical.Customer:
			v.DBAName = "A customer"
		case *canonical.Vendor:
			v.DBAName = "A vendor"
		case *canonical.Invoice, *canonical.Bill:
		default:
			continue
		}
		op := l.operation(id, record.VerbUpsert, e, known, nil)
		made, err := l.do(op)
		if err != nil {
			t.Fatalf("%s: %v", e.Entity, err)
		}
		known[op.Object] = made.ID
		for range 2 {
			switch v := e.Value.(type) {
			case *canonical.Invoice:
				negate(&v.Total, v.Lines)
			case *canonical.Bill:
				negate(&v.Total, v.Lines)
			default:
				continue
			}
			next := l.operation(id, record.VerbUpsert, e, known, made)
			next.AppliedPayload = op.Payload
			now, err := l.do(next)
			if err != nil || now.Type == made.Type || now.Type != next.Type {
				t.Fatalf("%s: from %+v to %+v, %v", e.Entity, made, now, err)
			}
			made, op = now, next
		}
	}
}

func negate(total *canonical.Money, lines []canonical.Line) {
	*total = total.Neg()
	for i := range lines {
		lines[i].Amount = lines[i].Amount.Neg()
	}
}

func TestQuickBooksStaleTokenKeepsAPersonsEdit(t *testing.T) {
	l := quickBooks(t)
	e := integrationtest.Whole()[0]
	op := l.operation("revenova:1", record.VerbUpsert, e, nil, nil)
	made, err := l.do(op)
	if err != nil {
		t.Fatal(err)
	}
	person := integration.Request{
		Method: http.MethodPost, Path: "/v3/company/" + sandbox.ExampleRealm + "/vendor", ContentType: "application/json",
		Body: []byte(fmt.Sprintf(`{"Id":%q,"SyncToken":%q,"sparse":true,"PrimaryPhone":{"FreeFormNumber":"by hand"}}`, made.ID, made.Version)),
	}
	if _, err := l.Call(t.Context(), person); err != nil {
		t.Fatal(err)
	}
	e.Value.(*canonical.Vendor).Website = "new.example"
	next := l.operation("revenova:1", record.VerbUpsert, e, nil, made)
	next.AppliedPayload = op.Payload
	now, err := l.do(next)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"by hand"`, `https://new.example`} {
		if !strings.Contains(string(now.Body), want) {
			t.Errorf("after the merge the vendor lacks %s: %s", want, now.Body)
		}
	}
}

// TestQuickBooksAccountBecomesACustomerToo: the vendor has the name until it is
// renamed; the customer's creation waits for that and needs nobody.
func TestQuickBooksAccountBecomesACustomerToo(t *testing.T) {
	l := quickBooks(t)
	both := integrationtest.Whole()[:2]
	id := record.ID("revenova:0015g00000AbCdEAAV")
	first := l.operation(id, record.VerbUpsert, both[0], nil, nil)
	made, err := l.do(first)
	if err != nil {
		t.Fatal(err)
	}
	objects := l.app.Map.Objects(integration.Source{RecordID: id, Entities: both}, l.account)
	var ops []integration.Operation
	for _, o := range objects {
		payload, err := json.Marshal(o.Payload)
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, integration.Operation{Account: l.account, RecordID: id, Object: o.Object, Type: o.Type, Verb: record.VerbUpsert, Payload: payload})
	}
	if _, err := l.do(ops[1]); fault.Of(err) == nil || fault.Of(err).Class != fault.Retryable {
		t.Fatalf("the customer before the vendor is renamed: %v", err)
	}
	ops[0].Applied, ops[0].AppliedPayload = made, first.Payload
	if _, err := l.do(ops[0]); err != nil {
		t.Fatal(err)
	}
	if c, err := l.do(ops[1]); err != nil || !c.Active {
		t.Errorf("the customer after that: %+v, %v", c, err)
	}
}
