package quickbooks

import (
	"encoding/json"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

// Limits that several fields share.
const (
	maxDocNumber   = 21
	maxPhone       = 30
	maxDescription = 4000
)

// Describe returns what must not be changed.
func (m mapper) Describe() []integration.ObjectSchema { return m.schemas }

func describe() []integration.ObjectSchema {
	return []integration.ObjectSchema{
		{Object: vendor, Entities: []canonical.Entity{canonical.TMSVendor}, Fields: vendorFields()},
		{Object: customer, Entities: []canonical.Entity{canonical.TMSCustomer}, Fields: customerFields()},
		{Object: invoice, Entities: []canonical.Entity{canonical.TMSInvoice}, Fields: invoiceFields()},
		{Object: bill, Entities: []canonical.Entity{canonical.TMSBill}, Fields: billFields()},
	}
}

func (m mapper) schemaOf(object string) integration.ObjectSchema {
	for _, s := range m.schemas {
		if s.Object == object {
			return s
		}
	}
	return integration.ObjectSchema{}
}

func nameFields() []integration.FieldSchema {
	f := []integration.FieldSchema{
		{Path: "DisplayName", Mandatory: true, Max: maxName},
		{Path: "Title", Max: 16},
		{Path: "GivenName", Max: 100},
		{Path: "MiddleName", Max: 100},
		{Path: "FamilyName", Max: 100},
		{Path: "Suffix", Max: 16},
		{Path: "CompanyName", Max: 100},
		{Path: "PrintOnCheckName", Max: 110},
		{Path: "PrimaryPhone.FreeFormNumber", Max: maxPhone},
		{Path: "AlternatePhone.FreeFormNumber", Max: maxPhone},
		{Path: "Mobile.FreeFormNumber", Max: maxPhone},
		{Path: "Fax.FreeFormNumber", Max: maxPhone},
		{Path: "PrimaryEmailAddr.Address", Max: 100},
		{Path: "WebAddr.URI", Max: 1000},
		{Path: "CurrencyRef.value", Max: 3},
	}
	return append(f, addressFields("BillAddr")...)
}

func addressFields(name string) []integration.FieldSchema {
	var f []integration.FieldSchema
	for _, line := range []string{"Line1", "Line2", "Line3", "Line4", "Line5"} {
		f = append(f, integration.FieldSchema{Path: name + "." + line, Max: 500})
	}
	return append(f,
		integration.FieldSchema{Path: name + ".City", Max: 255},
		integration.FieldSchema{Path: name + ".CountrySubDivisionCode", Max: 255},
		integration.FieldSchema{Path: name + ".PostalCode", Max: 30},
		integration.FieldSchema{Path: name + ".Country", Max: 255},
	)
}

func vendorFields() []integration.FieldSchema {
	return append(nameFields(),
		integration.FieldSchema{Path: "AcctNum", Max: 100},
		integration.FieldSchema{Path: "TaxIdentifier", Max: 20},
		integration.FieldSchema{Path: "TermRef.value"},
		integration.FieldSchema{Path: "APAccountRef.value"},
		integration.FieldSchema{Path: "Vendor1099"},
		integration.FieldSchema{Path: "BusinessNumber", Max: 10},
		integration.FieldSchema{Path: "CostRate"},
		integration.FieldSchema{Path: "BillRate"},
	)
}

func customerFields() []integration.FieldSchema {
	return append(append(nameFields(), addressFields("ShipAddr")...),
		integration.FieldSchema{Path: "Notes", Max: 2000},
		integration.FieldSchema{Path: "SalesTermRef.value"},
		integration.FieldSchema{Path: "PaymentMethodRef.value"},
		integration.FieldSchema{Path: "CustomerTypeRef.value"},
		integration.FieldSchema{Path: "DefaultTaxCodeRef.value"},
		integration.FieldSchema{Path: "ParentRef.value"},
		integration.FieldSchema{Path: "Taxable"},
		integration.FieldSchema{Path: "Job"},
		integration.FieldSchema{Path: "BillWithParent"},
		integration.FieldSchema{Path: "ResaleNum", Max: 16},
		integration.FieldSchema{Path: "PreferredDeliveryMethod"},
	)
}

func documentFields() []integration.FieldSchema {
	return []integration.FieldSchema{
		{Path: "DocNumber", Max: maxDocNumber},
		{Path: "TxnDate", Max: 10},
		{Path: "DueDate", Max: 10},
		{Path: "PrivateNote", Max: 4000},
		{Path: "CurrencyRef.value", Max: 3},
		{Path: "ExchangeRate"},
		{Path: "DepartmentRef.value"},
		{Path: "GlobalTaxCalculation"},
		{Path: "TxnTaxDetail"},
		{Path: "Line.Amount", Mandatory: true},
		{Path: "Line.DetailType", Mandatory: true},
		{Path: "Line.Description", Max: maxDescription},
	}
}

func invoiceFields() []integration.FieldSchema {
	f := append(documentFields(),
		integration.FieldSchema{Path: "CustomerRef.value", Mandatory: true},
		integration.FieldSchema{Path: "Line.SalesItemLineDetail.ItemRef.value", Mandatory: true},
		integration.FieldSchema{Path: "CustomerMemo.value", Max: 1000},
		integration.FieldSchema{Path: "BillEmail.Address", Max: 100},
		integration.FieldSchema{Path: "SalesTermRef.value"},
		integration.FieldSchema{Path: "ClassRef.value"},
		integration.FieldSchema{Path: "DepositToAccountRef.value"},
		integration.FieldSchema{Path: "ShipMethodRef.value"},
		integration.FieldSchema{Path: "ShipDate", Max: 10},
		integration.FieldSchema{Path: "TrackingNum", Max: 31},
		integration.FieldSchema{Path: "PONumber", Max: 25},
		integration.FieldSchema{Path: "CustomField"},
	)
	return append(append(f, addressFields("BillAddr")...), addressFields("ShipAddr")...)
}

func billFields() []integration.FieldSchema {
	return append(documentFields(),
		integration.FieldSchema{Path: "VendorRef.value", Mandatory: true},
		integration.FieldSchema{Path: "Line.AccountBasedExpenseLineDetail.AccountRef.value", Mandatory: true},
		integration.FieldSchema{Path: "APAccountRef.value"},
		integration.FieldSchema{Path: "SalesTermRef.value"},
	)
}

// Validate cleans and cuts names, which is safe, and reports everything else.
// A document number over the limit is a problem and not cut: a cut one could
// be another document's.
func (m mapper) Validate(o *integration.Object) []integration.Problem {
	if isName(o.Type) {
		tidy(o.Payload, "DisplayName", maxName)
		tidy(o.Payload, "CompanyName", maxName)
		tidy(o.Payload, "PrintOnCheckName", 110)
	}
	rename(o)
	problems := integration.Check(o, m.schemaOf(o.Object))
	for i := range problems {
		adviseOnSettings(&problems[i])
	}
	problems = append(problems, mailProblems(o)...)
	problems = append(problems, dateProblems(o)...)
	return append(problems, lineProblems(o)...)
}

// tidy writes a name only where it changes: most are as they should be.
func tidy(payload *integration.Tree, field string, limit int) {
	v, ok := payload.Text(field)
	if !ok {
		return
	}
	base, suffix := suffixOf(cleanName(v))
	if cut := cutName(base, suffix, limit); cut != v {
		payload.PutText(field, cut)
	}
}

// adviseOnSettings says where ids come from that no source record holds.
func adviseOnSettings(p *integration.Problem) {
	if p.Code != "missing_field" {
		return
	}
	switch p.Field {
	case "Line.SalesItemLineDetail.ItemRef.value":
		p.Code = "missing_setting"
		p.Message = "A line of this document has no QuickBooks product or service."
		p.Remedy = "Set item_ref in the connection's settings to the id of a product or service in QuickBooks, for all charges or by charge kind."
	case "Line.AccountBasedExpenseLineDetail.AccountRef.value":
		p.Code = "missing_setting"
		p.Message = "A line of this bill has no QuickBooks expense account."
		p.Remedy = "Set expense_account_ref in the connection's settings to the id of an expense account in QuickBooks, for all charges or by charge kind."
	}
}

func mailProblems(o *integration.Object) []integration.Problem {
	var out []integration.Problem
	for _, path := range []string{"PrimaryEmailAddr.Address", "BillEmail.Address"} {
		for _, v := range integration.Values(o.Payload, path) {
			if s, ok := v.(string); ok && (!strings.Contains(s, "@") || !strings.Contains(s, ".")) {
				out = append(out, integration.Problem{
					Code: "invalid_email", Field: path,
					Message: "QuickBooks takes only e-mail addresses with @ and a dot.",
					Remedy:  "Correct the e-mail address in the source record.",
				})
			}
		}
	}
	return out
}

func dateProblems(o *integration.Object) []integration.Problem {
	var out []integration.Problem
	for _, path := range []string{"TxnDate", "DueDate", "ShipDate"} {
		if s, ok := o.Payload.Text(path); ok && !isDate(s) {
			out = append(out, integration.Problem{
				Code: "invalid_date", Field: path,
				Message: path + " is not a date of the form 2026-01-31.",
				Remedy:  "Correct the date in the source record, or map the field with an expression that cuts it.",
			})
		}
	}
	return out
}

func isDate(s string) bool {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return false
	}
	for i := range len(s) {
		if i != 4 && i != 7 && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return true
}

// maxWhole is the digits QuickBooks keeps before the point of an amount.
const maxWhole = 10

func lineProblems(o *integration.Object) []integration.Problem {
	for _, v := range integration.Values(o.Payload, "Line.Amount") {
		n, ok := v.(json.Number)
		if !ok {
			return []integration.Problem{{
				Code: "invalid_amount", Field: "Line.Amount",
				Message: "A line's amount is not an amount of money.",
				Remedy:  "Map the amount with money().",
			}}
		}
		whole, _, _ := strings.Cut(strings.TrimLeft(n.String(), "-"), ".")
		if len(whole) > maxWhole {
			return []integration.Problem{{
				Code: "amount_too_large", Field: "Line.Amount",
				Message: "QuickBooks keeps at most 10 digits before the point of an amount; a line has more.",
				Remedy:  "Correct the charge in the source record.",
			}}
		}
	}
	return nil
}
