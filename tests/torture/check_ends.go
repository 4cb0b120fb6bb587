package torture

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

func (c *checker) readObjects() {
	for i := range c.ev.Objects {
		o := &c.ev.Objects[i]
		dest, ours := c.owners[place(o.App, o.Account, o.Type)]
		if !ours {
			continue
		}
		c.report.Objects++
		tenant, record, ok := c.whose(o)
		if !ok {
			c.fail(Unattributed, key{}, "an object belongs to no record: "+o.String())
			continue
		}
		k := key{dest.app, record}
		c.ends[k] = append(c.ends[k], o)
		if owner := c.ev.Plan.Tenants[dest.tenant].ID; tenant != owner {
			c.fail(WrongTenant, k, "an object of tenant "+tenant+" is in an account of "+owner)
		}
		if dest.object == "Customer" {
			c.customers[o.Account+"/"+o.ID] = c.ev.Plan.billTo(record)
		}
	}
}

var numberForm = regexp.MustCompile(`^(\S+)-I(\d{6,})$`)

// whose reads an object's record from its name or number.
func (c *checker) whose(o *Object) (tenant string, record int, ok bool) {
	var role Role
	if strings.EqualFold(o.Type, "Invoice") {
		m := numberForm.FindStringSubmatch(o.Number)
		if m == nil {
			return "", 0, false
		}
		n, err := strconv.Atoi(m[2])
		tenant, record, ok, role = m[1], n, err == nil, Invoice
	} else {
		m, named := ParseMarker(o.Name)
		tenant, record, ok = m.Tenant, m.Record, named
		if strings.EqualFold(o.Type, "Customer") {
			role = Customer
		}
	}
	ok = ok && record < len(c.ev.Plan.Records) && c.ev.Plan.Records[record].Role == role
	return tenant, record, ok
}

// judge holds every record's end against the plan.
func (c *checker) judge() {
	for i := range c.ev.Plan.Records {
		if !c.told(i) {
			continue
		}
		c.report.Records++
		for _, app := range c.ev.Plan.Records[i].Apps() {
			c.end(key{app, i})
		}
	}
}

func (c *checker) end(k key) {
	ends := c.ends[k]
	if t := c.tracks[k]; t != nil && !t.inverted.IsZero() {
		c.fail(Reordered, k, "an older state landed on a newer one and stayed")
	}
	if len(ends) > 1 {
		c.fail(Duplicated, k, fmt.Sprintf("%d objects", len(ends)))
		return
	}
	allowed, exact := c.allowed(k.record)
	if !exact {
		return
	}
	if len(ends) == 0 {
		for _, s := range allowed {
			if s == nil || s.Deleted {
				return // never made, or conflated away before it was
			}
		}
		c.fail(Lost, k, "no object; wanted "+describe(allowed))
		return
	}
	got := c.state(ends[0])
	kind := Stale
	for _, s := range allowed {
		switch {
		case s == nil:
			kind = Invented
		case s.Deleted && got.Deleted, *s == got:
			return
		case s.Deleted:
			kind = NotDeleted
		case got.Deleted:
			kind = Deleted
		case s.Total != "" && s.BillTo != got.BillTo:
			kind = Misbilled
		case s.Total != "" && s.Total == got.Total, s.Total == "" && s.Name == got.Name:
			kind = Torn
		}
	}
	c.fail(kind, k, "wanted "+describe(allowed))
}

// state is what an object shows.
func (c *checker) state(o *Object) State {
	s := State{
		Name: strings.TrimSuffix(o.Name, " (deleted)"), Phone: o.Phone, Street: o.Street, City: o.City, Zip: o.Zip, Region: o.Region,
		Number: o.Number, Total: o.Total, Lines: o.Lines, Deleted: !o.Active,
	}
	if o.Number != "" {
		s.BillTo = c.customers[o.Account+"/"+o.Customer]
	}
	return s
}

// allowed lists the states a record may end in: the truth if its last edit was
// acked, otherwise also those that were sent and may have arrived. nil is "not
// there at all". They are not exact where what was sent in parts was not acked.
func (c *checker) allowed(record int) (states []*State, exact bool) {
	p := c.ev.Plan
	r := &p.Records[record]
	last := r.Edits[len(r.Edits)-1]
	switch {
	case p.Orphan(r):
		return []*State{nil}, true
	case c.acked[record] == last.Rank:
		return []*State{&r.Truth}, true
	case p.composed(r) && !r.Tied():
		return nil, false
	}
	var out []*State
	if c.acked[record] == 0 {
		out = append(out, nil)
	}
	for _, e := range r.Edits {
		if e.Rank < c.acked[record] || !c.sent[record][fmt.Sprintf("%d%s", e.Rank, e.Variant)] {
			continue
		}
		if e.Deleted {
			out = append(out, &State{Deleted: true})
			continue
		}
		s := p.state(record, e.Rank, e.Variant)
		out = append(out, &s)
	}
	return out, true
}

func describe(states []*State) string {
	parts := make([]string, len(states))
	for i, s := range states {
		switch {
		case s == nil:
			parts[i] = "no object"
		case s.Deleted:
			parts[i] = "deleted"
		case s.Total != "":
			parts[i] = fmt.Sprintf("number %q total %s lines %s billed to %q", s.Number, s.Total, s.Lines, s.BillTo)
		case s.Name == "":
			parts[i] = fmt.Sprintf("billed to %q", s.BillTo)
		default:
			parts[i] = fmt.Sprintf("name %q phone %q street %q city %q zip %q region %q", s.Name, s.Phone, s.Street, s.City, s.Zip, s.Region)
		}
	}
	return strings.Join(parts, ", or ")
}
