package replica_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/integrations"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/stage"
	"github.com/fluxnex/fluxnex/schemas"
	"github.com/fluxnex/fluxnex/services/replica"
)

const (
	acme       = "0015g00000AbCdEAAV"
	generation = 3
)

// bench drives the stage as the runner does, one partition, with the view in a
// map.
type bench struct {
	t       *testing.T
	stage   *replica.Stage
	codecs  *schemas.Codecs
	topics  record.Topics
	now     time.Time
	offset  int64
	view    map[record.Key][]byte
	users   users
	inbox   inbox
	out     []stage.Output // of the last batch
	settled []stage.Settled
}

type users map[record.Key]map[record.Key]string

func (u users) Of(_ context.Context, parents []record.Key) (map[record.Key]map[record.Key]string, error) {
	out := map[record.Key]map[record.Key]string{}
	for _, p := range parents {
		if len(u[p]) > 0 {
			out[p] = u[p]
		}
	}
	return out, nil
}

type inbox []record.GatewayEvent

func (b *inbox) Send(_ context.Context, events []record.GatewayEvent, _ []kafka.Header) ([]kafka.Position, error) {
	*b = append(*b, events...)
	return make([]kafka.Position, len(events)), nil
}

func lookup(app string) (*integration.Integration, bool) {
	i, ok := integrations.Lookup(app)
	return &i, ok
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), view: map[record.Key][]byte{}, users: users{}}
	var err error
	if b.codecs, err = schemas.Open(t.Context(), schemas.NewMemoryRegistry(), b.topics, []string{"quickbooks"}); err != nil {
		t.Fatal(err)
	}
	b.stage = replica.New(replica.Config{Generation: generation}, replica.Deps{
		Codecs: b.codecs, Integrations: lookup, Dependents: b.users, Inbox: &b.inbox,
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return b.now },
	})
	return b
}

// Get implements stage.Views.
func (b *bench) Get(v stage.View, k record.Key) []byte {
	if v != stage.ViewReplica {
		b.t.Errorf("the stage asks view %q", v)
	}
	return b.view[k]
}

func (b *bench) raw(key record.Key, value []byte) stage.Record {
	b.offset++
	return stage.Record{Topic: b.topics.Gateway(), Partition: 4, Offset: b.offset, Key: []byte(key), Value: value, Timestamp: b.now}
}

func (b *bench) encode(e record.GatewayEvent) stage.Record {
	b.t.Helper()
	value, err := b.codecs.Gateway.Append(nil, &e)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.raw(e.Key(), value)
}

// run is one batch: compute, commit, apply, settle.
func (b *bench) run(batch ...stage.Record) {
	b.t.Helper()
	work, err := b.stage.Begin(b.t.Context(), batch)
	if err != nil {
		b.t.Fatal(err)
	}
	work.Lookups(b)
	res, err := work.Compute(b.t.Context(), b)
	if err != nil {
		b.t.Fatal(err)
	}
	b.out, b.settled = res.Outputs, res.Settled
	var changes []stage.Change
	for _, o := range res.Outputs {
		if o.Topic == b.topics.Replica() {
			b.view[record.Key(o.Key)] = o.Value
			changes = append(changes, stage.Change{Key: record.Key(o.Key), Value: o.Value, Partition: 4})
		}
	}
	if err := b.stage.Settle(b.t.Context(), changes); err != nil {
		b.t.Fatal(err)
	}
}

// send is one event in a batch of its own.
func (b *bench) send(events ...record.GatewayEvent) string {
	b.t.Helper()
	for _, e := range events {
		b.run(b.encode(e))
	}
	return b.settled[len(b.settled)-1].Outcome
}

func key(id string) record.Key { return record.KeyOf("envoy", record.NewID("revenova", id)) }

func (b *bench) state(id string) *record.Replica {
	b.t.Helper()
	value := b.view[key(id)]
	if value == nil {
		return nil
	}
	r, err := b.codecs.Replica.Decode(b.t.Context(), value)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// fetches lists the reasons of the last batch's fetch requests.
func (b *bench) fetches() string {
	b.t.Helper()
	var out []string
	for _, o := range b.out {
		if o.Topic == b.topics.FetchRequest() {
			f, err := b.codecs.FetchRequest.Decode(b.t.Context(), o.Value)
			if err != nil {
				b.t.Fatal(err)
			}
			if string(o.Key) != string(f.Key()) {
				b.t.Errorf("the request's key is %s, the record's %s", o.Key, f.Key())
			}
			out = append(out, string(f.Reason)+" "+f.EntityType)
		}
	}
	return strings.Join(out, ", ")
}

func (b *bench) count(topic string) int {
	n := 0
	for _, o := range b.out {
		if o.Topic == topic {
			n++
		}
	}
	return n
}

// event is a webhook about acme.
func (b *bench) event(origin record.Origin, format, payload string) record.GatewayEvent {
	return record.GatewayEvent{
		TenantID: "envoy", SourceApp: "revenova", RecordID: record.NewID("revenova", acme),
		GatewayID: fmt.Sprintf("gw-%d", b.offset+1), Origin: origin, ReceivedAt: b.now,
		Format: format, Outcome: record.OutcomePayload, Payload: []byte(payload),
	}
}

// account is a REST-shaped observation: partial, with the version given as
// seconds of one minute; "" gives none.
func (b *bench) account(origin record.Origin, second string, fields ...string) record.GatewayEvent {
	var p strings.Builder
	p.WriteString(`{"attributes":{"type":"Account"},"Id":"` + acme + `"`)
	if second != "" {
		p.WriteString(`,"SystemModstamp":"2026-11-24T11:00:` + second + `.000Z"`)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		if value == "null" {
			p.WriteString(`,"` + name + `":null`)
			continue
		}
		p.WriteString(`,"` + name + `":"` + value + `"`)
	}
	return b.event(origin, "rest", p.String()+"}")
}

func (b *bench) wants(id string, presence record.Presence, fields ...string) {
	b.t.Helper()
	r := b.state(id)
	if r == nil {
		b.t.Fatalf("nothing is known of %s", id)
	}
	if r.Presence != presence {
		b.t.Errorf("presence %q, want %q", r.Presence, presence)
	}
	for _, f := range fields {
		name, want, _ := strings.Cut(f, "=")
		got, ok := r.Field(name)
		switch {
		case want == "?" && ok:
			b.t.Errorf("%s = %q, want none", name, got.Value)
		case want != "?" && want != "null" && got.Value != want:
			b.t.Errorf("%s = %q, want %q", name, got.Value, want)
		case want == "null" && got.Kind != record.KindNull:
			b.t.Errorf("%s = %+v, want null", name, got)
		}
	}
}

func TestMerge(t *testing.T) {
	web, fetch := record.OriginWebhook, record.OriginFetch
	for _, tc := range []struct {
		name    string
		events  func(b *bench) []record.GatewayEvent
		want    []string
		outcome string // of the last event
		fetches string // of the last event
	}{
		{"a partial field set blanks nothing", func(b *bench) []record.GatewayEvent {
			return []record.GatewayEvent{b.account(web, "01", "Name=Acme", "Phone=1"), b.account(web, "02", "Phone=2")}
		}, []string{"Name=Acme", "Phone=2"}, "applied", ""},
		{"null is a value", func(b *bench) []record.GatewayEvent {
			return []record.GatewayEvent{b.account(web, "01", "Name=Acme", "Phone=1"), b.account(web, "02", "Phone=null")}
		}, []string{"Name=Acme", "Phone=null"}, "applied", ""},
		{"an older event never wins", func(b *bench) []record.GatewayEvent {
			return []record.GatewayEvent{b.account(web, "02", "Phone=2"), b.account(web, "01", "Phone=1")}
		}, []string{"Phone=2"}, "outdated", ""},
		{"an older event adds the fields nobody knew", func(b *bench) []record.GatewayEvent {
			return []record.GatewayEvent{b.account(web, "02", "Phone=2"), b.account(web, "01", "Phone=1", "Fax=9")}
		}, []string{"Phone=2", "Fax=9"}, "applied", ""},
		{"versions are kept per field", func(b *bench) []record.GatewayEvent {
			return []record.GatewayEvent{
				b.account(web, "01", "Name=Old", "Phone=1"), b.account(web, "03", "Phone=3"), b.account(web, "02", "Name=New", "Phone=2"),
			}
		}, []string{"Name=New", "Phone=3"}, "applied", ""},
		{"two partial sets of one save are no tie", func(b *bench) []record.GatewayEvent {
			return []record.GatewayEvent{b.account(web, "01", "Name=Acme"), b.account(web, "01", "Phone=1")}
		}, []string{"Name=Acme", "Phone=1"}, "applied", ""},
		{"two values at one version are applied and fetched", func(b *bench) []record.GatewayEvent {
			return []record.GatewayEvent{b.account(web, "01", "Phone=1"), b.account(web, "01", "Phone=2")}
		}, []string{"Phone=2"}, "applied", "tie sf_account"},
		{"what the source answers settles a tie", func(b *bench) []record.GatewayEvent {
			return []record.GatewayEvent{b.account(web, "01", "Phone=1"), b.account(web, "01", "Phone=2"), b.account(fetch, "01", "Phone=1")}
		}, []string{"Phone=1"}, "applied", ""},
		{"a late answer does not win over a newer event", func(b *bench) []record.GatewayEvent {
			return []record.GatewayEvent{b.account(web, "02", "Phone=2"), b.account(fetch, "01", "Phone=1")}
		}, []string{"Phone=2"}, "outdated", ""},
		{"the same event again changes nothing", func(b *bench) []record.GatewayEvent {
			return []record.GatewayEvent{b.account(web, "01", "Phone=1"), b.account(web, "01", "Phone=1")}
		}, []string{"Phone=1"}, "unchanged", ""},
		{"an event without version is fetched", func(b *bench) []record.GatewayEvent {
			return []record.GatewayEvent{b.account(web, "", "Phone=1")}
		}, []string{"Phone=1"}, "applied", "unversion sf_account"},
		{"an event without version does not win over one with", func(b *bench) []record.GatewayEvent {
			return []record.GatewayEvent{b.account(web, "01", "Phone=1"), b.account(web, "", "Phone=2")}
		}, []string{"Phone=1"}, "outdated", "unversion sf_account"},
		{"unversioned events follow each other", func(b *bench) []record.GatewayEvent {
			return []record.GatewayEvent{b.account(web, "", "Phone=1"), b.account(web, "", "Phone=2")}
		}, []string{"Phone=2"}, "applied", "unversion sf_account"},
		{"an unversioned value stays older when the record gets a version", func(b *bench) []record.GatewayEvent {
			return []record.GatewayEvent{b.account(web, "", "Phone=1", "Fax=1"), b.account(web, "02", "Name=Acme"), b.account(web, "01", "Phone=2")}
		}, []string{"Phone=2", "Fax=1", "Name=Acme"}, "applied", ""},
		{"a new field needs no migration", func(b *bench) []record.GatewayEvent {
			return []record.GatewayEvent{b.account(web, "01", "Name=Acme"), b.account(web, "02", "Brand_New__c=x")}
		}, []string{"Name=Acme", "Brand_New__c=x"}, "applied", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			outcome := b.send(tc.events(b)...)
			b.wants(acme, record.PresenceLive, tc.want...)
			if outcome != tc.outcome || b.fetches() != tc.fetches {
				t.Errorf("outcome %q, fetches %q; want %q and %q", outcome, b.fetches(), tc.outcome, tc.fetches)
			}
		})
	}
}

func TestOneNumberWrittenInTwoWaysIsNoTie(t *testing.T) {
	b := newBench(t)
	b.send(b.account(record.OriginWebhook, "01", "AnnualRevenue=45000.0", "CreatedDate=2026-05-08T13:40:22.000Z"))
	outcome := b.send(b.event(record.OriginWebhook, "rest", `{"attributes":{"type":"Account"},"Id":"`+acme+
		`","SystemModstamp":"2026-11-24T11:00:01.000+0000","AnnualRevenue":45000,"CreatedDate":"2026-05-08T13:40:22.000+0000"}`))
	if outcome != "unchanged" || b.fetches() != "" {
		t.Errorf("outcome %q, fetches %q", outcome, b.fetches())
	}
	b.wants(acme, record.PresenceLive, "AnnualRevenue=45000.0")
}

const deleted = `{"ChangeEventHeader":{"entityName":"Account","changeType":"DELETE","commitTimestamp":%d,"recordIds":["` + acme + `"]}}`

func (b *bench) deletion(second int) record.GatewayEvent {
	at := time.Date(2026, 11, 24, 11, 0, second, 0, time.UTC)
	return b.event(record.OriginWebhook, "cdc", fmt.Sprintf(deleted, at.UnixMilli()))
}

func TestADeleteHasAVersion(t *testing.T) {
	b := newBench(t)
	b.send(b.account(record.OriginWebhook, "01", "Name=Acme"))
	if outcome := b.send(b.deletion(5)); outcome != "deleted" {
		t.Errorf("outcome %q", outcome)
	}
	b.wants(acme, record.PresenceDeleted, "Name=Acme")
	b.send(b.account(record.OriginWebhook, "03", "Name=Older"))
	b.wants(acme, record.PresenceDeleted)
	b.send(b.account(record.OriginWebhook, "07", "Name=Restored"))
	b.wants(acme, record.PresenceLive, "Name=Restored")
	b.send(b.deletion(6))
	b.wants(acme, record.PresenceLive, "Name=Restored")
}

func TestAbsentAndFailedAreStatesAndALaterArrivalRevives(t *testing.T) {
	b := newBench(t)
	answer := b.event(record.OriginFetch, "", "")
	answer.Outcome, answer.Detail = record.OutcomeFailed, "HTTP 403"
	b.send(answer)
	b.wants(acme, record.PresenceFailed)
	answer.Outcome, answer.Detail = record.OutcomeAbsent, "no such record"
	b.send(answer)
	b.wants(acme, record.PresenceAbsent)
	if r := b.state(acme); r.Detail != "no such record" {
		t.Errorf("detail %q", r.Detail)
	}
	b.send(b.account(record.OriginWebhook, "01", "Name=Acme"))
	b.wants(acme, record.PresenceLive, "Name=Acme")
	answer.Outcome = record.OutcomeFailed
	b.send(answer)
	b.wants(acme, record.PresenceLive, "Name=Acme")
}

// A fetch can be asked before the record is made and answered after its webhook.
func TestAnAbsenceRightAfterAWebhookIsDoubted(t *testing.T) {
	b := newBench(t)
	b.send(b.account(record.OriginWebhook, "01", "Name=Acme"))
	b.now = b.now.Add(5 * time.Second)
	answer := b.event(record.OriginFetch, "", "")
	answer.Outcome = record.OutcomeAbsent
	b.send(answer)
	b.wants(acme, record.PresenceLive)
	if b.fetches() != "repair sf_account" {
		t.Errorf("fetches %q", b.fetches())
	}
	b.now = b.now.Add(2 * time.Minute)
	answer.ReceivedAt = b.now
	b.send(answer)
	b.wants(acme, record.PresenceAbsent)
}

func TestAWakeEmitsTheCurrentStateWithANewRevision(t *testing.T) {
	b := newBench(t)
	b.send(b.account(record.OriginWebhook, "01", "Name=Acme"))
	before := b.state(acme)
	wake := b.event(record.OriginWake, "", "")
	wake.Outcome = record.OutcomeNone
	if outcome := b.send(wake); outcome != "refreshed" {
		t.Errorf("outcome %q", outcome)
	}
	after := b.state(acme)
	if after.Revision.Compare(before.Revision) <= 0 || after.Revision.Generation != generation {
		t.Errorf("revision %s after %s", after.Revision, before.Revision)
	}
	if after.Text("Name") != "Acme" || after.Version != before.Version {
		t.Errorf("the wake changed the state: %+v", after)
	}
	if len(after.Lineage.Recent) != 1 || after.Lineage.Recent[0] != before.Revision.Offset {
		t.Errorf("recent offsets %v, want only the webhook's", after.Lineage.Recent)
	}
	stranger := wake
	stranger.RecordID = "revenova:nobody"
	if outcome := b.send(stranger); outcome != "unknown" || len(b.out) != 0 {
		t.Errorf("outcome %q with %d outputs", outcome, len(b.out))
	}
}

func TestAKeyTwiceInOneBatchSeesItsOwnFirstResult(t *testing.T) {
	b := newBench(t)
	b.run(
		b.encode(b.account(record.OriginWebhook, "01", "Name=Acme")),
		b.encode(b.account(record.OriginWebhook, "02", "Phone=2")),
	)
	b.wants(acme, record.PresenceLive, "Name=Acme", "Phone=2")
	if n := b.count(b.topics.Replica()); n != 2 {
		t.Errorf("%d states were written", n)
	}
}

func TestUnreadableEventsBecomeDeadLettersAndNeighboursGoOn(t *testing.T) {
	b := newBench(t)
	b.send(b.account(record.OriginWebhook, "01", "Name=Acme"))
	whole := b.event(record.OriginWebhook, "", "<broken")
	whole.RecordID, whole.GatewayID = "revenova:gw-77", "gw-77"
	bad := b.event(record.OriginWebhook, "outbound-message", "<Notification")
	batch := []stage.Record{
		b.encode(whole), b.encode(bad), b.raw(key(acme), []byte("no avro")),
		b.encode(b.account(record.OriginWebhook, "02", "Phone=2")),
	}
	b.run(batch...)
	b.wants(acme, record.PresenceLive, "Name=Acme", "Phone=2")
	if d, n := b.count(b.topics.DeadLetter()), b.count(b.topics.Notification()); d != 3 || n != 3 {
		t.Errorf("%d dead letters and %d notifications, want 3 of each", d, n)
	}
	if b.fetches() != "repair sf_account" {
		t.Errorf("fetches %q: the known record is repaired", b.fetches())
	}
	for _, o := range b.out {
		if o.Topic != b.topics.DeadLetter() {
			continue
		}
		d, err := b.codecs.DeadLetter.Decode(t.Context(), o.Value)
		if err != nil {
			t.Fatal(err)
		}
		if string(d.Value) != string(batch[o.Input].Value) || d.Offset != batch[o.Input].Offset || d.Code == "" {
			t.Errorf("the letter does not hold what came: %+v", d)
		}
	}
}

func TestChildrenWakeOnlyIfTheFieldsTheyUsedChanged(t *testing.T) {
	b := newBench(t)
	load := func(second, fields string) record.GatewayEvent {
		return b.event(record.OriginWebhook, "rest", `{"attributes":{"type":"rtms__Load__c"},"Id":"`+acme+
			`","SystemModstamp":"2026-11-24T11:00:`+second+`.000Z",`+fields+`}`)
	}
	child := key("invoice")
	b.users[key(acme)] = map[record.Key]string{child: record.MissingParent}
	b.send(load("01", `"Name":"L-1","rtms__Total_Weight__c":1`))
	if len(b.inbox) != 1 || b.inbox[0].Key() != child || b.inbox[0].Origin != record.OriginWake || b.inbox[0].Outcome != record.OutcomeNone {
		t.Fatalf("woken: %+v", b.inbox)
	}
	app, _ := integrations.Lookup("revenova")
	b.users[key(acme)][child] = record.Digest(b.state(acme), app.Normalize.Used("sf_rtms__load__c"))
	b.inbox = nil
	b.send(load("02", `"rtms__Total_Weight__c":2`))
	if len(b.inbox) != 0 {
		t.Errorf("a field nobody uses woke %+v", b.inbox)
	}
	b.send(load("03", `"rtms__Bill_To__c":"0015g00000AbCdFAAV"`))
	if len(b.inbox) != 1 {
		t.Errorf("a changed bill-to woke %d children", len(b.inbox))
	}
}

// A parent that the source does not have is no silence: it is a state, and its
// children hear of it like of any other.
func TestAParentThatIsGoneWakesItsChildren(t *testing.T) {
	for name, gone := range map[string]func(*bench) record.GatewayEvent{
		"absent": func(b *bench) record.GatewayEvent {
			e := b.event(record.OriginFetch, "", "")
			e.Outcome, e.Detail = record.OutcomeAbsent, "HTTP 404"
			return e
		},
		"failed": func(b *bench) record.GatewayEvent {
			e := b.event(record.OriginFetch, "", "")
			e.Outcome, e.Detail = record.OutcomeFailed, "HTTP 403"
			return e
		},
		"deleted": func(b *bench) record.GatewayEvent {
			b.send(b.account(record.OriginWebhook, "01", "Name=Acme"))
			app, _ := integrations.Lookup("revenova")
			b.users[key(acme)][key("invoice")] = record.Digest(b.state(acme), app.Normalize.Used("sf_account"))
			b.inbox = nil
			return b.deletion(5)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.users[key(acme)] = map[record.Key]string{key("invoice"): record.MissingParent}
			b.send(gone(b))
			if len(b.inbox) != 1 || b.inbox[0].Key() != key("invoice") || b.inbox[0].Origin != record.OriginWake {
				t.Errorf("the parent is %s and woke %+v, want the one child", b.state(acme).Presence, b.inbox)
			}
		})
	}
}
