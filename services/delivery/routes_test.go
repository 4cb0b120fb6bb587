package delivery

import (
	"fmt"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// TestARemovedRouteWithdrawsWhatIsQueued: in whichever standing it is queued.
// What is delivered stays, and what has a route goes on.
func TestARemovedRouteWithdrawsWhatIsQueued(t *testing.T) {
	r := newRig(t)
	r.routed(canonical.TMSInvoice, canonical.TMSCustomer)
	r.shop.fault = func(e shopEntry) shopFault {
		if e.Record == "revenova:failed" {
			return shopFault{status: 422}
		}
		return shopFault{}
	}
	stop := r.start()
	r.consume(customer(1, record.VerbUpsert), invoiceOf("done", false))
	waiting := invoiceOf("waiting", false)
	waiting.References[0].RecordID = "revenova:nobody"
	r.consume(waiting, command("envoy", "failed", 1, record.VerbUpsert))
	r.status("envoy", "done", postgres.StatusDone)
	r.status("envoy", "failed", postgres.StatusFailed)
	r.status("envoy", "waiting", postgres.StatusWaiting)
	r.eventually("the refusal is told", func() (bool, string) { n := r.notifications(); return len(n) == 1, fmt.Sprintf("%+v", n) })
	stop()
	r.consume(command("envoy", "ready", 1, record.VerbUpsert))
	calls := r.shop.count()

	r.routes(canonical.TMSCustomer) // no invoices any more
	r.start()
	for _, id := range []string{"ready", "waiting", "failed"} {
		if st := r.status("envoy", id, postgres.StatusWithdrawn); st.Code != "route_removed" {
			t.Errorf("%s is withdrawn with the code %q", id, st.Code)
		}
	}
	told := func(id string) bool {
		for _, d := range r.results() {
			if d.RecordID == record.ID("revenova:"+id) && d.Outcome == "withdrawn" && d.Code == "route_removed" {
				return true
			}
		}
		return false
	}
	r.eventually("each withdrawal is told", func() (bool, string) {
		return told("ready") && told("waiting") && told("failed"), fmt.Sprintf("%+v", r.results())
	})
	r.eventually("nobody need act on what failed", func() (bool, string) {
		n := r.notifications()
		return len(n) == 2 && n[1].Resolved && n[1].RecordID == "revenova:failed", fmt.Sprintf("%+v", n)
	})
	// What the router sent before it knew is withdrawn when it is claimed.
	r.consume(command("envoy", "late", 1, record.VerbUpsert))
	r.status("envoy", "late", postgres.StatusWithdrawn)
	r.eventually("that is told too", func() (bool, string) { return told("late"), fmt.Sprintf("%+v", r.results()) })
	r.status("envoy", "done", postgres.StatusDone)
	if got := r.shop.count(); got != calls {
		t.Errorf("sent without a route: %+v", r.shop.entries()[calls:])
	}
	// A route that this process does not know yet.
	early := command("envoy", "early", 1, record.VerbUpsert)
	early.ConfigVersion = r.snap.Current().Version + 1
	r.consume(early)
	r.atShop("early", 1)

	r.routes(canonical.TMSCustomer, canonical.TMSInvoice)
	r.upsert("ready", 2) // a re-sync
	r.atShop("ready", 2)
	r.status("envoy", "ready", postgres.StatusDone)
}

// TestARequestInFlightIsSettledAfterItsRouteIsGone: it is looked for; one that
// had its effect is the row's, one that had none is not repeated.
func TestARequestInFlightIsSettledAfterItsRouteIsGone(t *testing.T) {
	for _, effect := range []bool{true, false} {
		t.Run(fmt.Sprintf("effect %t", effect), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.routed(canonical.TMSInvoice)
			removed := make(chan struct{})
			calling := make(chan struct{}, 1)
			r.shop.fault = func(shopEntry) shopFault {
				calling <- struct{}{}
				<-removed
				return shopFault{lost: effect, cut: !effect}
			}
			r.start()
			r.upsert("A", 1)
			<-calling
			r.routes(canonical.TMSCustomer)
			close(removed)
			want := postgres.StatusDone
			if !effect {
				want = postgres.StatusWithdrawn
			}
			r.status("envoy", "A", want)
			if got := r.shop.of("revenova:A"); len(got) == 1 != effect || r.shop.count() != 1 {
				t.Errorf("there is %+v after %d calls", got, r.shop.count())
			}
		})
	}
}
