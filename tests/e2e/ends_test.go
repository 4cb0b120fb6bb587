package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/parts"
	"github.com/fluxnex/fluxnex/tests/torture"
)

// rule is one line of the sandbox's fault script.
type rule map[string]any

func (p *platform) fault(t testing.TB, rules ...rule) {
	t.Helper()
	p.call(t, http.MethodPost, "/_sandbox/faults", rules)
}

var at = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func recordID(n int) string { return torture.LongID(fmt.Sprintf("0015g00000End%02d", n)) }

// arrived waits until an account is at an app.
func arrived(t testing.TB, p *platform, app, name string) torture.Object {
	t.Helper()
	var found torture.Object
	await(t, name+" is at "+app, func() (bool, string) {
		objects := p.objects(t, p.tenants[0])
		i := slices.IndexFunc(objects, func(o torture.Object) bool { return o.App == app && o.Name == name && o.Active })
		if i >= 0 {
			found = objects[i]
		}
		saw := make([]string, len(objects))
		for j := range objects {
			saw[j] = objects[j].String()
		}
		return i >= 0, strings.Join(saw, "; ")
	})
	return found
}

// TestServerErrorsAndLimitsAreRetriedAndArriveOnce: everything a destination
// does on a bad day, and one object each in the end.
func TestServerErrorsAndLimitsAreRetriedAndArriveOnce(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{})
	faults := map[string][]rule{
		"500": {
			{"app": "quickbooks", "contains": "Carrier 500", "times": 2, "action": "status", "status": 500, "body": map[string]any{}},
			{"app": "hubspot", "contains": "Carrier 500", "times": 2, "action": "status", "status": 503, "body": map[string]any{}},
		},
		"429": {
			{"app": "quickbooks", "contains": "Carrier 429", "times": 1, "action": "ratelimit", "retry_after": 1},
			{"app": "hubspot", "contains": "Carrier 429", "times": 1, "action": "ratelimit", "retry_after": 1, "policy": "TEN_SECONDLY_ROLLING"},
		},
		"reset": {
			{"app": "quickbooks", "contains": "Carrier reset", "times": 1, "action": "reset_before_apply"},
			{"app": "hubspot", "contains": "Carrier reset", "times": 1, "action": "reset_before_apply"},
		},
		"lost answer": {
			{"app": "quickbooks", "contains": "Carrier lost answer", "times": 1, "action": "apply_then_reset"},
			{"app": "hubspot", "contains": "Carrier lost answer", "times": 1, "action": "apply_then_reset"},
		},
		"applied 500": {
			{"app": "quickbooks", "contains": "Carrier applied 500", "times": 1, "action": "apply_then_500", "body": map[string]any{}},
			{"app": "hubspot", "contains": "Carrier applied 500", "times": 1, "action": "apply_then_500", "body": map[string]any{}},
		},
		"half answer": {
			{"app": "quickbooks", "contains": "Carrier half answer", "times": 1, "action": "truncated_body"},
			{"app": "hubspot", "contains": "Carrier half answer", "times": 1, "action": "truncated_body"},
		},
	}
	n := 0
	for name, rules := range faults {
		p.fault(t, rules...)
		acked(t, p, account(p, recordID(n), at, vendor("Carrier "+name, "555-0100")...))
		n++
	}
	for name := range faults {
		for _, app := range []string{"quickbooks", "hubspot"} {
			arrived(t, p, app, "Carrier "+name)
		}
	}
	objects := p.objects(t, p.tenants[0])
	if len(objects) != 2*len(faults) {
		t.Errorf("%d objects, want one each, %d", len(objects), 2*len(faults))
	}
	hit := map[string]bool{}
	creates := map[string]int{}
	for _, l := range p.ledger(t) {
		if l.Status >= 400 || !l.Replied {
			hit[l.App] = true
		}
		if l.Applied && l.Before == "" && (l.App == "quickbooks" || l.App == "hubspot") && l.Marker != "" {
			creates[l.App+" "+l.Marker]++
		}
	}
	if !hit["quickbooks"] || !hit["hubspot"] {
		t.Errorf("the fault script hit %v: the test proves nothing", hit)
	}
	for what, n := range creates {
		if n != 1 {
			t.Errorf("%s was created %d times", what, n)
		}
	}
	await(t, "no notification is open", func() (bool, string) {
		open := p.notifications(t, func(row) bool { return true })
		return len(open) == 0, show(open)
	})
}

// TestDeadCredentialIsOneSupportNotification: after a 401 that no refresh cures
// nothing more is attempted there, support is told once, and the other
// destination does not notice.
func TestDeadCredentialIsOneSupportNotification(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{})
	realm := p.tenants[0].Realm
	acked(t, p, account(p, recordID(0), at, vendor("Before", "555-0100")...))
	arrived(t, p, "quickbooks", "Before")
	p.call(t, http.MethodPost, "/_sandbox/quickbooks/"+realm+"/revoke", nil)

	acked(t, p, account(p, recordID(1), at, vendor("First after", "555-0101")...))
	arrived(t, p, "hubspot", "First after")
	about := func(r row) bool { return r.text("audience") == "support" && r.text("target") == booksTarget }
	await(t, "support is told about the credential", func() (bool, string) {
		all := p.notifications(t, func(row) bool { return true })
		return len(p.notifications(t, about)) > 0, show(all)
	})
	calls := p.callsTo(t, "quickbooks")
	for i := 2; i < 7; i++ {
		acked(t, p, account(p, recordID(i), at, vendor(fmt.Sprintf("Later %d", i), "555-0102")...))
		arrived(t, p, "hubspot", fmt.Sprintf("Later %d", i))
	}
	if now := p.callsTo(t, "quickbooks"); now != calls {
		t.Errorf("%d calls were made with a credential known to be dead", now-calls)
	}
	if told := p.notifications(t, about); len(told) != 1 {
		t.Errorf("support was told %d times, want once: %s", len(told), show(told))
	} else if told[0].text("remedy") == "" {
		t.Errorf("the notification does not say what to do: %s", show(told))
	}
	if customer := p.notifications(t, func(r row) bool { return r.text("audience") == "customer" }); len(customer) != 0 {
		t.Errorf("the customer was told about a matter of support: %s", show(customer))
	}
}

// callsTo counts the calls for objects, not for tokens.
func (p *platform) callsTo(t testing.TB, app string) int {
	t.Helper()
	n := 0
	for _, l := range p.ledger(t) {
		if l.App == app && (l.Object == "Vendor" || l.Object == "companies") {
			n++
		}
	}
	return n
}

// TestMissingFieldIsACustomerNotification: a record that lacks a mandatory
// field stops at that target, takes back what was queued there, and goes on by
// itself once it is right.
func TestMissingFieldIsACustomerNotification(t *testing.T) {
	p := prepare(t, parts.Kafka(t), shape{})
	tenant := p.tenants[0].ID
	p.apply(t, "required.yaml", fmt.Sprintf("kind: Mapping\ntenant: %s\nentity: TMS_VENDOR\napp: quickbooks\nrequired: [PrimaryPhone.FreeFormNumber]\n", tenant))
	p.startServices(t, 1)
	// Queued and not sent: nothing is delivered.
	delivery := p.all["delivery"][0]
	if err := delivery.end(syscall.SIGTERM, patience); err != nil {
		t.Fatal(err)
	}
	acked(t, p, account(p, recordID(0), at, vendor("Acme queued", "555-0100")...))
	acked(t, p, account(p, recordID(1), at, vendor("Neighbour", "555-0101")...))
	await(t, "both are routed", func() (bool, string) {
		n := p.all["router"][0].metric(t, "fluxnex_stage_records_total")
		return n >= 2, fmt.Sprint(n)
	})
	acked(t, p, account(p, recordID(0), at.Add(time.Minute), vendor("Acme without phone", "")...))
	about := func(r row) bool {
		return r.text("audience") == "customer" && strings.HasSuffix(r.text("recordid"), recordID(0))
	}
	await(t, "the customer is told", func() (bool, string) {
		all := p.notifications(t, func(row) bool { return true })
		return len(p.notifications(t, about)) > 0, show(all)
	})
	told := p.notifications(t, about)
	if len(told) != 1 || told[0].text("target") != booksTarget || told[0].text("remedy") == "" || told[0].text("message") == "" {
		t.Errorf("want one notification about %s with a message and a remedy, got %s", booksTarget, show(told))
	}

	if err := delivery.start(); err != nil {
		t.Fatal(err)
	}
	arrived(t, p, "hubspot", "Acme without phone")
	arrived(t, p, "quickbooks", "Neighbour")
	for _, o := range p.list(t, "quickbooks", p.tenants[0].Realm, "Vendor") {
		if strings.HasPrefix(o.Name, "Acme") {
			t.Errorf("what was queued was not withdrawn: %s", o.String())
		}
	}
	acked(t, p, account(p, recordID(0), at.Add(time.Hour), vendor("Acme in order", "555-0102")...))
	arrived(t, p, "quickbooks", "Acme in order")
	await(t, "the notification closed itself", func() (bool, string) {
		open := p.notifications(t, about)
		return len(open) == 0, show(open)
	})
	for _, l := range p.ledger(t) {
		if l.Applied && l.App == "quickbooks" && (l.Marker == "Acme queued" || l.Marker == "Acme without phone") {
			t.Errorf("a withdrawn state was applied: %s", l.String())
		}
	}
}

// TestMalformedMessageIsAckedAndDeadLettered: the source would repeat for a day
// what can never succeed; so it is acked, kept whole, and somebody is told.
func TestMalformedMessageIsAckedAndDeadLettered(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{})
	good := account(p, recordID(0), at, vendor("Neighbour", "555-0100")...)
	broken := good
	broken.Body = []byte(strings.Replace(strings.Replace(string(good.Body), "</sf:Name>", "", 1), "Neighbour", "Unreadable Inc", 1))
	acked(t, p, broken)
	acked(t, p, good)
	arrived(t, p, "quickbooks", "Neighbour")
	arrived(t, p, "hubspot", "Neighbour")
	var letters []row
	await(t, "the message is a dead letter", func() (bool, string) {
		letters = p.rows(t, "dead-letter", "list")
		return len(letters) > 0, show(letters)
	})
	if len(letters) != 1 {
		t.Fatalf("one malformed message became %d dead letters: %s", len(letters), show(letters))
	}
	if out := p.run(t, "dead-letter", "show", letters[0].text("id")); !strings.Contains(out, "Unreadable Inc") {
		t.Errorf("dead-letter show does not show the bytes:\n%s", out)
	}
	await(t, "somebody is told", func() (bool, string) {
		all := p.notifications(t, func(row) bool { return true })
		told := p.notifications(t, func(r row) bool { return r.text("audience") == "support" })
		return len(told) == 1, show(all)
	})
	p.run(t, "dead-letter", "redrive", letters[0].text("id"))
	await(t, "the redriven letter is refused again", func() (bool, string) {
		again := p.rows(t, "dead-letter", "list")
		return len(again) == 2, show(again)
	})
}
