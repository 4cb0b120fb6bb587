package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/parts"
	"github.com/fluxnex/fluxnex/tests/torture"
)

// send posts one message as its sender would and returns the answer.
func send(t testing.TB, p *platform, m torture.Message) (status int, contentType, body string) {
	t.Helper()
	req, err := m.Request(p.gateways()[0], p.tenants[m.Tenant], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return do(t, req)
}

func do(t testing.TB, req *http.Request) (status int, contentType, body string) {
	t.Helper()
	status, header, body := doHeader(t, req)
	return status, header.Get("Content-Type"), body
}

// account is one account's edit as an outbound message of the first tenant.
func account(p *platform, id string, stamp time.Time, fields ...torture.Field) torture.Message {
	slices.SortFunc(fields, func(a, b torture.Field) int { return strings.Compare(a.Name, b.Name) })
	n := torture.Notification{ID: torture.LongID(fmt.Sprintf("04l5g0%09d", stamp.Unix()%1e9)), Record: id, Stamp: stamp, Fields: fields}
	return torture.Message{Body: torture.Envelope(p.tenants[0].Organization, []torture.Notification{n})}
}

func vendor(name, phone string) []torture.Field {
	return []torture.Field{
		{Name: "BillingCity", Value: "Springfield"},
		{Name: "BillingPostalCode", Value: "04001"},
		{Name: "Name", Value: name},
		{Name: "Phone", Value: phone},
		{Name: "Type", Value: "Vendor"},
		{Name: "rtms__TMS_Type__c", Value: "Carrier"},
	}
}

// acked posts a message that must get the SOAP Ack.
func acked(t testing.TB, p *platform, m torture.Message) {
	t.Helper()
	status, contentType, body := send(t, p, m)
	if !torture.Acknowledged(status, []byte(body)) {
		t.Fatalf("an outbound message was answered %d %s, which makes Salesforce repeat it for a day: %s", status, contentType, body)
	}
	if !strings.HasPrefix(contentType, "text/xml") {
		t.Errorf("the SOAP Ack came as %q, want text/xml", contentType)
	}
}

// both waits until each of the two destinations shows what is wanted.
func both(t testing.TB, p *platform, what string, want func(torture.Object) bool) {
	t.Helper()
	await(t, what, func() (bool, string) {
		objects := p.objects(t, p.tenants[0])
		n, saw := 0, []string{}
		for _, o := range objects {
			saw = append(saw, o.String())
			if want(o) {
				n++
			}
		}
		return n == 2 && len(objects) == 2, strings.Join(saw, "; ")
	})
}

func TestOneAccountReachesBothDestinations(t *testing.T) {
	parts.EachKafka(t, func(t *testing.T, cluster parts.Cluster) {
		p := install(t, cluster, shape{})
		const id = "0015g00000AbCdEAAV"
		stamp := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

		acked(t, p, account(p, id, stamp, vendor("Acme Trucking", "555-0100")...))
		both(t, p, "the account is a vendor and a company", func(o torture.Object) bool {
			return o.Active && o.Name == "Acme Trucking" && o.Phone == "555-0100" && o.City == "Springfield"
		})
		traced(t, p, id)

		acked(t, p, account(p, id, stamp.Add(time.Minute), vendor("Acme Trucking & Söhne", "555-0101")...))
		both(t, p, "the update arrived at the same two objects", func(o torture.Object) bool {
			return o.Active && o.Name == "Acme Trucking & Söhne" && o.Phone == "555-0101"
		})

		// Late: an older save that was held up must change nothing.
		acked(t, p, account(p, id, stamp.Add(time.Second), vendor("Acme before", "555-0000")...))
		body, err := torture.DeleteEvent(id, stamp.Add(time.Hour), 1778192987716501506)
		if err != nil {
			t.Fatal(err)
		}
		if status, _, answer := send(t, p, torture.Message{JSON: true, Body: body}); status/100 != 2 {
			t.Fatalf("a change event was answered %d: %s", status, answer)
		}
		both(t, p, "the account is deactivated and archived", func(o torture.Object) bool { return !o.Active })
		for _, l := range p.ledger(t) {
			if strings.HasPrefix(l.Marker, "Acme before") {
				t.Errorf("an older save was sent after a newer one: %s", l.String())
			}
		}
	})
}

// traced looks the record up by everything a person may know of it.
func traced(t *testing.T, p *platform, id string) {
	t.Helper()
	slug := p.tenants[0].Slug
	vendor := p.list(t, "quickbooks", p.tenants[0].Realm, "Vendor")[0].ID
	for _, text := range []string{id, id[:15], vendor, "Acme Trucking"} {
		stdout, stderr, code := command(t, p.env, "trace", slug, text)
		if code != 0 {
			t.Errorf("trace %s %q: exit code %d: %s", slug, text, code, stderr)
			continue
		}
		for _, want := range []string{id, "gateway", "replica", "normalizer", "router", "delivery", "TMS_VENDOR", booksTarget, crmTarget, ".gateway"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("trace %q does not show %q:\n%s", text, want, stdout)
			}
		}
	}
	if stdout, _, code := command(t, p.env, "trace", slug, id, "--raw"); code != 0 || !strings.Contains(stdout, "Acme Trucking") || !strings.Contains(stdout, "sObject") {
		t.Errorf("trace --raw: exit code %d, payload:\n%s", code, stdout)
	}
	if _, stderr, code := command(t, p.env, "trace", slug, "0015g00000ZZZZZZZZ"); code != 3 {
		t.Errorf("trace of an unknown record: exit code %d, want 3: %s", code, stderr)
	}
	if stdout, stderr, code := command(t, p.env, "lag"); code != 0 || strings.TrimSpace(stdout) == "" {
		t.Errorf("lag: exit code %d: %s%s", code, stdout, stderr)
	}
}

// webhook is the URL of a tenant's outbound messages.
func webhook(p *platform, source, slug, key string) string {
	u := p.gateways()[0] + "/webhooks/" + source + "/" + slug
	if key != "" {
		u += "?key=" + url.QueryEscape(key)
	}
	return u
}
