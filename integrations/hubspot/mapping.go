package hubspot

import (
	"net/url"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// Objects maps the entities of one record; all that make it a company are one.
func (mapper) Objects(in integration.Source, a integration.Account) []integration.Object {
	var out []integration.Object
	var company *integration.Object
	for _, e := range in.Entities {
		switch v := e.Value.(type) {
		case *canonical.Vendor:
			company = addParty(company, e.Entity, &v.Party)
		case *canonical.Customer:
			company = addParty(company, e.Entity, &v.Party)
		case *canonical.Contact:
			out = append(out, contactObject(v))
		case *canonical.Load:
			out = append(out, dealObject(v, a.Settings))
		}
	}
	if company != nil {
		out = append(out, *company)
	}
	for i := range out {
		out[i].Payload.PutText(unique(a.Settings), string(in.RecordID))
		rename(&out[i])
	}
	return out
}

// usualProperties is room for those of a company.
const usualProperties = 12

// addParty adds what one role of an account says; the first role's words stay.
func addParty(o *integration.Object, e canonical.Entity, p *canonical.Party) *integration.Object {
	if o == nil {
		o = &integration.Object{Object: companies, Type: companies, Payload: integration.NewTree(usualProperties)}
	}
	o.Entities = append(o.Entities, e)
	name := strings.TrimSpace(p.DBAName)
	if name == "" {
		name = strings.TrimSpace(p.Name)
	}
	fill(o.Payload, "name", name)
	fill(o.Payload, "phone", p.Phone)
	fill(o.Payload, "domain", domain(p.Website))
	if p.Billing != nil {
		address(o.Payload, p.Billing)
		street, rest := splitStreet(p.Billing.Street)
		fill(o.Payload, "address", street)
		fill(o.Payload, "address2", rest)
	}
	return o
}

func contactObject(c *canonical.Contact) integration.Object {
	p := integration.NewTree(usualProperties)
	fill(p, "firstname", c.FirstName)
	fill(p, "lastname", c.LastName)
	fill(p, "email", strings.ToLower(c.Email))
	fill(p, "phone", c.Phone)
	fill(p, "jobtitle", c.Title)
	if c.Address != nil {
		address(p, c.Address)
		fill(p, "address", strings.Join(lines(c.Address.Street), ", "))
	}
	o := integration.Object{Object: contacts, Type: contacts, Entities: []canonical.Entity{canonical.TMSContact}, Payload: p}
	belongs(&o, c.Account)
	return o
}

func dealObject(l *canonical.Load, s integration.Settings) integration.Object {
	p := integration.NewTree(usualProperties)
	if l.Number != "" {
		p.PutText("dealname", "Load "+l.Number)
	}
	pipeline, _ := s["pipeline"].(string)
	fill(p, "pipeline", pipeline)
	fill(p, "dealstage", stage(l.Status, pipeline, s))
	fill(p, "closedate", l.DeliveryDate)
	if l.Revenue != nil {
		p.PutText("amount", l.Revenue.Fixed(2))
	}
	o := integration.Object{Object: deals, Type: deals, Entities: []canonical.Entity{canonical.TMSLoad}, Payload: p, Number: l.Number}
	customer := l.BillTo
	if customer == nil || customer.RecordID == "" {
		customer = l.Customer
	}
	belongs(&o, customer)
	return o
}

// stage is the deal's stage for a load's status: as the settings say, else one
// of the pipeline every portal begins with. Stages of other pipelines have ids
// of their own.
func stage(status, pipeline string, s integration.Settings) string {
	if stages, ok := s["deal_stages"].(map[string]any); ok {
		for _, key := range []string{status, "default"} {
			if id, ok := stages[key].(string); ok && id != "" {
				return id
			}
		}
		return ""
	}
	if pipeline != "" && pipeline != "default" {
		return ""
	}
	switch status {
	case "Delivered", "Completed":
		return "closedwon"
	case "Cancelled", "Declined", "Expired":
		return "closedlost"
	}
	return "appointmentscheduled"
}

// belongs ties an object to its company, once there is one: a contact is worth
// having without.
func belongs(o *integration.Object, to *canonical.Ref) {
	if to == nil || to.RecordID == "" {
		return
	}
	o.Payload.Put(associated, &integration.Tree{})
	o.References = append(o.References, record.Reference{
		Path: associated + "." + companies, RecordID: to.RecordID, Object: companies, Optional: true,
	})
}

// rename sets what an object is searched by from what is sent.
func rename(o *integration.Object) {
	get := func(name string) string { s, _ := o.Payload.Text(name); return s }
	switch o.Object {
	case companies:
		o.Name = get("name")
	case contacts:
		o.Name = strings.TrimSpace(get("firstname") + " " + get("lastname"))
		if o.Name == "" {
			o.Name = get("email")
		}
	case deals:
		o.Name = get("dealname")
	}
}

func fill(p *integration.Tree, name, value string) {
	if value = strings.TrimSpace(value); value != "" && !p.Has(name) {
		p.PutText(name, value)
	}
}

func address(p *integration.Tree, a *canonical.Address) {
	fill(p, "city", a.City)
	fill(p, "state", a.State)
	fill(p, "zip", a.PostalCode)
	fill(p, "country", a.Country)
}

func lines(street string) []string {
	var out []string
	for l := range strings.FieldsFuncSeq(street, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

func splitStreet(street string) (first, rest string) {
	l := lines(street)
	if len(l) == 0 {
		return "", ""
	}
	return l[0], strings.Join(l[1:], ", ")
}

// domain is the host of a web address in lower case, as HubSpot keeps it: what
// it would change by itself must not look like a change.
func domain(website string) string {
	w := strings.TrimSpace(website)
	if w == "" {
		return ""
	}
	if !strings.Contains(w, "://") {
		w = "http://" + w
	}
	u, err := url.Parse(w)
	if err != nil {
		return ""
	}
	host := strings.TrimPrefix(strings.ToLower(u.Hostname()), "www.")
	if !strings.Contains(host, ".") {
		return ""
	}
	return host
}
