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
		o.Name, _ = o.Payload["DisplayName"].(string)
		return
	}
	o.Number, _ = o.Payload["DocNumber"].(string)
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
		p["TermRef"] = ref(id)
	}
	return integration.Object{Object: vendor, Type: vendor, Payload: p}
}

func customerObject(c *canonical.Customer, id record.ID, s integration.Settings) integration.Object {
	p := partyPayload(&c.Party, "", s)
	p["Notes"] = markerText(id)
	if c.Shipping != nil {
		putTree(p, "ShipAddr", address(c.Shipping))
	}
	if id := byKey(s, "terms", strings.TrimSuffix(c.TermsDays, ".0")); c.TermsDays != "" && id != "" {
		p["SalesTermRef"] = ref(id)
	}
	return integration.Object{Object: customer, Type: customer, Payload: p}
}

func nameOf(p *canonical.Party) string {
	if n := cleanName(p.DBAName); n != "" {
		return n
	}
	return p.Name
}

// usualFields is room for those of a vendor or customer.
const usualFields = 16

func partyPayload(v *canonical.Party, suffix string, s integration.Settings) map[string]any {
	p := make(map[string]any, usualFields)
	if name := cleanName(nameOf(v)); name != "" {
		p["DisplayName"] = cutName(name, suffix, maxName)
	}
	put(p, "CompanyName", cutName(cleanName(v.Name), "", maxName))
	if phone := firstOf(v.Phone); phone != "" {
		p["PrimaryPhone"] = map[string]any{"FreeFormNumber": phone}
	}
	if fax := firstOf(v.Fax); fax != "" {
		p["Fax"] = map[string]any{"FreeFormNumber": fax}
	}
	if mail := firstOf(v.Email); mail != "" {
		p["PrimaryEmailAddr"] = map[string]any{"Address": mail}
	}
	if web := webAddress(v.Website); web != "" {
		p["WebAddr"] = map[string]any{"URI": web}
	}
	if v.Billing != nil {
		putTree(p, "BillAddr", address(v.Billing))
	}
	if foreign(v.Currency, s) && flag(s, "multicurrency") {
		p["CurrencyRef"] = ref(v.Currency)
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
func address(a *canonical.Address) map[string]any {
	p := map[string]any{}
	var lines []string
	for line := range strings.FieldsFuncSeq(a.Street, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) > 5 {
		lines = append(lines[:4:4], strings.Join(lines[4:], ", "))
	}
	for i, line := range lines {
		p["Line"+string(rune('1'+i))] = line
	}
	put(p, "City", a.City)
	put(p, "CountrySubDivisionCode", a.State)
	put(p, "PostalCode", a.PostalCode)
	put(p, "Country", a.Country)
	return p
}

func put(p map[string]any, name, value string) {
	if value != "" {
		p[name] = value
	}
}

func putTree(p map[string]any, name string, value map[string]any) {
	if len(value) > 0 {
		p[name] = value
	}
}

func ref(id string) map[string]any { return map[string]any{"value": id} }

// markerText marks an object whose own note people may write in too.
func markerText(id record.ID) string { return "FluxNex " + string(id) }
