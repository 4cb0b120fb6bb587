package quickbooks

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

func invoiceObject(v *canonical.Invoice, id record.ID, s integration.Settings) integration.Object {
	d := document{number: v.Number, date: v.Date, due: v.DueDate, currency: v.Currency, load: v.LoadNumber, total: v.Total, lines: v.Lines}
	typ, negative := invoice, v.Total.Sign() < 0
	if negative {
		typ = creditMemo
	}
	o := d.object(typ, id, s, func(l canonical.Line, p *integration.Tree, kind string) {
		detail := &integration.Tree{}
		if item := byKey(s, "item_ref", kind); item != "" {
			detail.Put("ItemRef", ref(item))
		}
		if code := byKey(s, "tax_code_ref", kind); code != "" {
			detail.Put("TaxCodeRef", ref(code))
		}
		quantity(l, negative, detail)
		p.PutText("DetailType", "SalesItemLineDetail")
		p.Put("SalesItemLineDetail", detail)
	})
	o.Object = invoice
	if v.LoadNumber != "" {
		o.Payload.Put("CustomerMemo", ref("Load "+v.LoadNumber))
	}
	o.Payload.Put("CustomerRef", &integration.Tree{})
	o.References = []record.Reference{{Path: "CustomerRef.value", RecordID: v.Customer.RecordID, Object: customer}}
	return o
}

func billObject(v *canonical.Bill, id record.ID, s integration.Settings) integration.Object {
	d := document{number: v.Number, date: v.Date, due: v.DueDate, currency: v.Currency, load: v.LoadNumber, total: v.Total, lines: v.Lines}
	typ := bill
	if v.Total.Sign() < 0 {
		typ = vendorCredit
	}
	o := d.object(typ, id, s, func(_ canonical.Line, p *integration.Tree, kind string) {
		detail := &integration.Tree{}
		if account := byKey(s, "expense_account_ref", kind); account != "" {
			detail.Put("AccountRef", ref(account))
		}
		p.PutText("DetailType", "AccountBasedExpenseLineDetail")
		p.Put("AccountBasedExpenseLineDetail", detail)
	})
	o.Object = bill
	if account := setting(s, "ap_account_ref"); account != "" {
		o.Payload.Put("APAccountRef", ref(account))
	}
	payee := v.Vendor
	if v.RemitTo != nil && v.RemitTo.RecordID != "" && setting(s, "bill_vendor") == "remit_to" {
		payee = *v.RemitTo
	}
	o.Payload.Put("VendorRef", &integration.Tree{})
	o.References = []record.Reference{{Path: "VendorRef.value", RecordID: payee.RecordID, Object: vendor}}
	return o
}

// document is what invoices and bills have in common.
type document struct {
	number, date, due, currency, load string
	total                             canonical.Money
	lines                             []canonical.Line
}

func (d document) object(typ string, id record.ID, s integration.Settings, detail func(canonical.Line, *integration.Tree, string)) integration.Object {
	p := integration.NewTree(usualFields)
	note := markerText(id)
	if d.load != "" {
		note += ", load " + d.load
	}
	p.PutText("PrivateNote", note)
	put(p, "DocNumber", strings.TrimSpace(d.number))
	put(p, "TxnDate", d.date)
	if typ == invoice || typ == bill {
		put(p, "DueDate", d.due)
	}
	o := integration.Object{Type: typ, Payload: p}
	if foreign(d.currency, s) {
		if flag(s, "multicurrency") {
			p.Put("CurrencyRef", ref(strings.ToUpper(d.currency)))
		} else {
			o.Problems = append(o.Problems, integration.Problem{
				Code:    "currency",
				Field:   "CurrencyRef",
				Message: fmt.Sprintf("This %s is in %s, but the QuickBooks company keeps %s only.", typ, d.currency, setting(s, "home_currency")),
				Remedy:  "Route it to a company of that currency, or turn on multicurrency in QuickBooks and in the connection's settings.",
			})
		}
	}
	var list []any
	for _, l := range d.balanced() {
		amount := l.Amount
		if d.total.Sign() < 0 {
			amount = amount.Neg() // a credit is positive in its own type
		}
		line := integration.NewTree(usualLines)
		line.Put("Amount", amount.Number())
		put(line, "Description", lineText(l))
		detail(l, line, l.Kind)
		list = append(list, line)
	}
	if len(list) > 0 {
		p.Put("Line", list)
	}
	return o
}

// balanced are the lines rounded to cents with what is missing to the total as
// a line of its own: QuickBooks adds lines up itself, and the total is what was
// agreed.
func (d document) balanced() []canonical.Line {
	var sum canonical.Money
	lines := make([]canonical.Line, 0, len(d.lines)+1)
	for _, l := range d.lines {
		l.Amount = l.Amount.Round(2)
		sum = sum.Add(l.Amount)
		lines = append(lines, l)
	}
	if diff := d.total.Round(2).Sub(sum); !diff.IsZero() || len(lines) == 0 {
		lines = append(lines, canonical.Line{Kind: "Adjustment", Amount: diff})
	}
	return lines
}

func lineText(l canonical.Line) string {
	if l.Description != "" {
		return l.Description
	}
	return l.Kind
}

// quantity is sent only where it multiplies to the amount to the cent: else
// QuickBooks refuses the line.
func quantity(l canonical.Line, negative bool, detail *integration.Tree) {
	if l.UnitPrice == nil || l.Quantity == "" {
		return
	}
	q, err := canonical.ParseMoney(l.Quantity)
	if err != nil {
		return
	}
	price := *l.UnitPrice
	if q.Sign() <= 0 || q.Mul(price).Cmp(l.Amount) != 0 {
		return
	}
	if negative {
		price = price.Neg()
	}
	detail.Put("Qty", json.Number(q.String()))
	detail.Put("UnitPrice", json.Number(price.String()))
}
