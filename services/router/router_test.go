package router

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/integrations/hubspot"
	"github.com/fluxnex/fluxnex/integrations/quickbooks"
	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/stage"
	"github.com/fluxnex/fluxnex/schemas"
)

// registry is a schema registry in memory.
type registry struct {
	mu    sync.Mutex
	texts []string
}

func (r *registry) Register(_ context.Context, _, schema string) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.texts, schema); i >= 0 {
		return i + 1, nil
	}
	r.texts = append(r.texts, schema)
	return len(r.texts), nil
}

func (r *registry) SchemaByID(_ context.Context, id int) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id < 1 || id > len(r.texts) {
		return "", schemas.ErrUnknownID
	}
	return r.texts[id-1], nil
}

func (*registry) SetCompatibility(context.Context, string, string) error { return nil }

type control struct {
	snapshot *controlplane.Snapshot
	newer    *controlplane.Snapshot // what a refresh brings
	asked    []int64
}

func (c *control) Snapshot() *controlplane.Snapshot { return c.snapshot }

func (c *control) Refresh(_ context.Context, version int64) error {
	c.asked = append(c.asked, version)
	if c.newer == nil {
		return errors.New("postgres is away")
	}
	c.snapshot = c.newer
	return nil
}

type bed struct {
	stage   stage.Stage
	codecs  *schemas.Codecs
	control *control
	offset  int64
}

func topics() record.Topics { return record.Topics{Prefix: "test"} }

func clock() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }

func snapshot(version int64, routes []controlplane.Route, mappings ...controlplane.Mapping) *controlplane.Snapshot {
	return controlplane.NewSnapshot(version, clock(),
		[]controlplane.Tenant{{ID: "envoy", Slug: "envoylogistics"}},
		[]controlplane.Connection{
			{Tenant: "envoy", Name: "QB Logistics US", App: quickbooks.App, RemoteAccount: "9130", Settings: map[string]any{"item_ref": "1"}},
			{Tenant: "envoy", Name: "Marketing CRM", App: hubspot.App, RemoteAccount: "44"},
		}, routes, mappings)
}

func route(e canonical.Entity, target, when string) controlplane.Route {
	return controlplane.Route{Tenant: "envoy", Entity: e, Target: target, When: when}
}

func everywhere() []controlplane.Route {
	var out []controlplane.Route
	for _, e := range canonical.All() {
		out = append(out, route(e, "QB Logistics US", ""), route(e, "Marketing CRM", ""))
	}
	return out
}

func newBed(t *testing.T, s *controlplane.Snapshot) *bed {
	t.Helper()
	codecs, err := schemas.Open(t.Context(), &registry{}, topics(), []string{quickbooks.App, hubspot.App})
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{codecs: codecs, control: &control{snapshot: s}}
	b.stage, err = New(Config{Topics: topics()}, Deps{
		Codecs: codecs, Control: b.control, Now: clock,
		Integrations: map[string]*integration.Integration{quickbooks.App: quickbooks.New(), hubspot.App: hubspot.New()},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bed) record(t *testing.T, c *record.Canonical) stage.Record {
	t.Helper()
	value, err := b.codecs.Canonical.Append(nil, c)
	if err != nil {
		t.Fatal(err)
	}
	b.offset++
	return stage.Record{Topic: topics().Canonical(), Offset: b.offset, Key: []byte(c.Key()), Value: value}
}

// run computes one batch.
func (b *bed) run(t *testing.T, records ...stage.Record) stage.Result {
	t.Helper()
	w, err := b.stage.Begin(t.Context(), records)
	if err != nil {
		t.Fatal(err)
	}
	res, err := w.Compute(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Settled) != len(records) {
		t.Fatalf("%d records were settled of %d", len(res.Settled), len(records))
	}
	return res
}

type said struct {
	commands      []*record.OutboundCommand
	notifications []*record.Notification
	deadLetters   []*record.DeadLetter
}

func (b *bed) read(t *testing.T, res stage.Result) said {
	t.Helper()
	var out said
	for _, o := range res.Outputs {
		var err error
		switch o.Topic {
		case topics().Outbound(quickbooks.App), topics().Outbound(hubspot.App):
			var c *record.OutboundCommand
			if c, err = b.codecs.Outbound.Decode(t.Context(), o.Value); err == nil {
				out.commands = append(out.commands, c)
				if o.Topic != topics().Outbound(c.App) || string(o.Key) != string(c.Key()) {
					t.Errorf("a command for %s of %s lies on %s under %s", c.App, c.Key(), o.Topic, o.Key)
				}
			}
		case topics().Notification():
			var n *record.Notification
			if n, err = b.codecs.Notification.Decode(t.Context(), o.Value); err == nil {
				out.notifications = append(out.notifications, n)
			}
		case topics().DeadLetter():
			var d *record.DeadLetter
			if d, err = b.codecs.DeadLetter.Decode(t.Context(), o.Value); err == nil {
				out.deadLetters = append(out.deadLetters, d)
			}
		default:
			t.Errorf("output on %s", o.Topic)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// verbs is "target object verb" of every command.
func (s said) verbs() []string {
	var out []string
	for _, c := range s.commands {
		out = append(out, fmt.Sprintf("%s %s %s", c.App, c.Object, c.Verb))
	}
	return out
}

func entity(t testing.TB, e canonical.Entity, state record.EntityState, v any) record.CanonicalEntity {
	t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return record.CanonicalEntity{Entity: string(e), CanonicalID: "norm-1", State: state, Body: body}
}

func canonicalRecord(entities ...record.CanonicalEntity) *record.Canonical {
	return &record.Canonical{
		TenantID: "envoy", SourceApp: "revenova", RecordID: "revenova:0015g00000AbCdEAAV", EntityType: "sf_account",
		Status: record.StatusReady, Entities: entities, Revision: record.Revision{Offset: 7},
		SourceFields: []record.Field{{Name: "Credit_Hold__c", Kind: record.KindText, Value: "true"}},
		Lineage:      record.Lineage{GatewayTopic: "test.gateway", Offset: 7, GatewayID: "gw-101", ReceivedAt: clock()},
	}
}

func party() canonical.Party {
	return canonical.Party{SourceID: "0015g00000AbCdEAAV", Name: "Acme Trucking", Website: "https://WWW.Acme.example/x"}
}

func TestAVendorGoesToQuickBooksAndHubSpot(t *testing.T) {
	b := newBed(t, snapshot(3, everywhere()))
	res := b.run(t, b.record(t, canonicalRecord(entity(t, canonical.TMSVendor, record.EntityReady, canonical.Vendor{Party: party()}))))
	got := b.read(t, res)
	if want := []string{"hubspot companies upsert", "quickbooks Vendor upsert"}; !slices.Equal(got.verbs(), want) {
		t.Fatalf("commands %v, want %v; notifications %+v", got.verbs(), want, got.notifications)
	}
	qb := got.commands[1]
	if qb.TargetName != "QB Logistics US" || qb.Name != "Acme Trucking" || qb.ConfigVersion != 3 || !strings.HasPrefix(qb.GatewayID, "gw-qb-") {
		t.Errorf("command %+v", qb)
	}
	if want := `{"AcctNum":"0015g00000AbCdEAAV","CompanyName":"Acme Trucking","DisplayName":"Acme Trucking","PrintOnCheckName":"Acme Trucking","WebAddr":{"URI":"https://WWW.Acme.example/x"}}`; string(qb.Payload) != want {
		t.Errorf("QuickBooks gets %s, want %s", qb.Payload, want)
	}
	if want := `{"domain":"acme.example","fluxnex_record_id":"revenova:0015g00000AbCdEAAV","name":"Acme Trucking"}`; string(got.commands[0].Payload) != want {
		t.Errorf("HubSpot gets %s, want %s", got.commands[0].Payload, want)
	}
	if hops := qb.Lineage.Hops; len(hops) != 1 || hops[0].Stage != "router" || qb.Lineage.GatewayID != "gw-101" {
		t.Errorf("lineage %+v", qb.Lineage)
	}
	again := b.run(t, b.record(t, canonicalRecord(entity(t, canonical.TMSVendor, record.EntityReady, canonical.Vendor{Party: party()}))))
	if !reflect.DeepEqual(res.Outputs, again.Outputs) {
		t.Error("the same record made other commands the second time")
	}
}

func TestVendorAndCustomerAreOneCompanyAndTwoNames(t *testing.T) {
	b := newBed(t, snapshot(1, everywhere()))
	got := b.read(t, b.run(t, b.record(t, canonicalRecord(
		entity(t, canonical.TMSVendor, record.EntityReady, canonical.Vendor{Party: party()}),
		entity(t, canonical.TMSCustomer, record.EntityReady, canonical.Customer{Party: party()}),
	))))
	if want := []string{"hubspot companies upsert", "quickbooks Vendor upsert", "quickbooks Customer upsert"}; !slices.Equal(got.verbs(), want) {
		t.Fatalf("commands %v, want %v", got.verbs(), want)
	}
	if e := got.commands[0].Entities; len(e) != 2 {
		t.Errorf("the company is %v", e)
	}
	if got.commands[1].Name == got.commands[2].Name {
		t.Errorf("both are called %q", got.commands[1].Name)
	}
}

func TestEveryStateSaysSomething(t *testing.T) {
	vendor := canonical.Vendor{Party: party()}
	waiting := canonicalRecord(entity(t, canonical.TMSVendor, record.EntityReady, vendor))
	waiting.Status, waiting.Code = record.StatusWaiting, "missing_parent"
	failed := canonicalRecord(entity(t, canonical.TMSVendor, record.EntityReady, vendor))
	failed.Status, failed.Code = record.StatusFailed, "missing_field"
	withdrawn := entity(t, canonical.TMSVendor, record.EntityWithdrawn, vendor)
	withdrawn.Reason = "on hold"
	for name, c := range map[string]struct {
		record *record.Canonical
		verb   record.Verb
		reason string
	}{
		"waiting":                      {waiting, record.VerbWithdraw, "waiting: missing_parent"},
		"failed":                       {failed, record.VerbWithdraw, "failed: missing_field"},
		"withdrawn":                    {canonicalRecord(withdrawn), record.VerbWithdraw, "withdrawn: on hold"},
		"deleted":                      {canonicalRecord(entity(t, canonical.TMSVendor, record.EntityDeleted, vendor)), record.VerbDelete, "deleted at the source"},
		"deleted, nothing known of it": {canonicalRecord(record.CanonicalEntity{Entity: string(canonical.TMSVendor), State: record.EntityDeleted}), record.VerbDelete, "deleted at the source"},
	} {
		b := newBed(t, snapshot(1, everywhere()))
		got := b.read(t, b.run(t, b.record(t, c.record)))
		if len(got.commands) != 2 || len(got.notifications) != 0 {
			t.Errorf("%s: commands %v, notifications %v", name, got.verbs(), got.notifications)
			continue
		}
		for _, cmd := range got.commands {
			if cmd.Verb != c.verb || cmd.Reason != c.reason || len(cmd.Payload) != 0 {
				t.Errorf("%s: %s is %s %q with payload %q", name, cmd.Object, cmd.Verb, cmd.Reason, cmd.Payload)
			}
		}
	}
}

func TestOneRoleDeletedLeavesTheCompany(t *testing.T) {
	b := newBed(t, snapshot(1, everywhere()))
	got := b.read(t, b.run(t, b.record(t, canonicalRecord(
		entity(t, canonical.TMSVendor, record.EntityReady, canonical.Vendor{Party: party()}),
		entity(t, canonical.TMSCustomer, record.EntityDeleted, canonical.Customer{Party: party()}),
	))))
	if want := []string{"hubspot companies upsert", "quickbooks Vendor upsert", "quickbooks Customer delete"}; !slices.Equal(got.verbs(), want) {
		t.Errorf("commands %v, want %v", got.verbs(), want)
	}
	if name := got.commands[1].Name; name != "Acme Trucking (V)" {
		t.Errorf("the vendor is called %q: the customer keeps the name, even inactive", name)
	}
}

func TestFilteredRecordsAreTakenBack(t *testing.T) {
	b := newBed(t, snapshot(1, []controlplane.Route{
		route(canonical.TMSVendor, "QB Logistics US", `source.Credit_Hold__c != "true"`),
		route(canonical.TMSVendor, "Marketing CRM", `source.Credit_Hold__c != "true"`),
		route(canonical.TMSVendor, "Marketing CRM", `entity.name.startsWith("Acme")`), // either is enough
	}))
	got := b.read(t, b.run(t, b.record(t, canonicalRecord(entity(t, canonical.TMSVendor, record.EntityReady, canonical.Vendor{Party: party()})))))
	if want := []string{"hubspot companies upsert", "quickbooks Vendor withdraw"}; !slices.Equal(got.verbs(), want) {
		t.Errorf("commands %v, want %v", got.verbs(), want)
	}
}

func TestOverridesAndRequiredFields(t *testing.T) {
	m := controlplane.Mapping{
		Tenant: "envoy", Entity: canonical.TMSVendor, App: quickbooks.App, Version: 5,
		Fields:   map[string]string{"DisplayName": `entity.name + (source.Credit_Hold__c == "true" ? " (hold)" : "")`},
		Required: []string{"DisplayName"},
	}
	vendor := canonicalRecord(entity(t, canonical.TMSVendor, record.EntityReady, canonical.Vendor{Party: party()}))
	b := newBed(t, snapshot(5, everywhere(), m))
	got := b.read(t, b.run(t, b.record(t, vendor)))
	if c := got.commands[1]; c.Name != "Acme Trucking (hold)" || c.MappingVersion != 5 {
		t.Errorf("named %q by mapping version %d", c.Name, c.MappingVersion)
	}

	m.Required = append(m.Required, "TaxIdentifier")
	b = newBed(t, snapshot(6, everywhere(), m))
	got = b.read(t, b.run(t, b.record(t, vendor)))
	if want := []string{"hubspot companies upsert", "quickbooks Vendor withdraw"}; !slices.Equal(got.verbs(), want) {
		t.Errorf("commands %v, want %v", got.verbs(), want)
	}
	if len(got.notifications) != 1 || got.notifications[0].Code != "missing_field" || !strings.Contains(got.notifications[0].Message, "TaxIdentifier") {
		t.Errorf("notifications %+v", got.notifications)
	}
}

func TestABusinessErrorIsOneNotification(t *testing.T) {
	b := newBed(t, snapshot(1, everywhere()))
	nameless := canonicalRecord(entity(t, canonical.TMSVendor, record.EntityReady, canonical.Vendor{Party: canonical.Party{SourceID: "001"}}))
	later := *nameless
	later.Revision.Offset = 9
	res := b.run(t, b.record(t, nameless), b.record(t, &later))
	got := b.read(t, res)
	for _, c := range got.commands {
		if c.Verb != record.VerbWithdraw || c.Reason != "invalid: missing_field" {
			t.Errorf("%s: %s %q", c.Object, c.Verb, c.Reason)
		}
	}
	if len(got.notifications) != 4 {
		t.Fatalf("%d notifications for two revisions at two targets", len(got.notifications))
	}
	prints := map[string]int{}
	for _, n := range got.notifications {
		prints[n.Fingerprint]++
		if n.Audience != record.AudienceCustomer || n.Class != "business" || n.Remedy == "" || n.Target == "" || n.Stage != "router" {
			t.Errorf("notification %+v", n)
		}
	}
	if len(prints) != 2 {
		t.Errorf("fingerprints %v: one for each target, whatever the revision", prints)
	}
	if s := res.Settled[0]; s.Outcome != "invalid" || s.Class != fault.Business || s.Code != "missing_field" {
		t.Errorf("settled as %+v", s)
	}
}

func TestAnInvoiceRefersToItsCustomer(t *testing.T) {
	b := newBed(t, snapshot(1, everywhere()))
	inv := canonical.Invoice{Number: "INV-1", Customer: canonical.Ref{RecordID: "revenova:001", Entity: canonical.TMSCustomer}, Total: canonical.MustMoney("-5.00"), Lines: []canonical.Line{{Kind: "Freight", Amount: canonical.MustMoney("-5.00")}}}
	got := b.read(t, b.run(t, b.record(t, canonicalRecord(entity(t, canonical.TMSInvoice, record.EntityReady, inv)))))
	if len(got.commands) != 1 {
		t.Fatalf("commands %v", got.verbs())
	}
	c := got.commands[0]
	want := []record.Reference{{Path: "CustomerRef.value", RecordID: "revenova:001", Object: "Customer"}}
	if c.Object != "Invoice" || c.Type != "CreditMemo" || !reflect.DeepEqual(c.References, want) || c.DocumentNumber != "INV-1" {
		t.Errorf("%s as %s, number %q, references %+v", c.Object, c.Type, c.DocumentNumber, c.References)
	}
}

func TestUnreadableRecordsDoNotHarmTheirNeighbours(t *testing.T) {
	b := newBed(t, snapshot(1, everywhere()))
	good := b.record(t, canonicalRecord(entity(t, canonical.TMSVendor, record.EntityReady, canonical.Vendor{Party: party()})))
	bytes := stage.Record{Topic: topics().Canonical(), Offset: 90, Key: good.Key, Value: []byte{0, 1}}
	body := canonicalRecord(record.CanonicalEntity{Entity: string(canonical.TMSVendor), State: record.EntityReady, Body: []byte("[")})
	erased := stage.Record{Topic: topics().Canonical(), Offset: 92, Key: good.Key}
	res := b.run(t, bytes, good, b.record(t, body), erased)
	got := b.read(t, res)
	if len(got.commands) != 2 || len(got.deadLetters) != 2 || len(got.notifications) != 2 {
		t.Errorf("%d commands, %d dead letters, %d notifications", len(got.commands), len(got.deadLetters), len(got.notifications))
	}
	if len(got.deadLetters) > 0 {
		if d := got.deadLetters[0]; d.Offset != 90 || string(d.Value) != string(bytes.Value) || d.TenantID != "envoy" || d.Stage != "router" {
			t.Errorf("dead letter %+v", d)
		}
	}
	var outcomes []string
	for _, s := range res.Settled {
		outcomes = append(outcomes, s.Outcome)
	}
	if want := []string{"dead_letter", "routed", "dead_letter", "erased"}; !slices.Equal(outcomes, want) {
		t.Errorf("outcomes %v, want %v", outcomes, want)
	}
}

func TestARecordThatNeedsNewerConfigurationWaitsForIt(t *testing.T) {
	b := newBed(t, snapshot(1, nil))
	c := canonicalRecord(entity(t, canonical.TMSVendor, record.EntityReady, canonical.Vendor{Party: party()}))
	c.ConfigVersion = 2
	in := []stage.Record{b.record(t, c)}
	if _, err := b.stage.Begin(t.Context(), in); fault.Of(err).Class != fault.Retryable {
		t.Errorf("with the control plane away: %v", err)
	}
	b.control.newer = snapshot(2, everywhere())
	if got := b.read(t, b.run(t, in...)); len(got.commands) != 2 || got.commands[0].ConfigVersion != 2 {
		t.Errorf("commands %v", got.verbs())
	}
	if !slices.Equal(b.control.asked, []int64{2, 2}) {
		t.Errorf("asked for versions %v", b.control.asked)
	}
}

func TestTenantsThatAreNotThereAreNotRouted(t *testing.T) {
	b := newBed(t, snapshot(1, everywhere()))
	c := canonicalRecord(entity(t, canonical.TMSVendor, record.EntityReady, canonical.Vendor{Party: party()}))
	c.TenantID = "gone"
	if res := b.run(t, b.record(t, c)); len(res.Outputs) != 0 || res.Settled[0].Outcome != "unrouted" {
		t.Errorf("%d outputs, settled %+v", len(res.Outputs), res.Settled)
	}
}

func BenchmarkVendor(b *testing.B) {
	codecs, err := schemas.Open(b.Context(), &registry{}, topics(), []string{quickbooks.App, hubspot.App})
	if err != nil {
		b.Fatal(err)
	}
	s, err := New(Config{Topics: topics()}, Deps{
		Codecs: codecs, Control: &control{snapshot: snapshot(1, everywhere())}, Now: clock,
		Integrations: map[string]*integration.Integration{quickbooks.App: quickbooks.New(), hubspot.App: hubspot.New()},
	})
	if err != nil {
		b.Fatal(err)
	}
	c := canonicalRecord(entity(b, canonical.TMSVendor, record.EntityReady, canonical.Vendor{Party: party()}))
	value, err := codecs.Canonical.Append(nil, c)
	if err != nil {
		b.Fatal(err)
	}
	batch := make([]stage.Record, 100)
	for i := range batch {
		batch[i] = stage.Record{Offset: int64(i), Key: []byte(c.Key()), Value: value}
	}
	b.ReportAllocs()
	for b.Loop() {
		w, err := s.Begin(b.Context(), batch)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Compute(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
