package quickbooks

import (
	"strings"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// Objects maps each ready entity to its own object.
func (m mapper) Objects(in integration.Source, a integration.Account) []integration.Object {
	var out []integration.Object
	for _, e := range in.Entities {
		var o integration.Object
		switch v := e.Value.(type) {
		case *canonical.Vendor:
			o = vendorObject(v, vendorSuffix(in, a.Settings), a.Settings)
		case *canonical.Customer:
			o = customerObject(v, in.RecordID, a.Settings)
		case *canonical.Invoice:
			o = invoiceObject(v, in.RecordID, a.Settings)
		case *canonical.Bill:
			o = billObject(v, in.RecordID, a.Settings)
		default:
			continue
		}
		o.Entities = []canonical.Entity{e.Entity}
		rename(&o)
		out = append(out, o)
	}
	return out
}

// rename sets what an object is searched by from what is sent.
func rename(o *integration.Object) {
	if isName(o.Type) {
		o.Name, _ = o.Payload.Text("DisplayName")
		return
	}
	o.Number, _ = o.Payload.Text("DocNumber")
}

// vendorSuffix tells the vendor from the customer of one account, because
// QuickBooks keeps both in one name space. An account that was a customer once
// counts: its customer is still there.
func vendorSuffix(in integration.Source, s integration.Settings) string {
	both := false
	for _, e := range in.Entities {
		both = both || e.Entity == canonical.TMSCustomer
	}
	for _, e := range in.Former {
		both = both || e == canonical.TMSCustomer
	}
	if !both {
		return ""
	}
	if v, ok := s["vendor_suffix"].(string); ok && strings.TrimSpace(v) != "" {
		return " " + cleanName(v)
	}
	return " (V)"
}

func vendorObject(v *canonical.Vendor, suffix string, s integration.Settings) integration.Object {
	p := partyPayload(&v.Party, suffix, s)
	put(p, "AcctNum", v.SourceID)
	put(p, "PrintOnCheckName", cutName(cleanName(nameOf(&v.Party)), "", 110))
	put(p, "TaxIdentifier", strings.TrimSpace(v.TaxID))
	if id := byKey(s, "terms", strings.TrimSuffix(v.TermsDays, ".0")); v.TermsDays != "" && id != "" {
		p.Put("TermRef", ref(id))
	}
	return integration.Object{Object: vendor, Type: vendor, Payload: p}
}

func customerObject(c *canonical.Customer, id record.ID, s integration.Settings) integration.Object {
	p := partyPayload(&c.Party, "", s)
	p.PutText("Notes", markerText(id))
	if c.Shipping != nil {
		putTree(p, "ShipAddr", address(c.Shipping))
	}
	if id := byKey(s, "terms", strings.TrimSuffix(c.TermsDays, ".0")); c.TermsDays != "" && id != "" {
		p.Put("SalesTermRef", ref(id))
	}
	return integration.Object{Object: customer, Type: customer, Payload: p}
}

func nameOf(p *canonical.Party) string {
	if n := cleanName(p.DBAName); n != "" {
		return n
	}
	return p.Name
}

// Room for the fields of a vendor or customer, and for those of an address or a
// line.
const (
	usualFields = 16
	usualLines  = 6
)

func partyPayload(v *canonical.Party, suffix string, s integration.Settings) *integration.Tree {
	p := integration.NewTree(usualFields)
	if name := cleanName(nameOf(v)); name != "" {
		p.PutText("DisplayName", cutName(name, suffix, maxName))
	}
	put(p, "CompanyName", cutName(cleanName(v.Name), "", maxName))
	if phone := firstOf(v.Phone); phone != "" {
		p.Put("PrimaryPhone", integration.TreeOf("FreeFormNumber", phone))
	}
	if fax := firstOf(v.Fax); fax != "" {
		p.Put("Fax", integration.TreeOf("FreeFormNumber", fax))
	}
	if mail := firstOf(v.Email); mail != "" {
		p.Put("PrimaryEmailAddr", integration.TreeOf("Address", mail))
	}
	if web := webAddress(v.Website); web != "" {
		p.Put("WebAddr", integration.TreeOf("URI", web))
	}
	if v.Billing != nil {
		putTree(p, "BillAddr", address(v.Billing))
	}
	if foreign(v.Currency, s) && flag(s, "multicurrency") {
		p.Put("CurrencyRef", ref(v.Currency))
	}
	return p
}

// foreign reports a currency that is not the company's own.
func foreign(currency string, s integration.Settings) bool {
	home := setting(s, "home_currency")
	return currency != "" && home != "" && !strings.EqualFold(currency, home)
}

// address spreads a street of several lines over Line1 to Line5; what is left
// goes into the last.
func address(a *canonical.Address) *integration.Tree {
	p := integration.NewTree(usualLines)
	names := [...]string{"Line1", "Line2", "Line3", "Line4", "Line5"}
	lines := make([]string, 0, len(names))
	for line := range strings.FieldsFuncSeq(a.Street, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if last := len(names) - 1; len(lines) > len(names) {
		lines = append(lines[:last:last], strings.Join(lines[last:], ", "))
	}
	for i, line := range lines {
		p.PutText(names[i], line)
	}
	put(p, "City", a.City)
	put(p, "CountrySubDivisionCode", a.State)
	put(p, "PostalCode", a.PostalCode)
	put(p, "Country", a.Country)
	return p
}

func put(p *integration.Tree, name, value string) {
	if value != "" {
		p.PutText(name, value)
	}
}

func putTree(p *integration.Tree, name string, value *integration.Tree) {
	if value.Len() > 0 {
		p.Put(name, value)
	}
}

func ref(id string) *integration.Tree { return integration.TreeOf("value", id) }

// markerText marks an object whose own note people may write in too.
func markerText(id record.ID) string { return "FluxNex " + string(id) }
