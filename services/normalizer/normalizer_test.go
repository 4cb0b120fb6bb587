package normalizer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/stage"
	"github.com/fluxnex/fluxnex/services/normalizer"
)

const (
	typeAccount = "sf_account"
	typeLoad    = "sf_rtms__load__c"
	typeInvoice = "sf_rtms__customerinvoice__c"
	typeBill    = "sf_rtms__carrierinvoice__c"
)

func anInvoice(more ...string) *record.Replica {
	return replica(invoice, typeInvoice, append([]string{
		"Name=INV-1", "rtms__Load__c=" + load1, "rtms__Invoice_Status__c=Approved", "rtms__Invoice_Total__c=100.00",
	}, more...)...)
}

func aLoad(id string, more ...string) *record.Replica {
	return replica(id, typeLoad, append([]string{"Name=L-" + id, "rtms__Bill_To__c=" + acme}, more...)...)
}

func anAccount(more ...string) *record.Replica {
	return replica(acme, typeAccount, append([]string{"Name=Acme Trucking"}, more...)...)
}

func TestAVendorAccountIsATMSVendor(t *testing.T) {
	b := newBench(t)
	b.put(anAccount("Type=Vendor", "BillingPostalCode=04001"))
	c := b.wants(acme, record.StatusReady, "")
	v := value[canonical.Vendor](t, c, canonical.TMSVendor)
	if v.Name != "Acme Trucking" || v.Billing.PostalCode != "04001" || v.SourceID != acme {
		t.Errorf("vendor %+v", v)
	}
	space := uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://fluxnex.com/canonical"))
	if want := "norm-" + uuid.NewSHA1(space, []byte("envoy/revenova:"+acme+"/TMS_VENDOR")).String(); c.Entities[0].CanonicalID != want {
		t.Errorf("the canonical id is %s, want %s", c.Entities[0].CanonicalID, want)
	}
	if id := c.Entities[0].CanonicalID; id != normalizer.CanonicalID("envoy", "revenova:"+acme, canonical.TMSVendor) || !strings.HasPrefix(id, "norm-") {
		t.Errorf("canonical id %q", id)
	}
	if c.Revision.Offset != 1 || c.ConfigVersion != 7 || len(c.SourceFields) != 3 {
		t.Errorf("revision %s, configuration %d, %d source fields", c.Revision, c.ConfigVersion, len(c.SourceFields))
	}
}

func TestAnInvoiceWaitsForItsLoadAndGoesOnByItself(t *testing.T) {
	b := newBench(t)
	b.know(anAccount())
	b.put(anInvoice())
	c := b.wants(invoice, record.StatusWaiting, "missing_parent")
	if b.fetches() != load1 || b.notes() != "" {
		t.Errorf("fetches %q, notifications %q", b.fetches(), b.notes())
	}
	if !c.WaitingSince.Equal(b.now) || b.waiting[key(invoice)] != c.WaitingSince {
		t.Errorf("waiting since %s, registered %v", c.WaitingSince, b.waiting)
	}
	b.know(aLoad(load1))
	b.wake(invoice)
	c = b.wants(invoice, record.StatusReady, "")
	if v := value[canonical.Invoice](t, c, canonical.TMSInvoice); v.Customer.RecordID != "revenova:"+acme || v.LoadNumber != "L-"+load1 {
		t.Errorf("invoice %+v", v)
	}
	if !c.WaitingSince.IsZero() || len(b.waiting) != 0 {
		t.Errorf("still waits: %s, %v", c.WaitingSince, b.waiting)
	}
}

// A record waits with whatever its newest state is: nothing of an older one is
// kept that could go on instead, in whatever order the parents come.
func TestAWaitingRecordGoesOnWithItsNewestState(t *testing.T) {
	const load2 = "a0L5g000000BbbBEAS"
	begin := func(t *testing.T) *bench {
		b := newBench(t)
		b.know(anAccount())
		b.put(anInvoice()) // of load 1
		b.put(replica(invoice, typeInvoice, "Name=INV-1", "rtms__Load__c="+load2, "rtms__Invoice_Status__c=Approved", "rtms__Invoice_Total__c=250.00"))
		b.wants(invoice, record.StatusWaiting, "missing_parent")
		return b
	}
	newest := func(b *bench) {
		b.t.Helper()
		c := b.wants(invoice, record.StatusReady, "")
		if b.t.Failed() {
			return
		}
		if v := value[canonical.Invoice](b.t, c, canonical.TMSInvoice); v.Total.String() != "250.00" || v.LoadNumber != "L-"+load2 {
			b.t.Errorf("it is %s of load %s, want the newer 250.00 of L-%s", v.Total, v.LoadNumber, load2)
		}
	}
	t.Run("the load it needed before comes first", func(t *testing.T) {
		b := begin(t)
		b.know(aLoad(load1))
		b.wake(invoice)
		b.wants(invoice, record.StatusWaiting, "missing_parent")
		b.know(aLoad(load2))
		b.wake(invoice)
		newest(b)
	})
	t.Run("the load it needed before comes last", func(t *testing.T) {
		b := begin(t)
		b.know(aLoad(load2))
		b.wake(invoice)
		newest(b)
		b.know(aLoad(load1))
		b.wake(invoice)
		newest(b)
	})
}

func TestALoadInTheSameBatchIsSeen(t *testing.T) {
	b := newBench(t)
	b.know(anAccount())
	changes := b.compute(b.message(anInvoice()), b.message(aLoad(load1)))
	b.wants(invoice, record.StatusReady, "")
	if b.fetches() != "" || len(changes) != 2 {
		t.Errorf("fetches %q, %d changes", b.fetches(), len(changes))
	}
}

func TestManyInvoicesOfOneMissingLoadMakeOneRequest(t *testing.T) {
	b := newBench(t)
	other := anInvoice()
	other.RecordID = "revenova:other"
	b.put(anInvoice(), other)
	if b.fetches() != load1 {
		t.Errorf("fetches %q", b.fetches())
	}
}

func TestAPlainReferenceIsFetchedWithoutWaiting(t *testing.T) {
	b := newBench(t)
	b.know(aLoad(load1))
	b.put(anInvoice())
	b.wants(invoice, record.StatusReady, "")
	if b.fetches() != acme {
		t.Errorf("fetches %q, want the unknown customer", b.fetches())
	}
}

func TestWaitingEndsWithOneNotification(t *testing.T) {
	b := newBench(t)
	began := b.now
	b.put(anInvoice())
	b.now = began.Add(23 * time.Hour)
	b.put(anInvoice("rtms__Adjustments__c=0"))
	if c := b.wants(invoice, record.StatusWaiting, "missing_parent"); !c.WaitingSince.Equal(began) {
		t.Errorf("an update of the waiting record restarted its clock: %s", c.WaitingSince)
	}
	if err := b.stage.WakeOverdue(t.Context(), []int32{4}); err != nil || len(b.woken) != 0 {
		t.Fatalf("woken too early: %v, %v", b.woken, err)
	}
	b.now = began.Add(24*time.Hour + time.Second)
	if err := b.stage.WakeOverdue(t.Context(), []int32{4}); err != nil || len(b.woken) != 1 || b.woken[0].Key() != key(invoice) {
		t.Fatalf("woken %v, %v", b.woken, err)
	}
	b.wake(invoice)
	b.wants(invoice, record.StatusFailed, "parent_timeout")
	if b.notes() != "parent_timeout" || len(b.waiting) != 0 {
		t.Errorf("notifications %q, waiting %v", b.notes(), b.waiting)
	}
	b.wake(invoice)
	b.wants(invoice, record.StatusFailed, "parent_timeout")
	if b.notes() != "" {
		t.Errorf("told again: %q", b.notes())
	}
	b.know(aLoad(load1))
	b.wake(invoice)
	b.wants(invoice, record.StatusReady, "")
	if b.notes() != "resolved" {
		t.Errorf("notifications %q", b.notes())
	}
}

// TestTheDepthGrowsAlongAChain and a record given up at its end is asked for
// again by whoever is nearer, or where an operator wants it.
func TestTheDepthGrowsAlongAChain(t *testing.T) {
	b := newBench(t)
	depths := func() (out []int32) {
		for _, o := range b.out {
			if o.Topic == b.topics.FetchRequest() {
				f, err := b.codecs.FetchRequest.Decode(t.Context(), o.Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, f.Depth)
			}
		}
		return out
	}
	far := anInvoice()
	far.Depth = 8
	b.put(far)
	if got := depths(); len(got) != 1 || got[0] != 9 {
		t.Errorf("the parent of a record 8 steps away is asked for with depths %v, want 9", got)
	}
	given := aLoad(load1)
	given.Presence, given.Depth, given.Detail = record.PresenceFailed, 9, "9 steps away"
	b.know(given)
	b.wake(invoice)
	b.wants(invoice, record.StatusFailed, "parent_fetch_failed")
	if got := depths(); len(got) != 0 {
		t.Errorf("what was given up is asked for again with depths %v", got)
	}
	b.put(anInvoice())
	if got := depths(); len(got) != 1 || got[0] != 1 {
		t.Errorf("by a record that was sent, it is asked for with depths %v, want 1", got)
	}
	given.Depth = 1
	b.know(given)
	wanted := anInvoice()
	b.put(wanted)
	if got := depths(); len(got) != 0 {
		t.Errorf("what the source did not give is asked for again with depths %v", got)
	}
	wanted.Lineage.Origin = record.OriginResync
	b.put(wanted)
	if got := depths(); len(got) != 1 {
		t.Errorf("after a re-sync it is asked for with depths %v, want once", got)
	}
}

// TestTheClockStandsWhileTheSourceCannotBeAsked: what waits for a quota or a
// re-authorisation does not fail for it, and the time counts no more later.
func TestTheClockStandsWhileTheSourceCannotBeAsked(t *testing.T) {
	b := newBench(t)
	began := b.now
	overdue := func(after time.Duration) int {
		t.Helper()
		b.now, b.woken = began.Add(after), nil
		if err := b.stage.WakeOverdue(t.Context(), []int32{4}); err != nil {
			t.Fatal(err)
		}
		return len(b.woken)
	}
	b.put(anInvoice())
	b.blocks = []postgres.Block{
		{Tenant: "other", App: "revenova", Since: began},
		{Tenant: "envoy", App: "revenova", Since: began.Add(time.Hour), Code: "sf_request_limit"},
	}
	if n := overdue(72 * time.Hour); n != 0 {
		t.Errorf("%d records are overdue while their source cannot be asked", n)
	}
	b.put(anInvoice("rtms__Adjustments__c=0"))
	b.wants(invoice, record.StatusWaiting, "missing_parent")
	b.blocks[1].Until = b.now
	if n := overdue(94 * time.Hour); n != 0 {
		t.Errorf("%d records are overdue after 23 hours of their own clock", n)
	}
	if n := overdue(96 * time.Hour); n != 1 {
		t.Errorf("%d records are overdue after 25 hours of their own clock, want 1", n)
	}
	b.wake(invoice)
	b.wants(invoice, record.StatusFailed, "parent_timeout")
}

func TestAParentTheSourceDoesNotHaveFailsItsChild(t *testing.T) {
	for presence, code := range map[record.Presence]string{
		record.PresenceAbsent: "parent_absent", record.PresenceFailed: "parent_fetch_failed", record.PresenceDeleted: "parent_deleted",
	} {
		t.Run(string(presence), func(t *testing.T) {
			b := newBench(t)
			b.put(anInvoice())
			gone := aLoad(load1)
			gone.Presence, gone.Detail = presence, "HTTP 404"
			b.know(gone)
			b.wake(invoice)
			c := b.wants(invoice, record.StatusFailed, code)
			if !strings.Contains(c.Detail, load1) || b.notes() != code {
				t.Errorf("detail %q, notifications %q: what is missing must be named", c.Detail, b.notes())
			}
			b.know(aLoad(load1))
			b.wake(invoice)
			b.wants(invoice, record.StatusReady, "")
			if b.notes() != "resolved" {
				t.Errorf("notifications %q", b.notes())
			}
		})
	}
}

// Register, then look again: a parent that changes between the two is seen.
func TestAParentThatArrivesWhileItsChildRegistersIsNotMissed(t *testing.T) {
	b := newBench(t)
	b.onAdd = func() { b.know(aLoad(load1)) }
	b.put(anInvoice())
	if len(b.woken) != 1 || b.woken[0].Key() != key(invoice) || b.woken[0].Origin != record.OriginWake {
		t.Errorf("woken %+v", b.woken)
	}
}

func TestNothingIsWokenWhileNothingChanges(t *testing.T) {
	b := newBench(t)
	b.know(anAccount(), aLoad(load1))
	b.put(anInvoice())
	if len(b.woken) != 0 {
		t.Errorf("woken %+v", b.woken)
	}
	if len(b.uses) != 1 || b.uses[0].Parent != key(load1) || b.uses[0].Digest == record.MissingParent {
		t.Errorf("registered %+v", b.uses)
	}
}

func TestSettlingIsRetriedWhileRedisIsAway(t *testing.T) {
	b := newBench(t)
	b.know(aLoad(load1))
	changes := b.compute(b.message(anInvoice()))
	b.away = true
	if err := b.stage.Settle(t.Context(), changes); err == nil {
		t.Fatal("settled without Redis")
	}
	b.away = false
	if err := b.stage.Settle(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

func TestACustomerAndCarrierIsTwoEntities(t *testing.T) {
	b := newBench(t)
	b.put(anAccount("rtms__TMS_Type__c=Customer;Carrier"))
	c := b.wants(acme, record.StatusReady, "")
	if entity(c, canonical.TMSVendor) != "ready" || entity(c, canonical.TMSCustomer) != "ready" {
		t.Errorf("entities %+v", c.Entities)
	}
	if c.Entities[0].CanonicalID == c.Entities[1].CanonicalID {
		t.Error("both have one canonical id")
	}
}

func TestARoleThatIsRemovedIsWithdrawnNotDeleted(t *testing.T) {
	b := newBench(t)
	b.put(anAccount("rtms__TMS_Type__c=Customer;Carrier"))
	b.put(anAccount("rtms__TMS_Type__c=Customer"))
	c := b.wants(acme, record.StatusReady, "")
	if entity(c, canonical.TMSVendor) != "withdrawn no_longer" || entity(c, canonical.TMSCustomer) != "ready" {
		t.Errorf("entities %+v", c.Entities)
	}
	value[canonical.Vendor](t, c, canonical.TMSVendor) // its body is kept
	b.put(anAccount("rtms__TMS_Type__c=Prospect"))
	c = b.wants(acme, record.StatusReady, "no_entity")
	if entity(c, canonical.TMSCustomer) != "withdrawn no_longer" {
		t.Errorf("entities %+v", c.Entities)
	}
}

func TestARoleThatIsAddedLaterMakesTheMissingEntity(t *testing.T) {
	b := newBench(t)
	b.put(anAccount("rtms__TMS_Type__c=Prospect"))
	b.wants(acme, record.StatusIgnored, "no_entity")
	b.put(anAccount("rtms__TMS_Type__c=Prospect;Customer"))
	if c := b.wants(acme, record.StatusReady, ""); entity(c, canonical.TMSCustomer) != "ready" {
		t.Errorf("entities %+v", c.Entities)
	}
}

func TestADeletedSourceDeletesItsEntities(t *testing.T) {
	b := newBench(t)
	b.put(anAccount("Type=Vendor"))
	gone := anAccount("Type=Vendor")
	gone.Presence = record.PresenceDeleted
	b.put(gone)
	c := b.wants(acme, record.StatusReady, "deleted")
	if entity(c, canonical.TMSVendor) != "deleted source_deleted" || len(c.Entities[0].Body) == 0 {
		t.Errorf("entities %+v", c.Entities)
	}
	b.put(anAccount("Type=Vendor"))
	if c := b.wants(acme, record.StatusReady, ""); entity(c, canonical.TMSVendor) != "ready" {
		t.Errorf("after it was restored: %+v", c.Entities)
	}
}

func TestARecordThatWasNeverAnEntityDeletesNothing(t *testing.T) {
	b := newBench(t)
	gone := anAccount()
	gone.Presence = record.PresenceAbsent
	b.put(gone)
	if c := b.wants(acme, record.StatusIgnored, "absent"); len(c.Entities) != 0 {
		t.Errorf("entities %+v", c.Entities)
	}
}

func TestADestinationsRecordIsNotRouted(t *testing.T) {
	b := newBench(t)
	r := replica("Vendor:56", "qb_vendor", "DisplayName=Acme")
	r.SourceApp, r.RecordID = "quickbooks", "quickbooks:Vendor:56"
	b.put(r)
	c, err := b.codecs.Canonical.Decode(t.Context(), b.canonicals[r.Key()])
	if err != nil || c.Status != record.StatusIgnored {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestInvoicesAreGatedByTheirStatus(t *testing.T) {
	for status, want := range map[string]string{
		"Approved": "ready", "Invoiced": "ready", "Paid": "ready", "Short Paid": "ready",
		"Pending": "withdrawn status_not_ready: Pending", "On Hold": "withdrawn status_not_ready: On Hold", "null": "withdrawn status_not_ready:",
	} {
		b := newBench(t)
		b.know(aLoad(load1), anAccount())
		b.put(replica(invoice, typeInvoice, "Name=INV-1", "rtms__Load__c="+load1, "rtms__Invoice_Status__c="+status, "rtms__Invoice_Total__c=1"))
		if got := entity(b.state(invoice), canonical.TMSInvoice); got != want {
			t.Errorf("status %s: %q, want %q", status, got, want)
		}
		b.put(replica(bill, typeBill, "Name=B-1", "rtms__Load__c="+load1, "rtms__Vendor__c="+acme, "rtms__Invoice_Status__c=Audit Hold", "rtms__Invoice_Total__c=1"))
		if got := entity(b.state(bill), canonical.TMSBill); got != "withdrawn status_not_ready: Audit Hold" {
			t.Errorf("a bill on audit hold: %q", got)
		}
	}
}

func TestALoadCancelledAfterInvoicingVoidsTheInvoice(t *testing.T) {
	b := newBench(t)
	b.know(aLoad(load1), anAccount())
	b.put(anInvoice())
	b.know(aLoad(load1, "rtms__Load_Status__c=Cancelled"))
	b.wake(invoice)
	if c := b.wants(invoice, record.StatusReady, ""); entity(c, canonical.TMSInvoice) != "deleted load_cancelled" {
		t.Errorf("entities %+v", c.Entities)
	}
}

func TestAnInvoiceWithoutBillToFailsAndSaysSo(t *testing.T) {
	b := newBench(t)
	b.know(replica(load1, typeLoad, "Name=L-1", "rtms__Bill_To__c=null"))
	b.put(anInvoice())
	c := b.wants(invoice, record.StatusFailed, "missing_customer")
	if !strings.Contains(c.Detail, "L-1") || b.notes() != "missing_customer" {
		t.Errorf("detail %q, notifications %q", c.Detail, b.notes())
	}
	if n := len(c.Dependencies); n != 1 {
		t.Errorf("%d dependencies: a corrected load must wake it", n)
	}
}

func TestAFailedRecordTakesBackWhatWasNotSent(t *testing.T) {
	b := newBench(t)
	b.know(aLoad(load1), anAccount())
	b.put(anInvoice())
	b.put(anInvoice("rtms__Net_Line_Haul__c=twelve"))
	c := b.wants(invoice, record.StatusFailed, "bad_amount")
	if entity(c, canonical.TMSInvoice) != "withdrawn bad_amount" {
		t.Errorf("entities %+v", c.Entities)
	}
}

func TestOnlyTheNewestStateOfABatchCounts(t *testing.T) {
	b := newBench(t)
	b.compute(b.message(anAccount("Type=Vendor")), b.message(anAccount("Type=Vendor", "Phone=2")))
	if b.settled[0].Outcome != "superseded" || b.settled[1].Outcome != "ready" {
		t.Errorf("settled %+v", b.settled)
	}
	if v := value[canonical.Vendor](t, b.state(acme), canonical.TMSVendor); v.Phone != "2" {
		t.Errorf("phone %q", v.Phone)
	}
}

func TestAnUndecodableRecordIsADeadLetter(t *testing.T) {
	b := newBench(t)
	bad := stage.Record{Topic: b.topics.Replica(), Partition: 4, Offset: 99, Key: []byte(key("x")), Value: []byte("no avro")}
	erased := stage.Record{Topic: b.topics.Replica(), Partition: 4, Offset: 98, Key: []byte(key("y"))}
	b.compute(erased, bad, b.message(anAccount("Type=Vendor")))
	if b.settled[0].Outcome != "erased" || b.settled[1].Outcome != "dead_letter" || b.settled[2].Outcome != "ready" {
		t.Errorf("settled %+v", b.settled)
	}
}

func TestASettingSaysWhoIsAVendor(t *testing.T) {
	b := newBench(t)
	b.settings["vendor_types"] = []any{"Customs Broker"}
	b.put(anAccount("rtms__TMS_Type__c=Customs Broker;Carrier"))
	if c := b.wants(acme, record.StatusReady, ""); entity(c, canonical.TMSVendor) != "ready" {
		t.Errorf("entities %+v", c.Entities)
	}
	b.settings["vendor_types"] = []any{"Shipper/Consignee"}
	b.wake(acme)
	if c := b.state(acme); entity(c, canonical.TMSVendor) != "withdrawn no_longer" {
		t.Errorf("entities %+v", c.Entities)
	}
}
