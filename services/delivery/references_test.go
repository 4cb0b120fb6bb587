package delivery

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// shopMapper makes a "Customer" of a customer, and an "Object" of all else.
type shopMapper struct{ integration.Mapper }

func (shopMapper) Of(e canonical.Entity) string {
	if e == canonical.TMSCustomer {
		return "Customer"
	}
	return "Object"
}

// routed makes the rig's integration tell what is routed, and routes these.
func (r *rig) routed(entities ...canonical.Entity) {
	r.routes(entities...)
	r.tune = func(_ *Config, d *Deps) {
		d.Integrations = func(app string) (*integration.Integration, bool) {
			return &integration.Integration{App: "shop", Deliver: r.dest, Map: shopMapper{}}, app == "shop"
		}
	}
}

// routes makes these the first tenant's routes, in a new configuration.
func (r *rig) routes(entities ...canonical.Entity) {
	s := r.snap.Current()
	tenant, _ := s.Tenant("envoy")
	var connections []controlplane.Connection
	for _, c := range s.ConnectionsOf("envoy", "") {
		connections = append(connections, *c)
	}
	var rs []controlplane.Route
	for _, e := range entities {
		rs = append(rs, controlplane.Route{Tenant: "envoy", Entity: e, Target: "Shop"})
	}
	r.snap.set(controlplane.NewSnapshot(s.Version+1, time.Now(), []controlplane.Tenant{*tenant}, connections, rs, nil))
}

// knownReplicas is what the platform knows of source records.
type knownReplicas map[record.Key]*record.Replica

func (k knownReplicas) Replicas(context.Context, []record.Key) (map[record.Key]*record.Replica, error) {
	return k, nil
}

func customer(seq int, verb record.Verb) *record.OutboundCommand {
	c := command("envoy", "C", seq, verb)
	c.Object = "Customer"
	return c
}

func invoiceOf(id string, optional bool) *record.OutboundCommand {
	c := command("envoy", id, 1, record.VerbUpsert)
	c.References = []record.Reference{{Path: "Ref", RecordID: "revenova:C", Object: "Customer", Optional: optional}}
	return c
}

// refers waits until the record is at the shop and refers to the customer.
func (r *rig) refers(id string) {
	r.t.Helper()
	r.atShop(id, 1)
	if got, c := r.shop.of("revenova:" + id)[0], r.shop.of("revenova:C"); len(c) != 1 || got.Ref != c[0].ID {
		r.t.Errorf("%s refers to %q, the customer is %+v", id, got.Ref, c)
	}
}

func TestAReferenceThatNeverCanBeIsToldAndComesBack(t *testing.T) {
	cases := map[string]struct {
		entities []canonical.Entity
		presence record.Presence // of the customer in the source, as far as is known
		before   func(r *rig)
		restore  func(r *rig)
	}{
		"reference_not_routed": {
			entities: []canonical.Entity{canonical.TMSInvoice},
			restore: func(r *rig) {
				r.routes(canonical.TMSInvoice, canonical.TMSCustomer)
				r.consume(customer(1, record.VerbUpsert))
			},
		},
		"reference_absent":       {presence: record.PresenceAbsent, restore: func(r *rig) { r.consume(customer(1, record.VerbUpsert)) }},
		"reference_fetch_failed": {presence: record.PresenceFailed, restore: func(r *rig) { r.consume(customer(1, record.VerbUpsert)) }},
		"reference_deleted in the source": {
			presence: record.PresenceDeleted,
			restore:  func(r *rig) { r.consume(customer(1, record.VerbUpsert)) },
		},
		"reference_withdrawn": {
			before:  func(r *rig) { r.consume(customer(1, record.VerbWithdraw)) },
			restore: func(r *rig) { r.consume(customer(2, record.VerbUpsert)) },
		},
		"reference_deleted": {
			before: func(r *rig) {
				r.consume(customer(1, record.VerbUpsert))
				r.atShop("C", 1)
				r.consume(customer(2, record.VerbDelete))
				r.eventually("the customer is removed", func() (bool, string) {
					got := r.shop.of("revenova:C")
					return len(got) == 1 && !got[0].Active, fmt.Sprintf("%+v", got)
				})
				r.status("envoy", "C", postgres.StatusDone)
			},
			restore: func(r *rig) { r.consume(customer(3, record.VerbUpsert)) },
		},
		"reference_failed": {
			before: func(r *rig) {
				r.refuse("revenova:C", 422)
				r.consume(customer(1, record.VerbUpsert))
				r.status("envoy", "C", postgres.StatusFailed)
			},
			restore: func(r *rig) {
				r.refuse("", 0)
				r.consume(customer(2, record.VerbUpsert))
			},
		},
		"reference_unknown": {restore: func(r *rig) { r.consume(customer(1, record.VerbUpsert)) }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, _ := strings.Cut(name, " ")
			r := newRig(t)
			if c.entities == nil {
				c.entities = []canonical.Entity{canonical.TMSInvoice, canonical.TMSCustomer}
			}
			r.routed(c.entities...)
			if tune := r.tune; code == "reference_unknown" {
				r.tune = func(cfg *Config, d *Deps) { tune(cfg, d); cfg.ReferenceGrace = time.Millisecond }
			}
			if tune := r.tune; c.presence != "" {
				r.tune = func(cfg *Config, d *Deps) {
					tune(cfg, d)
					d.Replicas = knownReplicas{record.KeyOf("envoy", "revenova:C"): {Presence: c.presence, Detail: "so it says"}}
				}
			}
			r.start()
			if c.before != nil {
				c.before(r)
			}
			r.consume(invoiceOf("I", false))
			if st := r.status("envoy", "I", postgres.StatusFailed); st.Code != code {
				t.Errorf("failed with %s (%s)", st.Code, st.Detail)
			}
			r.eventually("the customer's people are told what to do", func() (bool, string) {
				for _, n := range r.notifications() {
					if n.RecordID == "revenova:I" && n.Code == code && n.Remedy != "" && n.Audience == record.AudienceCustomer {
						return true, ""
					}
				}
				return false, fmt.Sprintf("%+v", r.notifications())
			})
			c.restore(r)
			r.refers("I")
			r.eventually("the notification is closed", func() (bool, string) {
				all := r.notifications()
				last := all[len(all)-1]
				return last.Resolved && last.RecordID == "revenova:I", fmt.Sprintf("%+v", last)
			})
		})
	}
}

// TestTheClockStandsWhileTheSourceCannotBeAsked: nobody's time is up for a quota
// or a dead authorisation at the source; afterwards it goes on.
func TestTheClockStandsWhileTheSourceCannotBeAsked(t *testing.T) {
	r := newRig(t)
	r.routed(canonical.TMSInvoice, canonical.TMSCustomer)
	const grace = 200 * time.Millisecond
	tune := r.tune
	r.tune = func(cfg *Config, d *Deps) { tune(cfg, d); cfg.ReferenceGrace, cfg.WaitTTL = grace, 2*grace }
	sources := r.db.Fetches()
	told := &record.Notification{TenantID: "envoy", SourceApp: "revenova", Audience: record.AudienceSupport, Stage: "fetcher", Class: "retryable", Code: "sf_request_limit", Target: "Revenova", Fingerprint: "f", At: time.Now()}
	if err := sources.Block(t.Context(), "envoy", "revenova", "sf_request_limit", "used up", time.Hour, told); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.consume(invoiceOf("I", false))
	waits := r.status("envoy", "I", postgres.StatusWaiting)
	r.eventually("its time would be over many times", func() (bool, string) {
		rows, err := r.rows.Of(t.Context(), "envoy", "revenova:I")
		if err != nil || rows[0].Status == postgres.StatusFailed {
			t.Fatalf("what waits for a quota at the source failed: %+v, %v", rows, err)
		}
		// It is looked at each second.
		return time.Since(waits.WaitingSince) > 10*grace+2*time.Second, ""
	})
	if _, err := sources.Unblock(t.Context(), "envoy", "revenova", "Revenova", "f"); err != nil {
		t.Fatal(err)
	}
	if st := r.status("envoy", "I", postgres.StatusFailed); st.Code != "reference_unknown" {
		t.Errorf("failed with %s (%s)", st.Code, st.Detail)
	}
	r.consume(customer(1, record.VerbUpsert))
	r.refers("I")
}

// refuse answers writes of a record with a status.
func (r *rig) refuse(rec string, status int) {
	r.shop.mu.Lock()
	defer r.shop.mu.Unlock()
	r.shop.fault = func(e shopEntry) shopFault {
		if e.Record == rec {
			return shopFault{status: status}
		}
		return shopFault{}
	}
}

func TestAnOptionalReferenceIsWaitedForAWhile(t *testing.T) {
	r := newRig(t)
	r.routed(canonical.TMSInvoice, canonical.TMSCustomer)
	r.start()
	r.consume(invoiceOf("I", true))
	r.status("envoy", "I", postgres.StatusWaiting)
	r.consume(customer(1, record.VerbUpsert))
	r.refers("I")

	other := newRig(t)
	other.routed(canonical.TMSInvoice, canonical.TMSCustomer)
	tune := other.tune
	other.tune = func(cfg *Config, d *Deps) { tune(cfg, d); cfg.OptionalWait = time.Millisecond }
	other.start()
	other.consume(invoiceOf("I", true))
	other.atShop("I", 1)
	if got := other.shop.of("revenova:I")[0]; got.Ref != "" {
		t.Errorf("it refers to %q", got.Ref)
	}
	// It comes later, and so does the reference to it.
	other.consume(customer(1, record.VerbUpsert))
	other.eventually("the invoice refers to it", func() (bool, string) {
		got, c := other.shop.of("revenova:I"), other.shop.of("revenova:C")
		return len(got) == 1 && len(c) == 1 && got[0].Ref == c[0].ID, fmt.Sprintf("%+v, %+v", got, c)
	})
}

func TestARequestWithoutEffectIsNotRepeatedAfterAWithdrawal(t *testing.T) {
	r := newRig(t)
	hung, withdrawn := make(chan struct{}), make(chan struct{})
	r.shop.fault = func(e shopEntry) shopFault {
		if r.shop.count() == 0 {
			close(hung)
			<-withdrawn
			return shopFault{status: 500}
		}
		return shopFault{}
	}
	r.start()
	r.upsert("A", 1)
	<-hung
	r.consume(command("envoy", "A", 2, record.VerbWithdraw))
	close(withdrawn)
	r.status("envoy", "A", postgres.StatusWithdrawn)
	if got := r.shop.entries(); len(got) != 1 || len(r.shop.of("revenova:A")) != 0 {
		t.Errorf("sent %+v, there is %+v", got, r.shop.of("revenova:A"))
	}
	r.eventually("the withdrawal is told", func() (bool, string) {
		for _, d := range r.results() {
			if d.Outcome == "withdrawn" && d.Revision.Offset == 2 {
				return true, ""
			}
		}
		return false, fmt.Sprintf("%+v", r.results())
	})
	r.upsert("A", 3)
	r.atShop("A", 3)
}
