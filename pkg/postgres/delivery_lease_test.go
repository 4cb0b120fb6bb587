package postgres_test

import (
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// freeze claims the one due row for a holder whose lease is over before it does
// anything; the row is due again when it returns.
func (b *bench) freeze() *postgres.Row {
	b.t.Helper()
	lanes, err := b.d.DueLanes(b.t.Context())
	if err != nil || len(lanes) != 1 {
		b.t.Fatalf("due lanes %v, %v; want one", lanes, err)
	}
	rows, err := b.d.Claim(b.t.Context(), []postgres.Quota{{Lane: lanes[0].ID, Limit: 1}}, time.Millisecond)
	if err != nil || len(rows) != 1 {
		b.t.Fatalf("claimed %v, %v; want one row", rows, err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if lanes, err = b.d.DueLanes(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
		if len(lanes) == 1 {
			return rows[0]
		}
		<-tick.C
	}
}

// The holder was frozen before it stored its request: nobody would know of the
// call it makes now.
func TestARequestIsStoredUnderTheLeaseOnly(t *testing.T) {
	b, _ := newBench(t)
	b.consume(command("A", 1, record.VerbUpsert, "1"))
	frozen := b.freeze()
	if b.store(frozen, "id-1") {
		t.Error("a request was stored, to be sent, after the lease had ended")
	}
	now := b.claimOne()
	if now.Doubt != nil {
		t.Errorf("the next holder is told of the request %q, which was never sent", now.Doubt.ID)
	}
	if b.store(frozen, "id-1") || !b.store(now, "id-2") {
		t.Error("of two holders the earlier one may send, or the present one may not")
	}
}

func TestAFinishOfAnEarlierClaimDoesNotEndThePresentOne(t *testing.T) {
	b, _ := newBench(t)
	b.consume(command("A", 1, record.VerbUpsert, "1"))
	frozen := b.freeze()
	now := b.claimOne()
	if b.apply(frozen) {
		t.Error("the finish of an earlier claim was taken for the present one's")
	}
	if !b.store(now, "id-2") || !b.apply(now) {
		t.Error("the present holder lost its claim to an earlier one")
	}
}

// At a destination that checks no version the late call may have put an old
// state over a newer one.
func TestALateFinishAsksForTheNewestStateAgain(t *testing.T) {
	b, _ := newBench(t)
	b.consume(command("A", 1, record.VerbUpsert, "1"))
	frozen := b.freeze()
	b.consume(command("A", 2, record.VerbUpsert, "2"))
	// What the frozen one never sent is given up for the newest state.
	if r := b.claimOne(); !b.finish(postgres.Finished{Row: r, Ending: postgres.EndReleased}) {
		t.Fatal("the lease was said to be gone")
	}
	newest := b.claimOne()
	if string(newest.Payload) != "2" || !b.store(newest, "id-2") || !b.apply(newest) {
		t.Fatalf("%s was not applied, want 2", newest.Payload)
	}
	if got := b.claim(1); len(got) != 0 {
		t.Fatalf("claimed %s, though all is done", got[0].Payload)
	}
	b.apply(frozen)
	if again := b.claim(1); len(again) != 1 || string(again[0].Payload) != "2" || again[0].Resend == again[0].ResendDone {
		t.Errorf("after a call that landed late %d rows are due, want the newest state once more: %+v", len(again), again)
	}
}
