package torture

import (
	"fmt"
	"strings"
)

// readIntents learns what was sent, and what of it was acknowledged.
func (c *checker) readIntents() {
	for _, in := range c.ev.Intents {
		for _, name := range in.Edits {
			var record, rank int
			var variant string
			// The variant is a letter or nothing.
			if n, _ := fmt.Sscanf(name, "%d:%d%s", &record, &rank, &variant); n < 2 || record >= len(c.sent) {
				c.fail(Unattributed, key{}, fmt.Sprintf("the intent log names an edit %q that the plan has not", name))
				continue
			}
			c.send(record, rank, variant)
			if in.Event == Acked {
				c.acked[record] = max(c.acked[record], rank)
				c.report.AckedEdits++
			}
		}
	}
	if c.report.AckedEdits == 0 {
		c.fail(NotAcked, key{}, "no edit was acknowledged")
		return
	}
	c.readHeld()
}

func (c *checker) send(record, rank int, variant string) {
	if c.sent[record] == nil {
		c.sent[record] = map[string]bool{}
	}
	c.sent[record][fmt.Sprintf("%d%s", rank, variant)] = true
}

// readHeld: what the source has can be fetched, told or not. What is never told
// counts as acknowledged once an acknowledged invoice needs it.
func (c *checker) readHeld() {
	needed := map[string]bool{} // customers by name
	for i := range c.ev.Plan.Records {
		r := &c.ev.Plan.Records[i]
		if r.Role != Cargo || r.Coming == Never {
			continue
		}
		for _, child := range c.children[i] {
			if c.acked[child] > 0 && !c.ev.Plan.Records[child].Truth.Deleted {
				needed[r.Truth.BillTo] = true
			}
		}
	}
	for i := range c.ev.Plan.Records {
		r := &c.ev.Plan.Records[i]
		if r.Role != Customer {
			continue
		}
		last := r.Edits[len(r.Edits)-1]
		c.send(i, last.Rank, "")
		if r.Coming == Fetched && needed[c.ev.Plan.billTo(i)] {
			c.acked[i] = last.Rank
			c.report.Fetched++
		}
	}
}

// told reports whether anybody could know of a record.
func (c *checker) told(record int) bool { return c.acked[record] > 0 || c.sent[record] != nil }

// readLedger makes each record's history at its destinations.
func (c *checker) readLedger() {
	seen := map[destination]int{}
	for i := range c.ev.Ledger {
		l := &c.ev.Ledger[i]
		dest, ours := c.owners[place(l.App, l.Account, l.Object)]
		if !ours || !l.Applied {
			continue
		}
		seen[dest]++
		c.report.Writes++
		c.write(dest, i)
	}
	wanted := map[destination]bool{}
	for i := range c.ev.Plan.Records {
		r := &c.ev.Plan.Records[i]
		if c.acked[i] == 0 || r.Truth.Deleted || c.ev.Plan.Orphan(r) {
			continue
		}
		for _, app := range r.Apps() {
			wanted[destination{r.Tenant, app, objectAt(app, r.Role)}] = true
		}
	}
	for dest := range wanted {
		if seen[dest] == 0 {
			c.fail(NothingSeen, key{app: dest.app, record: -1}, fmt.Sprintf("tenant %s: not one %s was written at %s", c.ev.Plan.Tenants[dest.tenant].ID, dest.object, dest.app))
		}
	}
}

// objectAt is what a role is at an app.
func objectAt(app string, role Role) string {
	switch {
	case app == "hubspot":
		return "companies"
	case role == Customer:
		return "Customer"
	case role == Invoice:
		return "Invoice"
	}
	return "Vendor"
}

// Wrote is the state that a ledger line carries in its marker, if it carries one.
func (p *Plan) Wrote(l *Line) (m Marker, ok bool) {
	if strings.EqualFold(l.Object, "Invoice") {
		if m.Record, m.Rank, ok = ParseTotal(l.Marker); !ok {
			return m, false
		}
		if m.Record < len(p.Records) {
			m.Tenant = p.Tenants[p.Records[m.Record].Tenant].ID
		}
	} else if m, ok = ParseMarker(l.Marker); !ok {
		return m, false
	}
	return m, m.Record < len(p.Records) && strings.EqualFold(objectAt(l.App, p.Records[m.Record].Role), l.Object)
}
