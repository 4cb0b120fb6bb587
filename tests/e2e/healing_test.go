package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/parts"
	"github.com/fluxnex/fluxnex/tests/torture"
)

// Objects of a Revenova org.
const (
	accountObject = "Account"
	loadObject    = "rtms__Load__c"
	invoiceObject = "rtms__CustomerInvoice__c"
)

func loadID(n int) string    { return torture.LongID(fmt.Sprintf("a0L5g0000%06d", n)) }
func invoiceID(n int) string { return torture.LongID(fmt.Sprintf("a1I5g0000%06d", n)) }

// invoicing sends customers and invoices of the first tenant to QuickBooks too.
func (p *platform) invoicing(t testing.TB) {
	t.Helper()
	n := p.tenants[0]
	const token = "refresh_token: {env: E2E_REFRESH_"
	before, after, found := strings.Cut(p.declare(n), token+n.ID+"}\n")
	if !found {
		t.Fatal("the declaration has no place for settings")
	}
	settings := "settings:\n  home_currency: USD\n  item_ref: {default: \"1\"}\n  expense_account_ref: \"3\"\n"
	routes := ""
	for _, entity := range []string{"TMS_CUSTOMER", "TMS_INVOICE"} {
		routes += fmt.Sprintf("---\nkind: Route\ntenant: %s\nentity: %s\ntarget: %s\n", n.ID, entity, booksTarget)
	}
	p.apply(t, "invoicing.yaml", before+token+n.ID+"}\n"+settings+after+routes)
}

// tell sends an outbound message about records of one object.
func (p *platform) tell(t testing.TB, object string, stamp time.Time, records map[string]map[string]string) {
	t.Helper()
	var notes []torture.Notification
	for id, values := range records {
		n := torture.Notification{ID: torture.LongID(fmt.Sprintf("04l5g0%09d", len(notes))), Record: id, Stamp: stamp}
		for name, value := range values {
			if name == "SystemModstamp" { // the message's own
				continue
			}
			n.Fields = append(n.Fields, torture.Field{Name: name, Value: value})
		}
		slices.SortFunc(n.Fields, func(a, b torture.Field) int { return strings.Compare(a.Name, b.Name) })
		notes = append(notes, n)
	}
	for chunk := range slices.Chunk(notes, 100) {
		body := strings.ReplaceAll(string(torture.Envelope(p.tenants[0].Organization, chunk)), `"sf:Account"`, `"sf:`+object+`"`)
		acked(t, p, torture.Message{Body: []byte(body)})
	}
}

// hold puts a record into the tenant's Salesforce, which tells nobody.
func (p *platform) hold(t testing.TB, object, id string, fields map[string]string) {
	t.Helper()
	p.call(t, http.MethodPut, "/_sandbox/salesforce/"+p.tenants[0].Organization+"/"+object+"/"+id, fields)
}

func anInvoice(number, load string) map[string]string {
	return map[string]string{
		"Name": number, "rtms__Load__c": load, "rtms__Invoice_Status__c": "Approved", "rtms__Invoice_Date__c": "2026-03-01",
		"rtms__Net_Line_Haul__c": "1000.0", "rtms__Invoice_Total__c": "1000.0",
	}
}

func aLoad(name, billTo string) map[string]string {
	return map[string]string{"Name": name, "rtms__Bill_To__c": billTo, "rtms__Customer__c": billTo, "rtms__Load_Status__c": "Delivered", "SystemModstamp": at.Format(torture.StampLayout)}
}

func aCustomer(name string) map[string]string {
	return map[string]string{"Name": name, "rtms__TMS_Type__c": "Customer", "BillingCity": "Portland", "SystemModstamp": at.Format(torture.StampLayout)}
}

// document is an object of QuickBooks, as far as these tests read it.
type document struct {
	ID          string `json:"Id"`
	SyncToken   string
	DocNumber   string
	DisplayName string
	Active      *bool
	Balance     json.Number
	TotalAmt    json.Number
	CustomerRef struct{ Value string }
}

func (p *platform) documents(t testing.TB, kind string) []document {
	t.Helper()
	var list struct{ Objects []document }
	if err := json.Unmarshal([]byte(p.call(t, http.MethodGet, "/_sandbox/quickbooks/"+p.tenants[0].Realm+"/"+kind, nil)), &list); err != nil {
		t.Fatal(err)
	}
	return list.Objects
}

// asked are the ids that one kind of call to Salesforce named.
func (p *platform) asked(t testing.TB, object, op string) []string {
	t.Helper()
	var ids []string
	for line := range strings.Lines(p.call(t, http.MethodGet, "/_sandbox/ledger", nil)) {
		var l struct {
			App, Object, Op, ID string
			IDs                 []string
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if l.App == "salesforce" && l.Object == object && l.Op == op {
			ids = append(ids, l.IDs...)
		}
	}
	return ids
}

// customerOf waits until an invoice is billed to a customer of this name.
func (p *platform) customerOf(t testing.TB, number, name string) document {
	t.Helper()
	var found document
	await(t, number+" is billed to "+name, func() (bool, string) {
		customers, invoices := p.documents(t, "Customer"), p.documents(t, "Invoice")
		i := slices.IndexFunc(customers, func(c document) bool { return c.DisplayName == name })
		j := slices.IndexFunc(invoices, func(v document) bool { return v.DocNumber == number })
		if j >= 0 {
			found = invoices[j]
		}
		return i >= 0 && j >= 0 && found.CustomerRef.Value == customers[i].ID, fmt.Sprintf("customers %+v, invoices %+v, notifications %s", customers, invoices, show(p.notifications(t, func(row) bool { return true })))
	})
	return found
}

// TestAnInvoiceBeforeItsLoadArrivesByItself: nobody sends the load nor its
// customer; both are fetched, once, and the invoice follows its customer.
func TestAnInvoiceBeforeItsLoadArrivesByItself(t *testing.T) {
	parts.EachKafka(t, func(t *testing.T, cluster parts.Cluster) {
		p := install(t, cluster, shape{})
		p.invoicing(t)
		p.hold(t, loadObject, loadID(1), aLoad("L-1", recordID(1)))
		p.hold(t, accountObject, recordID(1), aCustomer("Shipper One"))
		invoices := map[string]map[string]string{}
		for i := range 100 {
			invoices[invoiceID(i)] = anInvoice(fmt.Sprintf("INV-%03d", i), loadID(1))
		}
		p.tell(t, invoiceObject, at, invoices)
		await(t, "all invoices are at QuickBooks", func() (bool, string) {
			n := len(p.documents(t, "Invoice"))
			return n == 100, fmt.Sprint(n)
		})
		p.customerOf(t, "INV-042", "Shipper One")
		if ids := p.asked(t, loadObject, "retrieve"); len(ids) != 1 {
			t.Errorf("the load of 100 invoices was asked for %d times: %v", len(ids), ids)
		}
		if ids := p.asked(t, accountObject, "retrieve"); len(ids) != 1 {
			t.Errorf("the customer was asked for %d times: %v", len(ids), ids)
		}
		created := map[string]uint64{}
		for _, l := range p.ledger(t) {
			if l.App == "quickbooks" && l.Applied && l.Before == "" && created[l.Object] == 0 {
				created[l.Object] = l.Seq
			}
		}
		if created["Customer"] == 0 || created["Customer"] > created["Invoice"] {
			t.Errorf("the first invoice was created before its customer: %v", created)
		}

		// The bill-to changes later, and the invoice follows; another field of the
		// load changes, and nobody is woken.
		p.hold(t, accountObject, recordID(2), aCustomer("Shipper Two"))
		p.tell(t, loadObject, at.Add(time.Hour), map[string]map[string]string{loadID(1): {"rtms__Bill_To__c": recordID(2)}})
		last := p.customerOf(t, "INV-042", "Shipper Two")
		await(t, "all invoices follow", func() (bool, string) {
			n := 0
			for _, v := range p.documents(t, "Invoice") {
				if v.CustomerRef == last.CustomerRef {
					n++
				}
			}
			return n == 100, fmt.Sprint(n)
		})
		computed := p.all["normalizer"][0].metric(t, "fluxnex_stage_records_total")
		p.tell(t, loadObject, at.Add(2*time.Hour), map[string]map[string]string{loadID(1): {"rtms__Total_Weight__c": "42000"}})
		await(t, "the load's weight is known", func() (bool, string) {
			out := p.run(t, "trace", p.tenants[0].Slug, loadID(1), "-o", "json")
			return strings.Contains(out, at.Add(2*time.Hour).Format(torture.StampLayout)), out
		})
		acked(t, p, account(p, recordID(3), at, vendor("Last", "555-0100")...))
		arrived(t, p, "quickbooks", "Last")
		if n := p.all["normalizer"][0].metric(t, "fluxnex_stage_records_total") - computed; n > 10 {
			t.Errorf("a change of the load's weight made %.0f records be computed again", n)
		}
	})
}

// TestAnAbsentLoadFailsItsInvoiceUntilItArrives with one notification that
// names what is missing.
func TestAnAbsentLoadFailsItsInvoiceUntilItArrives(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{})
	p.invoicing(t)
	p.tell(t, invoiceObject, at, map[string]map[string]string{invoiceID(1): anInvoice("INV-1", loadID(1))})
	about := func(r row) bool { return strings.HasSuffix(r.text("recordid"), invoiceID(1)) }
	await(t, "the customer is told what is missing", func() (bool, string) {
		told := p.notifications(t, about)
		return len(told) == 1 && told[0].text("code") == "parent_absent" && strings.Contains(told[0].text("message"), loadID(1)), show(told)
	})
	// A week later.
	acked(t, p, account(p, recordID(1), at, vendor("Unrelated", "555-0100")...))
	p.hold(t, accountObject, recordID(2), aCustomer("Shipper Late"))
	p.tell(t, loadObject, at.Add(7*24*time.Hour), map[string]map[string]string{loadID(1): aLoad("L-1", recordID(2))})
	p.customerOf(t, "INV-1", "Shipper Late")
	await(t, "the notification closed itself", func() (bool, string) {
		told := p.notifications(t, about)
		return len(told) == 0, show(told)
	})
}

// TestABlockedSourceStopsTheClock: an invoice whose load cannot be fetched, as
// the org's requests are used up, does not fail; everybody can see why, support
// is told once, and it goes on by itself.
func TestABlockedSourceStopsTheClock(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{env: []string{"FLUXNEX_WAIT_TTL=5s"}})
	p.invoicing(t)
	await(t, "the first poll is over", func() (bool, string) {
		out := p.run(t, "connection", "poll", p.tenants[0].Slug, "Revenova")
		return strings.Contains(out, "polled"), out
	})
	p.hold(t, loadObject, loadID(1), aLoad("L-1", recordID(1)))
	p.hold(t, accountObject, recordID(1), aCustomer("Shipper One"))
	p.fault(t, rule{"app": "salesforce", "action": "ratelimit"})
	p.tell(t, invoiceObject, at, map[string]map[string]string{invoiceID(1): anInvoice("INV-1", loadID(1)), invoiceID(2): anInvoice("INV-2", loadID(1))})
	await(t, "the block is shown", func() (bool, string) {
		rows := p.rows(t, "waiting", "--tenant", p.tenants[0].Slug)
		if len(rows) != 2 {
			return false, show(rows)
		}
		fetch, ok := rows[0]["fetch"].(map[string]any)
		return ok && fetch["blocked_since"] != nil && fetch["code"] == "sf_request_limit" && strings.HasSuffix(rows[0].text("waitsfor"), loadID(1)) && rows[0].text("layer") == "normalizer", show(rows)
	})
	if out := p.run(t, "waiting"); !strings.Contains(out, loadID(1)) || !strings.Contains(out, "its clock stands") {
		t.Errorf("waiting does not say for what, and why:\n%s", out)
	}
	// Time enough to fail three times over: overdue records are looked for every
	// ten seconds.
	began := time.Now()
	await(t, "the time to wait is long over", func() (bool, string) {
		failed := p.notifications(t, func(r row) bool { return r.text("audience") == "customer" })
		if len(failed) != 0 {
			t.Fatalf("what waits for a quota has failed: %s", show(failed))
		}
		return time.Since(began) > 25*time.Second, ""
	})
	told := p.notifications(t, func(r row) bool { return r.text("audience") == "support" })
	if len(told) != 1 || told[0].text("code") != "sf_request_limit" || told[0].text("remedy") == "" {
		t.Errorf("support was told %s", show(told))
	}
	p.call(t, http.MethodDelete, "/_sandbox/faults", nil)
	p.run(t, "connection", "poll", p.tenants[0].Slug, "Revenova")
	p.customerOf(t, "INV-1", "Shipper One")
	p.customerOf(t, "INV-2", "Shipper One")
	await(t, "nothing waits and no notification is open", func() (bool, string) {
		rows, open := p.rows(t, "waiting"), p.notifications(t, func(row) bool { return true })
		return len(rows) == 0 && len(open) == 0, show(rows) + show(open)
	})
}

// TestDeletesAndMergesThatNobodyAnnouncesAreFound: Salesforce says nothing of
// them, and an older save that comes afterwards revives nobody.
func TestDeletesAndMergesThatNobodyAnnouncesAreFound(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{})
	organization := "/_sandbox/salesforce/" + p.tenants[0].Organization + "/Account"
	for i, name := range []string{"Deleted Carrier", "Losing Carrier", "Winning Carrier"} {
		p.hold(t, accountObject, recordID(i), map[string]string{"Name": name, "Type": "Vendor", "rtms__TMS_Type__c": "Carrier", "SystemModstamp": at.Format(torture.StampLayout)})
		acked(t, p, account(p, recordID(i), at, vendor(name, "555-0100")...))
		arrived(t, p, "quickbooks", name)
		arrived(t, p, "hubspot", name)
	}
	p.call(t, http.MethodDelete, organization+"/"+recordID(0), nil)
	p.call(t, http.MethodPost, organization+"/merge", map[string]any{"winner": recordID(2), "losers": []string{recordID(1)}})
	if out := p.run(t, "connection", "poll", p.tenants[0].Slug, "Revenova"); !strings.Contains(out, "2 removals") {
		t.Errorf("the poll found: %s", out)
	}
	standing := func() (active, inactive []string) {
		for _, o := range p.objects(t, p.tenants[0]) {
			if o.Active {
				active = append(active, o.App+" "+o.Name)
			} else {
				inactive = append(inactive, o.App+" "+o.Name)
			}
		}
		return active, inactive
	}
	await(t, "the two are out of use at both destinations", func() (bool, string) {
		active, inactive := standing()
		return len(inactive) == 4 && len(active) == 2 && strings.HasSuffix(active[0], "Winning Carrier"), fmt.Sprint(active, inactive)
	})
	if out := p.run(t, "connection", "poll", p.tenants[0].Slug, "Revenova"); !strings.Contains(out, "0 removals") {
		t.Errorf("the second poll found again: %s", out)
	}
	// An older save, held up.
	acked(t, p, account(p, recordID(0), at.Add(time.Minute), vendor("Deleted Carrier", "555-0199")...))
	acked(t, p, account(p, recordID(3), at, vendor("Last", "555-0100")...))
	arrived(t, p, "quickbooks", "Last")
	arrived(t, p, "hubspot", "Last")
	if active, inactive := standing(); len(inactive) != 4 {
		t.Errorf("an older save revived a deleted record: active %v, inactive %v", active, inactive)
	}
}

// TestADeletedInvoiceIsVoided and an echo of what is known changes nothing.
func TestADeletedInvoiceIsVoided(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{})
	p.invoicing(t)
	p.hold(t, accountObject, recordID(1), aCustomer("Shipper One"))
	p.hold(t, loadObject, loadID(1), aLoad("L-1", recordID(1)))
	p.hold(t, invoiceObject, invoiceID(1), anInvoice("INV-1", loadID(1)))
	p.tell(t, invoiceObject, at, map[string]map[string]string{invoiceID(1): anInvoice("INV-1", loadID(1))})
	first := p.customerOf(t, "INV-1", "Shipper One")

	// The same save again, under a later time: a person saved without a change, or
	// a tool wrote back what it had read.
	p.tell(t, invoiceObject, at.Add(time.Hour), map[string]map[string]string{invoiceID(1): anInvoice("INV-1", loadID(1))})
	p.tell(t, invoiceObject, at, map[string]map[string]string{invoiceID(2): anInvoice("INV-2", loadID(1))})
	p.customerOf(t, "INV-2", "Shipper One")
	if again := p.customerOf(t, "INV-1", "Shipper One"); again.SyncToken != first.SyncToken {
		t.Errorf("an echo was written: SyncToken %s became %s", first.SyncToken, again.SyncToken)
	}

	p.call(t, http.MethodDelete, "/_sandbox/salesforce/"+p.tenants[0].Organization+"/"+invoiceObject+"/"+invoiceID(1), nil)
	p.run(t, "connection", "poll", p.tenants[0].Slug, "Revenova")
	await(t, "the invoice is void and the other is not", func() (bool, string) {
		var void, open int
		for _, v := range p.documents(t, "Invoice") {
			if total, err := v.TotalAmt.Float64(); err == nil && total == 0 {
				void++
			} else if v.DocNumber == "INV-2" {
				open++
			}
		}
		return void == 1 && open == 1, fmt.Sprintf("%+v", p.documents(t, "Invoice"))
	})
}

// TestAnInvoiceThatCannotFollowItsLoadSaysSo: the books are closed, so the
// invoice stays as it is, and one notification tells what to do.
func TestAnInvoiceThatCannotFollowItsLoadSaysSo(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{})
	p.invoicing(t)
	p.hold(t, accountObject, recordID(1), aCustomer("Shipper One"))
	p.hold(t, accountObject, recordID(2), aCustomer("Shipper Two"))
	p.hold(t, loadObject, loadID(1), aLoad("L-1", recordID(1)))
	p.tell(t, invoiceObject, at, map[string]map[string]string{invoiceID(1): anInvoice("INV-1", loadID(1))})
	p.customerOf(t, "INV-1", "Shipper One")
	preferences := "/_sandbox/quickbooks/" + p.tenants[0].Realm + "/preferences"
	p.call(t, http.MethodPut, preferences, map[string]any{"closed_through": "2026-12-31"})
	p.tell(t, loadObject, at.Add(time.Hour), map[string]map[string]string{loadID(1): {"rtms__Bill_To__c": recordID(2)}})
	about := func(r row) bool { return strings.HasSuffix(r.text("recordid"), invoiceID(1)) }
	await(t, "the customer is told that the books are closed", func() (bool, string) {
		told := p.notifications(t, about)
		return len(told) == 1 && told[0].text("audience") == "customer" && strings.Contains(told[0].text("message"), "closed") && told[0].text("remedy") != "", show(told)
	})
	p.customerOf(t, "INV-1", "Shipper One")
	p.call(t, http.MethodPut, preferences, map[string]any{"closed_through": ""})
	p.tell(t, loadObject, at.Add(2*time.Hour), map[string]map[string]string{loadID(1): {"rtms__Load_Status__c": "Invoiced"}})
	p.customerOf(t, "INV-1", "Shipper Two")
	await(t, "the notification closed itself", func() (bool, string) {
		told := p.notifications(t, about)
		return len(told) == 0, show(told)
	})
}
