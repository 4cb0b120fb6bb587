package torture_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// mixed is a load of everything.
var mixed = torture.Size{Records: 400, DeleteShare: 0.1, TieShare: 0.05, PartialShare: 0.2, Documents: true, Probes: true}

// began is when a perfect run begins.
var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// perfection makes what a perfect platform leaves behind.
type perfection struct {
	ev  torture.Evidence
	at  time.Time
	ids map[string]string // of customers by billed name
}

// perfect: everything acked, every state applied at all destinations in its
// order, who can never arrive told of, all at rest.
func perfect(t *testing.T, size torture.Size) torture.Evidence {
	t.Helper()
	p := torture.NewPlan(7, tenants(), size)
	made := perfection{ev: torture.Evidence{Plan: p}, at: began, ids: map[string]string{}}
	made.acks(t)
	// Customers before invoices, as references need.
	for _, role := range []torture.Role{torture.Carrier, torture.Customer, torture.Invoice} {
		for i := range p.Records {
			if p.Records[i].Role == role && !p.Orphan(&p.Records[i]) {
				made.deliver(i)
			}
		}
	}
	if size.Documents {
		made.rest()
	}
	return made.ev
}

func (m *perfection) acks(t *testing.T) {
	t.Helper()
	messages, err := m.ev.Plan.Messages()
	if err != nil {
		t.Fatal(err)
	}
	probes, err := m.ev.Plan.Probes()
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range append(messages, probes...) {
		var edits []string
		for _, e := range message.Edits {
			edits = append(edits, e.Name())
		}
		for _, event := range []string{torture.Sent, torture.Acked} {
			m.ev.Intents = append(m.ev.Intents, torture.Intent{At: m.at, Event: event, Message: message.Number, Edits: edits})
		}
	}
}

// deliver writes all states of a record at its destinations.
func (m *perfection) deliver(i int) {
	p := m.ev.Plan
	r := &p.Records[i]
	for _, app := range r.Apps() {
		account, object := p.Tenants[r.Tenant].Realm, map[torture.Role]string{torture.Carrier: "Vendor", torture.Customer: "Customer", torture.Invoice: "Invoice"}[r.Role]
		if app == "hubspot" {
			account, object = p.Tenants[r.Tenant].Portal, "companies"
		}
		id, marker := fmt.Sprint(1000+i), ""
		for version, e := range r.Edits {
			l := torture.Line{
				Seq: uint64(len(m.ev.Ledger) + 1), Time: m.at, App: app, Account: account, Object: object, ID: id,
				Op: "update", Method: "POST", After: fmt.Sprint(version), Applied: true, Replied: true, Status: 200,
				RequestID: fmt.Sprintf("%s-%d-%d", app, i, version), Digest: fmt.Sprintf("%d-%d", i, version),
			}
			m.at = m.at.Add(time.Millisecond)
			if version > 0 {
				l.Before = fmt.Sprint(version - 1)
			}
			for _, f := range e.Fields {
				if f.Name == "Name" && r.Role != torture.Invoice || f.Name == "rtms__Invoice_Total__c" {
					marker = f.Value
				}
			}
			l.Marker = marker
			switch {
			case version == 0:
				l.Op = "create"
			case e.Deleted && r.Role == torture.Invoice:
				l.Op, l.Marker = "void", "0"
			case e.Deleted:
				l.Op = "deactivate"
			}
			m.ev.Ledger = append(m.ev.Ledger, l)
		}
		truth := r.Truth
		o := torture.Object{
			App: app, Account: account, Type: object, ID: id, Name: truth.Name, Phone: truth.Phone, Street: truth.Street, City: truth.City, Zip: truth.Zip, Region: truth.Region,
			Number: truth.Number, Total: truth.Total, Lines: truth.Lines, Active: !truth.Deleted,
		}
		switch name, _, _ := strings.Cut(truth.Name, " r"); {
		case r.Role == torture.Customer:
			m.ids[name] = id
		case r.Role == torture.Invoice:
			o.Customer = m.ids[truth.BillTo]
		case app == "quickbooks" && truth.Deleted:
			o.Name += " (deleted)"
		}
		m.ev.Objects = append(m.ev.Objects, o)
	}
}

// rest adds what is seen when all is quiet.
func (m *perfection) rest() {
	p := m.ev.Plan
	m.ev.Desk = &torture.Desk{Revoked: []torture.Revocation{{Tenant: "two", Target: "books", At: m.at}}}
	m.ev.Desk.Told = append(m.ev.Desk.Told, torture.Notice{Tenant: "two", Target: "books", Audience: "support", Stage: "delivery", Class: "auth", Code: "invalid_grant", At: m.at})
	for i := range p.Records {
		r := &p.Records[i]
		tenant, id := p.Tenants[r.Tenant].ID, "revenova:"+r.ID
		view := torture.View{Name: "replica", Partition: int32(i), Ready: true, Have: map[string]string{}, Want: map[string]string{}}
		if r.Coming != torture.Never {
			view.Have[tenant+"/"+id], view.Want[tenant+"/"+id] = "v", "v"
		}
		m.ev.Views = append(m.ev.Views, view)
		if p.Orphan(r) {
			n := torture.Notice{Tenant: tenant, RecordID: id, Audience: "customer", Stage: "normalizer", Class: "business", Code: "parent_absent", Fingerprint: id, Offset: int64(i), At: m.at}
			m.ev.Desk.Notices = append(m.ev.Desk.Notices, n)
			m.ev.Desk.Told = append(m.ev.Desk.Told, n)
		}
	}
	for i := range 3 {
		m.ev.Topics = append(m.ev.Topics,
			torture.Topic{Name: "gateway", Partition: int32(i), End: 100, Records: 90, Markers: 10},
			torture.Topic{Name: "replica", Partition: int32(i), Compacted: true, End: 100, Records: 50, Markers: 10, Gaps: []torture.Span{{10, 50}}})
	}
	m.ev.Tokens = &torture.Tokens{Expired: m.at}
	for _, t := range p.Tenants {
		m.at = m.at.Add(time.Second)
		m.ev.Ledger = append(m.ev.Ledger, torture.Line{
			Seq: uint64(len(m.ev.Ledger) + 1), Time: m.at, App: "quickbooks", Account: t.Realm, Object: "token", Op: "refresh", Applied: true, Replied: true, Status: 200,
		})
	}
}
