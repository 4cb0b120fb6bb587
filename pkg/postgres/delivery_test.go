package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/tests/parts"
)

const (
	topic = "fluxnex.outbound.quickbooks"
	realm = "9130347798120106"
	lease = 30 * time.Second
)

func openDeliveries(t testing.TB) (*postgres.DB, *postgres.Deliveries) {
	t.Helper()
	db, err := postgres.Open(t.Context(), parts.Postgres(t), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := postgres.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db, db.Deliveries()
}

// bench is a consumer and a scheduler in one hand, for one topic partition.
type bench struct {
	t    testing.TB
	d    *postgres.Deliveries
	next int64
}

func newBench(t testing.TB) (*bench, *postgres.DB) {
	db, d := openDeliveries(t)
	return &bench{t: t, d: d}, db
}

func command(id string, revision int64, verb record.Verb, payload string) *record.OutboundCommand {
	return &record.OutboundCommand{
		TenantID: "envoy", SourceApp: "revenova", RecordID: record.ID("revenova:" + id), TargetName: "QB", App: "quickbooks",
		Object: "Vendor", Type: "Vendor", Verb: verb, Payload: []byte(payload), Name: "Name of " + id,
		Revision: record.Revision{Generation: 1, Offset: revision},
		Lineage:  record.Lineage{ReceivedAt: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)},
	}
}

func (b *bench) consume(commands ...*record.OutboundCommand) {
	b.t.Helper()
	desired := make([]postgres.Desired, len(commands))
	from := b.next
	for i, c := range commands {
		desired[i] = postgres.Desired{Command: c, RemoteAccount: realm, Offset: b.next}
		b.next++
	}
	moved, err := b.d.Consume(b.t.Context(), topic, []postgres.Cursor{{Expected: from, Next: b.next}}, desired, time.Now())
	if err != nil || !moved {
		b.t.Fatalf("consume %d commands: moved %v, error %v", len(commands), moved, err)
	}
}

func (b *bench) claim(limit int32) []*postgres.Row {
	b.t.Helper()
	lanes, err := b.d.DueLanes(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	var quotas []postgres.Quota
	for _, l := range lanes {
		quotas = append(quotas, postgres.Quota{Lane: l.ID, Limit: limit})
	}
	rows, err := b.d.Claim(b.t.Context(), quotas, lease)
	if err != nil {
		b.t.Fatal(err)
	}
	return rows
}

func (b *bench) claimOne() *postgres.Row {
	b.t.Helper()
	rows := b.claim(10)
	if len(rows) != 1 {
		b.t.Fatalf("claimed %d rows, want 1", len(rows))
	}
	return rows[0]
}

func (b *bench) store(r *postgres.Row, requestID string) bool {
	b.t.Helper()
	held, err := b.d.Store(b.t.Context(), []postgres.Stored{{Row: r, Request: postgres.Request{
		ID: requestID, Final: true, Call: integration.Request{Method: "POST", Path: "/vendor", Body: r.Payload},
	}}})
	if err != nil {
		b.t.Fatal(err)
	}
	return held[0]
}

func (b *bench) finish(f postgres.Finished) bool {
	b.t.Helper()
	held, err := b.d.Finish(b.t.Context(), []postgres.Finished{f})
	if err != nil {
		b.t.Fatal(err)
	}
	return held[0]
}

func (b *bench) apply(r *postgres.Row) bool {
	b.t.Helper()
	return b.finish(postgres.Finished{
		Row: r, Ending: postgres.EndApplied, Sent: true, Digest: []byte("digest"),
		Remote: &integration.Remote{Type: "Vendor", ID: "56", Version: "0", Active: true},
	})
}

func TestARowIsClaimedSentAndDone(t *testing.T) {
	b, _ := newBench(t)
	b.consume(command("A", 1, record.VerbUpsert, `{"DisplayName":"Acme"}`))
	r := b.claimOne()
	if string(r.Payload) != `{"DisplayName":"Acme"}` || r.Applied != nil || r.Doubt != nil {
		t.Fatalf("claimed %+v", r)
	}
	if got := b.claim(10); len(got) != 0 {
		t.Fatalf("a row under lease was claimed again: %+v", got[0])
	}
	if !b.store(r, "id-1") || !b.apply(r) {
		t.Fatal("the lease was said to be gone")
	}
	if got := b.claim(10); len(got) != 0 {
		t.Fatalf("a row that is done was claimed: %+v", got[0])
	}
	b.consume(command("A", 2, record.VerbUpsert, `{"DisplayName":"Acme 2"}`))
	r = b.claimOne()
	if r.Applied == nil || r.Applied.ID != "56" || string(r.AppliedPayload) != `{"DisplayName":"Acme"}` {
		t.Fatalf("the second claim does not know what was applied: %+v, payload %s", r.Applied, r.AppliedPayload)
	}
	if r.Version.Revision.Offset != 2 || string(r.Payload) != `{"DisplayName":"Acme 2"}` {
		t.Fatalf("claimed revision %s with %s", r.Version.Revision, r.Payload)
	}
}

func TestTheNewestStateReplacesWhatWasNotSent(t *testing.T) {
	b, _ := newBench(t)
	b.consume(command("A", 3, record.VerbUpsert, "3"), command("A", 1, record.VerbUpsert, "1"))
	b.consume(command("A", 2, record.VerbUpsert, "2"), command("A", 5, record.VerbUpsert, "5"), command("A", 4, record.VerbUpsert, "4"))
	b.consume(command("A", 4, record.VerbUpsert, "4 again"))
	if r := b.claimOne(); string(r.Payload) != "5" {
		t.Fatalf("claimed payload %s, want 5", r.Payload)
	}
}

func TestANewerStateWaitsForTheOneInFlight(t *testing.T) {
	b, _ := newBench(t)
	b.consume(command("A", 1, record.VerbUpsert, "1"))
	r := b.claimOne()
	b.store(r, "id-1")
	b.consume(command("A", 2, record.VerbUpsert, "2"), command("A", 3, record.VerbUpsert, "3"))
	if got := b.claim(10); len(got) != 0 {
		t.Fatalf("claimed %s while 1 was in flight", got[0].Payload)
	}
	b.apply(r)
	r = b.claimOne()
	if string(r.Payload) != "3" || string(r.AppliedPayload) != "1" {
		t.Fatalf("claimed %s over applied %s, want 3 over 1", r.Payload, r.AppliedPayload)
	}
}

func TestARetryCarriesTheNewestState(t *testing.T) {
	b, _ := newBench(t)
	b.consume(command("A", 1, record.VerbUpsert, "1"))
	r := b.claimOne()
	b.store(r, "id-1")
	b.consume(command("A", 2, record.VerbUpsert, "2"))
	b.finish(postgres.Finished{Row: r, Ending: postgres.EndRetry, Sent: true, Class: "retryable", Code: "http_429"})
	r = b.claimOne()
	if string(r.Payload) != "2" || r.Attempt != 1 || r.Doubt != nil {
		t.Fatalf("claimed %s, attempt %d, doubt %+v; want 2, 1, none", r.Payload, r.Attempt, r.Doubt)
	}
}

func TestACallOfUnknownOutcomeIsResolvedBeforeTheNewestState(t *testing.T) {
	b, _ := newBench(t)
	b.consume(command("A", 1, record.VerbUpsert, "1"))
	r := b.claimOne()
	b.store(r, "id-1")
	b.consume(command("A", 2, record.VerbUpsert, "2"))
	b.finish(postgres.Finished{Row: r, Ending: postgres.EndRetry, Sent: true, Doubt: true})
	b.consume(command("A", 3, record.VerbWithdraw, ""))
	r = b.claimOne()
	if r.Doubt == nil || r.Doubt.ID != "id-1" || string(r.Payload) != "1" || string(r.Doubt.Call.Body) != "1" {
		t.Fatalf("claimed %s with doubt %+v, want 1 with id-1", r.Payload, r.Doubt)
	}
	b.apply(r)
	if got := b.claim(10); len(got) != 0 {
		t.Fatalf("claimed %s, though it was withdrawn", got[0].Payload)
	}
}

func TestAWithdrawalTakesBackWhatWasNotSent(t *testing.T) {
	b, _ := newBench(t)
	b.consume(command("A", 1, record.VerbUpsert, "1"))
	b.consume(command("A", 2, record.VerbWithdraw, ""))
	if got := b.claim(10); len(got) != 0 {
		t.Fatalf("claimed %s, though it was withdrawn", got[0].Payload)
	}
	messages, err := b.d.Outbox(t.Context(), 10)
	if err != nil || len(messages) != 1 || messages[0].Kind != postgres.OutboxResult {
		t.Fatalf("outbox %+v, %v; want one result", messages, err)
	}
	b.consume(command("A", 3, record.VerbUpsert, "3"))
	if r := b.claimOne(); string(r.Payload) != "3" {
		t.Fatalf("claimed %s, want 3", r.Payload)
	}
}

func TestTwoTenantsOnOneRealmHaveRowsOfTheirOwn(t *testing.T) {
	b, _ := newBench(t)
	other := command("A", 1, record.VerbUpsert, "other")
	other.TenantID = "acme"
	b.consume(command("A", 1, record.VerbUpsert, "envoy"), other)
	got := map[record.TenantID]string{}
	for _, r := range b.claim(10) {
		got[r.Tenant] = string(r.Payload)
	}
	if want := map[record.TenantID]string{"envoy": "envoy", "acme": "other"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("claimed %v, want %v", got, want)
	}
}

// Of a batch of two partitions one has another consumer by now: nothing of it
// is stored, and what is right about the other partition does not move either.
func TestABatchIsStoredForAllItsPartitionsOrForNone(t *testing.T) {
	b, _ := newBench(t)
	consume := func(cursors ...postgres.Cursor) bool {
		t.Helper()
		desired := []postgres.Desired{{Command: command("A", 1, record.VerbUpsert, "1"), RemoteAccount: realm}}
		moved, err := b.d.Consume(t.Context(), topic, cursors, desired, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return moved
	}
	if consume(postgres.Cursor{Partition: 0, Next: 5}, postgres.Cursor{Partition: 1, Expected: 7, Next: 8}, postgres.Cursor{Partition: 2, Next: 1}) {
		t.Error("moved from an offset that partition 1 never had")
	}
	offsets, err := b.d.StartOffsets(t.Context(), topic, []int32{0, 1, 2})
	if err != nil || len(offsets) != 0 {
		t.Errorf("offsets %v, %v; want none", offsets, err)
	}
	if got := b.claim(10); len(got) != 0 {
		t.Errorf("claimed %s", got[0].Payload)
	}
	if !consume(postgres.Cursor{Partition: 0, Next: 5}, postgres.Cursor{Partition: 1, Next: 8}) {
		t.Error("not moved from the right offsets")
	}
	if r := b.claimOne(); string(r.Payload) != "1" {
		t.Errorf("claimed %s", r.Payload)
	}
}
