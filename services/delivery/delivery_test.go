package delivery

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

func TestARecordIsCreatedUpdatedAndToldAbout(t *testing.T) {
	r := newRig(t)
	r.start()
	r.upsert("A", 1)
	r.atShop("A", 1)
	r.upsert("A", 2)
	r.atShop("A", 2)
	r.status("envoy", "A", postgres.StatusDone)
	r.eventually("two results", func() (bool, string) {
		got := r.results()
		ok := len(got) == 2 && got[0].Outcome == "applied" && got[1].Outcome == "applied" && got[1].Revision.Offset == 2 && got[1].DestinationID != ""
		return ok, fmt.Sprintf("%+v", got)
	})
}

func TestAnEqualStateIsNotSentAgain(t *testing.T) {
	r := newRig(t)
	r.start()
	r.upsert("A", 1)
	r.atShop("A", 1)
	again := command("envoy", "A", 2, record.VerbUpsert)
	again.Payload = []byte(`{"Seq":1}`)
	r.consume(again)
	r.eventually("a second result", func() (bool, string) { got := r.results(); return len(got) == 2, fmt.Sprintf("%+v", got) })
	if got := r.results(); got[1].Outcome != "unchanged" {
		t.Errorf("the second result is %+v, want unchanged", got[1])
	}
	if got := r.shop.entries(); len(got) != 1 {
		t.Errorf("the destination was called %d times: %+v", len(got), got)
	}
}

func TestOrderHoldsWhileADestinationFails(t *testing.T) {
	r := newRig(t)
	var n atomic.Int64
	r.shop.fault = func(shopEntry) shopFault {
		switch n.Add(1) % 5 {
		case 0:
			return shopFault{status: http.StatusInternalServerError}
		case 1:
			return shopFault{lost: true}
		case 2:
			return shopFault{cut: true}
		}
		return shopFault{}
	}
	r.start()
	r.start()
	const records, versions = 20, 10
	for v := 1; v <= versions; v++ {
		for i := range records {
			r.upsert(fmt.Sprint("R", i), v)
		}
	}
	for i := range records {
		r.atShop(fmt.Sprint("R", i), versions)
		r.status("envoy", fmt.Sprint("R", i), postgres.StatusDone)
	}
	r.inOrder()
}

// A crash between any two writes, ours or the destination's, ends in one effect
// and in the newest state, whatever came meanwhile.
func TestACrashAnywhereHasOneEffect(t *testing.T) {
	for _, blind := range []bool{false, true} {
		for _, memory := range []bool{true, false} {
			if blind && !memory {
				continue // nothing is left to find an effect by
			}
			for _, point := range []string{pointClaimed, pointPrepared, pointStored, pointAnswered, pointRead, pointFinished} {
				t.Run(fmt.Sprintf("%s, resolve blind %v, request id memory %v", point, blind, memory), func(t *testing.T) {
					t.Parallel()
					r := newRig(t)
					r.dest.blind, r.shop.memory = blind, memory
					crash := sync.Map{}
					killed := make(chan struct{}, 8)
					r.tune = func(c *Config, d *Deps) {
						c.Lease, c.Margin = 300*time.Millisecond, 50*time.Millisecond
						d.Failpoint = func(p string) error {
							if _, done := crash.LoadOrStore(p, true); p == point && !done {
								killed <- struct{}{}
								return errKilled
							}
							return nil
						}
					}
					stop := r.start()
					r.upsert("A", 1)
					<-killed
					stop()
					crash.Clear()
					crash.Store(point, true)
					r.start()
					r.upsert("A", 2)
					r.atShop("A", 2)
					r.status("envoy", "A", postgres.StatusDone)
					// Once more, in the middle of an update; whoever goes on with it, with a
					// newer state there, crashes at the same point, and a third comes meanwhile.
					crash.Clear()
					r.upsert("A", 3)
					<-killed
					crash.Delete(point)
					r.upsert("A", 4)
					<-killed
					r.upsert("A", 5)
					r.atShop("A", 5)
					r.status("envoy", "A", postgres.StatusDone)
					r.inOrder()
				})
			}
		}
	}
}

func TestAWithdrawnRecordIsNotSent(t *testing.T) {
	r := newRig(t)
	r.upsert("A", 1)
	r.consume(command("envoy", "A", 2, record.VerbWithdraw))
	r.upsert("B", 1)
	r.start()
	r.atShop("B", 1)
	r.status("envoy", "A", postgres.StatusWithdrawn)
	if got := r.shop.of("revenova:A"); len(got) != 0 {
		t.Errorf("the withdrawn record is at the destination: %+v", got)
	}
}

func TestADeletedRecordIsRemovedAndComesBack(t *testing.T) {
	r := newRig(t)
	r.start()
	r.upsert("A", 1)
	r.atShop("A", 1)
	r.consume(command("envoy", "A", 2, record.VerbDelete))
	r.eventually("A is inactive", func() (bool, string) {
		got := r.shop.of("revenova:A")
		return len(got) == 1 && !got[0].Active, fmt.Sprintf("%+v", got)
	})
	r.upsert("A", 3)
	r.atShop("A", 3)
	if got := r.shop.of("revenova:A"); !got[0].Active {
		t.Errorf("A is not active again: %+v", got)
	}
}

func TestARefusalIsToldAndClosesWhenItPasses(t *testing.T) {
	r := newRig(t)
	r.shop.fault = func(e shopEntry) shopFault {
		if e.Seq == 1 {
			return shopFault{status: http.StatusUnprocessableEntity}
		}
		return shopFault{}
	}
	r.start()
	r.upsert("A", 1)
	r.status("envoy", "A", postgres.StatusFailed)
	r.eventually("a customer notification", func() (bool, string) {
		got := r.notifications()
		return len(got) == 1 && got[0].Audience == record.AudienceCustomer && got[0].Code == "duplicate_name" && got[0].Remedy != "", fmt.Sprintf("%+v", got)
	})
	r.upsert("A", 2)
	r.atShop("A", 2)
	r.eventually("it is closed", func() (bool, string) {
		got := r.notifications()
		return len(got) == 2 && got[1].Resolved && got[1].Fingerprint == got[0].Fingerprint, fmt.Sprintf("%+v", got)
	})
}

func TestADeadCredentialBlocksItsLaneOnly(t *testing.T) {
	r := newRig(t)
	r.start()
	r.shop.mu.Lock()
	r.shop.refused["t1"] = true
	r.shop.mu.Unlock()
	for i := range 20 {
		r.upsert(fmt.Sprint("R", i), 1)
	}
	r.eventually("one support notification", func() (bool, string) {
		got := r.notifications()
		return len(got) == 1 && got[0].Audience == record.AudienceSupport && got[0].Class == "auth", fmt.Sprintf("%+v", got)
	})
	r.creds.renew("t2")
	for i := range 20 {
		r.atShop(fmt.Sprint("R", i), 1)
	}
	if st := r.status("envoy", "R0", postgres.StatusDone); st.Attempt != 0 {
		t.Errorf("attempts were spent: %d", st.Attempt)
	}
	if got := r.notifications(); len(got) != 1 {
		t.Errorf("%d notifications, want 1: %+v", len(got), got)
	}
}

func TestA429PausesTheAccount(t *testing.T) {
	r := newRig(t)
	var first atomic.Bool
	r.shop.fault = func(e shopEntry) shopFault {
		if e.Account == "a-envoy" && first.CompareAndSwap(false, true) {
			return shopFault{status: http.StatusTooManyRequests, headers: map[string]string{"Retry-After": "1"}}
		}
		return shopFault{}
	}
	r.start()
	r.upsert("A", 1)
	r.eventually("the 429", func() (bool, string) { return len(r.shop.entries()) == 1, fmt.Sprint(r.shop.entries()) })
	r.consume(command("acme", "B", 1, record.VerbUpsert))
	r.atShop("B", 1)
	r.atShop("A", 1)
}

func TestADeadAccountDoesNotStarveOthers(t *testing.T) {
	r := newRig(t)
	hang := make(chan struct{})
	t.Cleanup(sync.OnceFunc(func() { close(hang) }))
	r.shop.fault = func(e shopEntry) shopFault {
		if e.Account == "a-envoy" {
			return shopFault{hang: hang}
		}
		return shopFault{}
	}
	for i := range 300 {
		r.upsert(fmt.Sprint("R", i), 1)
	}
	r.start()
	r.eventually("the dead account is tried", func() (bool, string) {
		r.shop.mu.Lock()
		defer r.shop.mu.Unlock()
		return r.shop.inFlight > 0, fmt.Sprint(r.shop.inFlight)
	})
	const others = 100
	commands := make([]*record.OutboundCommand, others) // at once: the test has as long as a call hangs
	for i := range commands {
		commands[i] = command("acme", fmt.Sprint("B", i), 1, record.VerbUpsert)
	}
	r.consume(commands...)
	// The others are done before the dead account's first calls time out.
	for i := range others {
		r.atShop(fmt.Sprint("B", i), 1)
	}
	for _, e := range r.shop.entries() {
		if e.Account == "a-envoy" {
			t.Fatalf("the others waited until a dead call had ended: %+v", e)
		}
	}
}

func TestAReferenceIsWaitedFor(t *testing.T) {
	r := newRig(t)
	r.start()
	invoice := command("envoy", "I", 1, record.VerbUpsert)
	invoice.References = []record.Reference{{Path: "Ref", RecordID: "revenova:C", Object: "Object"}}
	r.consume(invoice)
	r.status("envoy", "I", postgres.StatusWaiting)
	r.upsert("C", 1)
	r.atShop("I", 1)
	if got, c := r.shop.of("revenova:I"), r.shop.of("revenova:C"); got[0].Ref != c[0].ID {
		t.Errorf("the invoice refers to %q, the customer is %q", got[0].Ref, c[0].ID)
	}
}

func TestAReferenceThatIsWithdrawnFailsTheRow(t *testing.T) {
	r := newRig(t)
	r.start()
	r.consume(command("envoy", "C", 1, record.VerbWithdraw))
	invoice := command("envoy", "I", 1, record.VerbUpsert)
	invoice.References = []record.Reference{{Path: "Ref", RecordID: "revenova:C", Object: "Object"}}
	r.consume(invoice)
	if st := r.status("envoy", "I", postgres.StatusFailed); st.Code != "reference_withdrawn" {
		t.Errorf("failed with %s", st.Code)
	}
	r.upsert("C", 2)
	r.atShop("I", 1)
}

func TestALateFinishSendsTheNewestStateAgain(t *testing.T) {
	r := newRig(t)
	r.upsert("A", 1)
	lanes, err := r.rows.DueLanes(context.Background())
	if err != nil || len(lanes) != 1 {
		t.Fatalf("due lanes %v, %v", lanes, err)
	}
	// Somebody claims, is frozen past its lease, and its call arrives late.
	frozen, err := r.rows.Claim(context.Background(), []postgres.Quota{{Lane: lanes[0].ID, Limit: 1}}, time.Millisecond)
	if err != nil || len(frozen) != 1 {
		t.Fatalf("claimed %v, %v", frozen, err)
	}
	r.start()
	r.upsert("A", 2)
	r.atShop("A", 2)
	r.status("envoy", "A", postgres.StatusDone)
	before := len(r.shop.entries())
	held, err := r.rows.Finish(context.Background(), []postgres.Finished{{Row: frozen[0], Ending: postgres.EndApplied, Sent: true}})
	if err != nil || held[0] {
		t.Fatalf("finish: held %v, %v", held, err)
	}
	r.eventually("the newest state is sent again", func() (bool, string) {
		got := r.shop.entries()
		return len(got) == before+1 && got[before].Seq == 2 && got[before].Applied, fmt.Sprintf("%+v", got)
	})
}

func TestTwoSchedulersShareTheWork(t *testing.T) {
	r := newRig(t)
	const records = 400
	for i := range records {
		r.upsert(fmt.Sprint("R", i), 1)
	}
	r.start()
	r.start()
	for i := range records {
		r.atShop(fmt.Sprint("R", i), 1)
	}
	if got := r.shop.entries(); len(got) != records {
		t.Errorf("%d calls for %d records", len(got), records)
	}
}

func TestAStaleVersionIsFetchedMergedAndSentAgain(t *testing.T) {
	r := newRig(t)
	r.start()
	r.upsert("A", 1)
	r.atShop("A", 1)
	r.status("envoy", "A", postgres.StatusDone)
	r.shop.mu.Lock()
	for _, o := range r.shop.objects {
		o.Version = 41 // a person edited it there
	}
	r.shop.mu.Unlock()
	r.upsert("A", 2)
	r.atShop("A", 2)
	st := r.status("envoy", "A", postgres.StatusDone)
	if st.DestinationVersion != "42" {
		t.Errorf("the version kept is %s, the destination has 42", st.DestinationVersion)
	}
	ids := map[string]bool{}
	for _, e := range r.shop.entries() {
		if ids[e.RequestID] {
			t.Errorf("request id %s was used for two bodies", e.RequestID)
		}
		ids[e.RequestID] = true
	}
}

// TestADeleteThatMeetsAStaleVersionIsSentAgain: it has no fields that could be
// merged with somebody's edit.
func TestADeleteThatMeetsAStaleVersionIsSentAgain(t *testing.T) {
	r := newRig(t)
	r.start()
	r.upsert("A", 1)
	r.atShop("A", 1)
	r.status("envoy", "A", postgres.StatusDone)
	r.shop.mu.Lock()
	for _, o := range r.shop.objects {
		o.Version = 41 // a person edited it there
	}
	r.shop.mu.Unlock()
	gone := command("envoy", "A", 2, record.VerbDelete)
	gone.Payload = nil // as the router makes it
	r.consume(gone)
	r.eventually("A is inactive", func() (bool, string) {
		got := r.shop.of("revenova:A")
		return len(got) == 1 && !got[0].Active, fmt.Sprintf("%+v", got)
	})
	r.status("envoy", "A", postgres.StatusDone)
}

func TestAPanicOfAnIntegrationEndsItsRowOnly(t *testing.T) {
	r := newRig(t)
	r.start()
	bad := command("envoy", "A", 1, record.VerbUpsert)
	bad.Payload = []byte("panic")
	r.consume(bad)
	r.upsert("B", 1)
	r.atShop("B", 1)
	if st := r.status("envoy", "A", postgres.StatusFailed); st.Class != "poison" || st.Code != "panic" {
		t.Errorf("failed as %s %s", st.Class, st.Code)
	}
	r.eventually("a dead letter", func() (bool, string) {
		got := published(r, record.Topics{}.DeadLetter(), r.codecs.DeadLetter)
		return len(got) == 1 && string(got[0].Value) == "panic", fmt.Sprintf("%+v", got)
	})
}

// The answer is lost, and what the effect would be looked for by is not there
// yet: it is made, and the same request repeated.
func TestALookThatIsRefusedIsHealedToo(t *testing.T) {
	r := newRig(t)
	var first atomic.Bool
	r.shop.fault = func(shopEntry) shopFault { return shopFault{lost: first.CompareAndSwap(false, true)} }
	r.dest.unlooked.Store(true)
	r.start()
	r.upsert("A", 1)
	r.atShop("A", 1)
	r.status("envoy", "A", postgres.StatusDone)
	if got := r.shop.entries(); len(got) != 2 || got[0].RequestID != got[1].RequestID {
		t.Errorf("the calls were %+v; want one request id, twice", got)
	}
}

// An invoice becomes a credit memo: the old object is voided, then the new one
// created, and a crash between any two writes of that changes nothing.
func TestAFlipIsVoidAndCreateOnce(t *testing.T) {
	for _, point := range []string{pointPrepared, pointStored, pointAnswered, pointRead} {
		for skip := range int64(2) {
			t.Run(fmt.Sprintf("%s of step %d", point, skip), func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				var armed atomic.Bool
				var passed atomic.Int64
				r.tune = func(c *Config, d *Deps) {
					c.Lease, c.Margin = 300*time.Millisecond, 50*time.Millisecond
					d.Failpoint = func(p string) error {
						if armed.Load() && p == point && passed.Add(1) == skip+1 {
							return errKilled
						}
						return nil
					}
				}
				r.start()
				r.upsert("A", 1)
				r.status("envoy", "A", postgres.StatusDone)
				armed.Store(true)
				flip := command("envoy", "A", 2, record.VerbUpsert)
				flip.Type = "Credit"
				r.consume(flip)
				r.eventually("one voided and one active", func() (bool, string) {
					got := r.shop.of("revenova:A")
					active := map[string]int{}
					for _, o := range got {
						if o.Active {
							active[o.Type]++
						}
					}
					return len(got) == 2 && active["Credit"] == 1 && active["Object"] == 0, fmt.Sprintf("%+v, ledger %+v", got, r.shop.entries())
				})
				r.status("envoy", "A", postgres.StatusDone)
				if got := r.shop.of("revenova:A"); len(got) != 2 {
					t.Errorf("%d objects, want 2: %+v", len(got), got)
				}
			})
		}
	}
}
