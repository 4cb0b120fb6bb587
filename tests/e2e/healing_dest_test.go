package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/parts"
	"github.com/fluxnex/fluxnex/tests/torture"
)

// TestABookkeepersEditSurvives: somebody edits the vendor in QuickBooks; the
// next update heals by fetch, merge and retry, keeps what we do not own, and
// tells which field it wrote over.
func TestABookkeepersEditSurvives(t *testing.T) {
	parts.EachKafka(t, func(t *testing.T, cluster parts.Cluster) {
		p := install(t, cluster, shape{})
		id, path := recordID(0), "/_sandbox/quickbooks/"+p.tenants[0].Realm+"/Vendor/"
		acked(t, p, account(p, id, at, vendor("Acme", "555-0100")...))
		made := arrived(t, p, "quickbooks", "Acme")
		p.call(t, http.MethodPost, path+made.ID+"/edit", map[string]any{
			"Mobile": map[string]any{"FreeFormNumber": "555-7777"}, "PrimaryPhone": map[string]any{"FreeFormNumber": "by hand"},
		})
		acked(t, p, account(p, id, at.Add(time.Minute), vendor("Acme", "555-0101")...))
		await(t, "the update arrived", func() (bool, string) {
			now := arrived(t, p, "quickbooks", "Acme")
			return now.ID == made.ID && now.Phone == "555-0101", now.String()
		})
		if now := p.call(t, http.MethodGet, path+made.ID, nil); !strings.Contains(now, "555-7777") {
			t.Errorf("the person's own field was lost: %s", now)
		}
		about := func(r row) bool { return r.text("code") == "fields_overwritten" }
		await(t, "the customer is told what was written over", func() (bool, string) {
			told := p.notifications(t, about)
			return len(told) == 1 && strings.Contains(told[0].text("message"), "PrimaryPhone") && told[0].text("audience") == "customer", show(p.notifications(t, func(row) bool { return true }))
		})
		await(t, "the vendor as it was found is a replica", func() (bool, string) {
			stdout, stderr, code := command(t, p.env, "trace", p.tenants[0].Slug, "quickbooks:Vendor:"+made.ID)
			return code == 0 && strings.Contains(stdout, "replica"), stdout + stderr
		})
		refused := 0
		for _, l := range p.ledger(t) {
			if l.Code == "5010" {
				refused++
			}
		}
		if refused != 1 {
			t.Errorf("%d writes were refused as stale, want 1", refused)
		}
		acked(t, p, account(p, id, at.Add(time.Hour), vendor("Acme", "555-0102")...))
		await(t, "the notification closes itself", func() (bool, string) {
			told := p.notifications(t, about)
			return len(told) == 0, show(told)
		})
	})
}

// size is how many records a test has: few, or as many as FLUXNEX_E2E_RECORDS
// says.
func size(t testing.TB, few int) int {
	if os.Getenv("FLUXNEX_E2E_RECORDS") == "" {
		return few
	}
	return records(t)
}

func vendorID(n int) string { return torture.LongID(fmt.Sprintf("0015g0000V%05d", n)) }

// tellVendors sends the first n vendors as of an edit.
func (p *platform) tellVendors(t testing.TB, n, edit int) {
	t.Helper()
	all := map[string]map[string]string{}
	for i := range n {
		fields := map[string]string{}
		for _, f := range vendor(fmt.Sprintf("Vendor %05d", i), fmt.Sprintf("555-%05d-%d", i, edit)) {
			fields[f.Name] = f.Value
		}
		all[vendorID(i)] = fields
	}
	p.tell(t, accountObject, at.Add(time.Duration(edit)*time.Minute), all)
}

// connectionState is what `connection status` says.
type connectionState struct {
	State string
	Code  string
	Rows  map[string]int
}

func (p *platform) connectionState(t testing.TB, name string) (s connectionState) {
	t.Helper()
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(p.run(t, "connection", "status", p.tenants[0].Slug, name, "-o", "json")), &list); err != nil || len(list) != 1 {
		t.Fatalf("connection status: %v, %s", err, list)
	}
	if err := json.Unmarshal(list[0], &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAReauthorisedConnectionDrainsWithARamp: while the credential is dead one
// refresh is tried over all processes, one notification is sent and no call is
// made; then one probe, and twice as many calls each second. No row spends an
// attempt, and each record is sent once, in its newest state.
func TestAReauthorisedConnectionDrainsWithARamp(t *testing.T) {
	parts.EachKafka(t, func(t *testing.T, cluster parts.Cluster) {
		n := size(t, 200)
		long := 2*patience + time.Duration(n)*50*time.Millisecond
		p := install(t, cluster, shape{copies: 2})
		tenant := p.tenants[0]
		acked(t, p, account(p, recordID(0), at, vendor("First", "555-0100")...))
		arrived(t, p, "quickbooks", "First")
		p.call(t, http.MethodPost, "/_sandbox/quickbooks/"+tenant.Realm+"/revoke", nil)
		revoked := p.lastSeq(t)
		p.tellVendors(t, n, 1)
		p.tellVendors(t, n/2, 2) // a newer state of these meanwhile
		awaitFor(t, long, "nobody else waits", func() (bool, string) {
			rows := p.connectionState(t, crmTarget).Rows
			return rows["done"] == n+1, fmt.Sprint(rows)
		})
		awaitFor(t, long, "the connection is blocked, and its rows stand as they came", func() (bool, string) {
			s := p.connectionState(t, booksTarget)
			return s.State == "blocked" && s.Rows["ready"] == n, fmt.Sprintf("%+v", s)
		})
		about := func(r row) bool { return r.text("class") == "auth" }
		if told := p.notifications(t, about); len(told) != 1 || told[0].text("audience") != "support" || !strings.Contains(told[0].text("remedy"), "fluxnex connection reauthorize") {
			t.Errorf("want one notification for support that says what to do, got %s", show(told))
		}
		refreshes, calls := 0, 0
		for _, l := range p.ledger(t) {
			switch {
			case l.Seq <= revoked || l.App != "quickbooks":
			case l.Object == "token":
				refreshes++
			default:
				calls++
			}
		}
		t.Logf("%d deliveries on a revoked token: %d calls answered 401, %d refresh", n, calls, refreshes)
		if refreshes != 1 {
			t.Errorf("%d refreshes of a revoked credential over all processes, want 1", refreshes)
		}
		p.reauthorised(t, n, long)
		if told := p.notifications(t, about); len(told) != 0 {
			t.Errorf("the notification is still open: %s", show(told))
		}
	})
}

// reauthorised gives the connection new credentials and watches it drain.
func (p *platform) reauthorised(t testing.TB, n int, long time.Duration) {
	t.Helper()
	tenant := p.tenants[0]
	wrong := append([]string{"NEW_TOKEN=nobody-knows-this"}, p.env...)
	if out, stderr, code := command(t, wrong, "connection", "reauthorize", tenant.Slug, booksTarget, "--env", "refresh_token=NEW_TOKEN"); code == 0 || !strings.Contains(stderr, "nothing was stored") {
		t.Errorf("credentials that QuickBooks refuses: exit code %d, %s%s", code, out, stderr)
	}
	var fresh []struct {
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.Unmarshal([]byte(p.call(t, http.MethodPost, "/_sandbox/quickbooks/"+tenant.Realm+"/authorize", nil)), &fresh); err != nil || len(fresh) == 0 {
		t.Fatalf("authorize: %v, %+v", err, fresh)
	}
	from := p.lastSeq(t)
	right := append([]string{"NEW_TOKEN=" + fresh[0].RefreshToken}, p.env...)
	if out, stderr, code := command(t, right, "connection", "reauthorize", tenant.Slug, booksTarget, "--env", "refresh_token=NEW_TOKEN"); code != 0 {
		t.Fatalf("reauthorize: exit code %d, %s%s", code, out, stderr)
	}
	awaitFor(t, long, "everything is delivered and the connection open", func() (bool, string) {
		s := p.connectionState(t, booksTarget)
		return s.State == "open" && s.Rows["done"] == n+1, fmt.Sprintf("%+v", s)
	})
	var writes, probes []time.Time
	for _, l := range p.ledger(t) {
		switch {
		case l.Seq <= from || l.App != "quickbooks":
		case l.Object == "Vendor" && l.Method == http.MethodPost:
			if len(probes) < 2 {
				t.Errorf("the first write came after %d probes, want those of the command and of delivery", len(probes))
			}
			writes = append(writes, l.Time)
		case strings.Contains(l.Path, "companyinfo"):
			probes = append(probes, l.Time)
		}
	}
	if len(writes) != n {
		t.Errorf("%d writes for %d rows", len(writes), n)
	}
	// A bound from above, which a slow machine keeps as well: in each second since
	// delivery's probe twice what the ramp lets through.
	for i, w := range writes {
		since := w.Sub(probes[len(probes)-1]).Seconds()
		if since > 8 {
			break // the ramp is over
		}
		if most := 1 << (int(since) + 3); i+1 > most {
			t.Errorf("%d writes within %.1f s of the opening, the ramp lets %d through", i+1, since, most)
		}
	}
	for _, o := range p.list(t, "quickbooks", tenant.Realm, "Vendor") {
		var number int
		if c, err := fmt.Sscanf(o.Name, "Vendor %05d", &number); c != 1 || err != nil {
			continue // the first
		}
		edit := 1
		if number < n/2 {
			edit = 2
		}
		if want := fmt.Sprintf("555-%05d-%d", number, edit); o.Phone != want {
			t.Errorf("%s has phone %s, want the newest, %s", o.Name, o.Phone, want)
		}
	}
}

func (p *platform) lastSeq(t testing.TB) uint64 {
	t.Helper()
	var last uint64
	for _, l := range p.ledger(t) {
		last = max(last, l.Seq)
	}
	return last
}

// TestAnInvoiceWhoseCustomerIsNotRoutedSaysSo and goes on by itself when it is.
func TestAnInvoiceWhoseCustomerIsNotRoutedSaysSo(t *testing.T) {
	p := prepare(t, parts.Kafka(t), shape{})
	p.invoicing(t)
	p.run(t, "delete", "route", p.tenants[0].ID+"/TMS_CUSTOMER/"+booksTarget)
	p.startServices(t, 1)
	p.tell(t, accountObject, at, map[string]map[string]string{recordID(1): aCustomer("Shipper One")})
	p.tell(t, loadObject, at, map[string]map[string]string{loadID(1): aLoad("L-1", recordID(1))})
	p.tell(t, invoiceObject, at, map[string]map[string]string{invoiceID(1): anInvoice("INV-1", loadID(1))})
	about := func(r row) bool { return strings.HasSuffix(r.text("recordid"), invoiceID(1)) }
	await(t, "the customer's people are told what to do", func() (bool, string) {
		told := p.notifications(t, about)
		return len(told) == 1 && told[0].text("code") == "reference_not_routed" && strings.Contains(told[0].text("remedy"), "route"), show(told)
	})
	p.apply(t, "route.yaml", fmt.Sprintf("kind: Route\ntenant: %s\nentity: TMS_CUSTOMER\ntarget: %s\n", p.tenants[0].ID, booksTarget))
	stamp := at
	await(t, "the customer is routed with its next change", func() (bool, string) {
		// Until the router knows the route: a new one does not rewrite the past.
		stamp = stamp.Add(time.Minute)
		p.tell(t, accountObject, stamp, map[string]map[string]string{recordID(1): {"Name": "Shipper One", "BillingCity": stamp.Format(time.TimeOnly)}})
		customers := p.documents(t, "Customer")
		return len(customers) == 1, fmt.Sprint(customers)
	})
	p.customerOf(t, "INV-1", "Shipper One")
	await(t, "the notification closed itself", func() (bool, string) {
		told := p.notifications(t, about)
		return len(told) == 0, show(told)
	})
}

// book makes a call to the first tenant's QuickBooks as a bookkeeper.
func (p *platform) book(t testing.TB, path string, body any) string {
	t.Helper()
	in, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.sandbox.web+"/v3/company/"+p.tenants[0].Realm+"/"+path, bytes.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+bookkeeper(p.tenants[0]))
	status, _, answer := doHeader(t, req)
	if status != http.StatusOK {
		t.Fatalf("POST %s: %d %s", path, status, answer)
	}
	return answer
}

// TestAPaidInvoiceDoesNotFollowItsLoad: the load's bill-to changes after the
// customer paid. QuickBooks refuses, once; one notification has its words and
// says what can be done; with the payment taken off, the next change passes.
func TestAPaidInvoiceDoesNotFollowItsLoad(t *testing.T) {
	parts.EachKafka(t, func(t *testing.T, cluster parts.Cluster) {
		p := install(t, cluster, shape{})
		p.invoicing(t)
		p.hold(t, accountObject, recordID(1), aCustomer("Shipper One"))
		p.hold(t, accountObject, recordID(2), aCustomer("Shipper Two"))
		p.hold(t, loadObject, loadID(1), aLoad("L-1", recordID(1)))
		p.tell(t, invoiceObject, at, map[string]map[string]string{invoiceID(1): anInvoice("INV-1", loadID(1))})
		made := p.customerOf(t, "INV-1", "Shipper One")
		var paid struct{ Payment document }
		answer := p.book(t, "payment", map[string]any{
			"CustomerRef": map[string]any{"value": made.CustomerRef.Value}, "TotalAmt": made.TotalAmt,
			"Line": []any{map[string]any{"Amount": made.TotalAmt, "LinkedTxn": []any{map[string]any{"TxnId": made.ID, "TxnType": "Invoice"}}}},
		})
		if err := json.Unmarshal([]byte(answer), &paid); err != nil || paid.Payment.ID == "" {
			t.Fatalf("payment: %v, %s", err, answer)
		}
		from := p.lastSeq(t)
		p.tell(t, loadObject, at.Add(time.Hour), map[string]map[string]string{loadID(1): {"rtms__Bill_To__c": recordID(2)}})
		about := func(r row) bool { return strings.HasSuffix(r.text("recordid"), invoiceID(1)) }
		await(t, "the customer's people are told in QuickBooks' words", func() (bool, string) {
			told := p.notifications(t, about)
			return len(told) == 1 && told[0].text("audience") == "customer" && told[0].text("code") == "qbo_6000" &&
				strings.Contains(told[0].text("message"), "a payment is applied to it") && strings.Contains(told[0].text("remedy"), "Payment "+paid.Payment.ID), show(told)
		})
		// Another record goes its way, and the refused one is not tried again.
		p.tell(t, invoiceObject, at, map[string]map[string]string{invoiceID(2): anInvoice("INV-2", loadID(1))})
		p.customerOf(t, "INV-2", "Shipper Two")
		refused := 0
		for _, l := range p.ledger(t) {
			if l.Seq > from && l.Object == "Invoice" && l.Code == "6000" {
				refused++
			}
		}
		if now := p.customerOf(t, "INV-1", "Shipper One"); refused != 1 || now.Balance.String() != "0.00" {
			t.Errorf("the change was refused %d times, want once; the invoice is %+v", refused, now)
		}
		p.book(t, "payment?operation=delete", map[string]any{"Id": paid.Payment.ID, "SyncToken": "0"})
		p.tell(t, loadObject, at.Add(2*time.Hour), map[string]map[string]string{loadID(1): {"rtms__Load_Status__c": "Invoiced"}})
		p.customerOf(t, "INV-1", "Shipper Two")
		await(t, "the notification closed itself", func() (bool, string) {
			told := p.notifications(t, about)
			return len(told) == 0, show(told)
		})
	})
}

// TestAnInvoiceWhoseCustomerTheSourceDoesNotHaveSaysSo long before its time is
// up, and goes on by itself when the customer is there.
func TestAnInvoiceWhoseCustomerTheSourceDoesNotHaveSaysSo(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{})
	p.invoicing(t)
	p.hold(t, loadObject, loadID(1), aLoad("L-1", recordID(1)))
	p.tell(t, invoiceObject, at, map[string]map[string]string{invoiceID(1): anInvoice("INV-1", loadID(1))})
	about := func(r row) bool { return strings.HasSuffix(r.text("recordid"), invoiceID(1)) }
	await(t, "the customer's people are told that the source has none", func() (bool, string) {
		told := p.notifications(t, about)
		return len(told) == 1 && told[0].text("code") == "reference_absent" && strings.Contains(told[0].text("message"), recordID(1)) && told[0].text("remedy") != "", show(told)
	})
	p.tell(t, accountObject, at.Add(time.Hour), map[string]map[string]string{recordID(1): aCustomer("Shipper Late")})
	p.customerOf(t, "INV-1", "Shipper Late")
	await(t, "the notification closed itself", func() (bool, string) {
		told := p.notifications(t, about)
		return len(told) == 0, show(told)
	})
}

// TestARemovedRouteTakesBackWhatIsQueued: what is delivered stays, what was not
// sent is not, and a route that is declared again takes the next change.
func TestARemovedRouteTakesBackWhatIsQueued(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{})
	acked(t, p, account(p, recordID(0), at, vendor("First", "555-0100")...))
	arrived(t, p, "quickbooks", "First")
	delivery := p.all["delivery"][0]
	if err := delivery.end(syscall.SIGTERM, patience); err != nil {
		t.Fatal(err)
	}
	const n = 20
	// Consumed and not sent: the credential is dead when the process is back.
	p.call(t, http.MethodPost, "/_sandbox/quickbooks/"+p.tenants[0].Realm+"/revoke", nil)
	p.tellVendors(t, n, 1)
	if err := delivery.start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the rows are queued", func() (bool, string) {
		s := p.connectionState(t, booksTarget)
		return s.State == "blocked" && s.Rows["ready"] == n, fmt.Sprintf("%+v", s)
	})
	out := p.run(t, "delete", "route", p.tenants[0].ID+"/TMS_VENDOR/"+booksTarget)
	if !strings.Contains(out, "route_removed") {
		t.Errorf("deleting the route says nothing of what is queued:\n%s", out)
	}
	await(t, "what is queued is withdrawn", func() (bool, string) {
		s := p.connectionState(t, booksTarget)
		return s.Rows["withdrawn"] == n && s.Rows["done"] == 1 && s.Rows["ready"] == 0, fmt.Sprintf("%+v", s)
	})
	arrived(t, p, "hubspot", fmt.Sprintf("Vendor %05d", n-1))
	p.apply(t, "route.yaml", fmt.Sprintf("kind: Route\ntenant: %s\nentity: TMS_VENDOR\ntarget: %s\n", p.tenants[0].ID, booksTarget))
	edit := 1
	await(t, "the next change is queued again", func() (bool, string) {
		edit++ // until the router knows the route
		p.tellVendors(t, n, edit)
		s := p.connectionState(t, booksTarget)
		return s.Rows["ready"] == n, fmt.Sprintf("%+v", s)
	})
	for _, o := range p.list(t, "quickbooks", p.tenants[0].Realm, "Vendor") {
		if o.Name != "First" {
			t.Errorf("sent: %s", o.String())
		}
	}
}
