package quickbooks

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/shopspring/decimal"

	"github.com/fluxnex/fluxnex/sandbox/call"
)

// payment is the entity that customers pay invoices with. Its lines say how
// much of it goes to which invoice; the rest is left unapplied.
const payment = "Payment"

// application is one line of a payment.
type application struct {
	invoice string
	amount  decimal.Decimal
}

// applications reads a payment's lines.
func (o *object) applications() []application {
	var out []application
	lines, _ := o.fields["Line"].([]any)
	for _, l := range lines {
		line, _ := l.(map[string]any)
		sum, _ := amount(line["Amount"])
		if to := invoiceOf(line); to != "" {
			out = append(out, application{to, sum})
		}
	}
	return out
}

// invoiceOf is the invoice that a payment's line is applied to.
func invoiceOf(line map[string]any) string {
	linked, _ := line["LinkedTxn"].([]any)
	for _, l := range linked {
		link, _ := l.(map[string]any)
		if kind, _ := link["TxnType"].(string); kind == "Invoice" {
			id, _ := link["TxnId"].(string)
			return id
		}
	}
	return ""
}

// received checks a payment and says what of it is left unapplied.
func (r *realm) received(fields map[string]any, now time.Time) []fault {
	if fields["TxnDate"] == nil {
		fields["TxnDate"] = today(now)
	}
	if f := r.closed(fields, nil); f != nil {
		return f
	}
	total, ok := amount(fields["TotalAmt"])
	if !ok || total.IsNegative() {
		return []fault{business("Transaction amount must be 0 or greater.")}
	}
	applied := decimal.Zero
	given, _ := fields["Line"].([]any)
	for _, l := range given {
		line := l.(map[string]any)
		sum, has := amount(line["Amount"])
		id := invoiceOf(line)
		invoice := r.find("Invoice", id)
		switch {
		case !has:
			return []fault{missing("Line.Amount")}
		case id == "":
			return []fault{missing("Line.LinkedTxn")}
		case invoice == nil || invoice.deleted:
			return []fault{noReference("Invoice", id)}
		case refValue(invoice.fields["CustomerRef"]) != refValue(fields["CustomerRef"]):
			return []fault{business("The payment and the invoice it is applied to have different customers.")}
		}
		if balance, _ := amount(invoice.fields["Balance"]); sum.GreaterThan(balance) {
			return []fault{business(fmt.Sprintf("The amount applied, %s, is more than the invoice's open balance, %s.", sum, balance))}
		}
		applied = applied.Add(sum)
	}
	if applied.GreaterThan(total) {
		return []fault{business("The total amount of the payment is less than what is applied.")}
	}
	fields["TotalAmt"], fields["UnappliedAmt"] = money(total), money(total.Sub(applied))
	return nil
}

// paid is what payments are applied to an invoice, and their ids.
func (r *realm) paid(invoice string) (sum decimal.Decimal, ids []string) {
	for id, p := range r.tables[payment].byID {
		if p.deleted {
			continue
		}
		for _, a := range p.applications() {
			if a.invoice == invoice {
				sum, ids = sum.Add(a.amount), append(ids, id)
			}
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return sum, slices.Compact(ids)
}

// settledBy writes an invoice's open balance and the payments that it is linked
// to. The customer of an invoice that is paid stays: QuickBooks refuses another
// one as a business validation (code 6000, which Intuit documents for rules of
// the books; this rule's exact words are not documented).
func (r *realm) settledBy(o, old *object, fields map[string]any, total decimal.Decimal) []fault {
	sum, ids := r.paid(o.id)
	links := []any{}
	for _, id := range ids {
		links = append(links, map[string]any{"TxnId": id, "TxnType": payment})
	}
	fields["LinkedTxn"], fields["Balance"] = links, money(decimal.Max(decimal.Zero, total.Sub(sum)))
	if len(ids) > 0 && old != nil && refValue(old.fields["CustomerRef"]) != refValue(fields["CustomerRef"]) {
		return []fault{business("The customer of an invoice cannot be changed while a payment is applied to it: Payment " + ids[0] + ".")}
	}
	return nil
}

// rebalance makes the next version of each invoice that a payment is applied
// to; the caller holds the lock. A linked payment bumps the invoice's SyncToken.
func (r *realm) rebalance(c *call.Call, p *object) {
	for _, a := range p.applications() {
		old := r.find("Invoice", a.invoice)
		if old == nil || old.deleted {
			continue
		}
		fields := maps.Clone(old.fields)
		total, _ := amount(fields["TotalAmt"])
		next := &object{kind: old.kind, id: old.id, token: old.token + 1, updated: c.Now}
		r.settledBy(next, nil, fields, total)
		r.fill(next, old, fields, c.Now)
		r.put(next)
		line := c.Part("Invoice", next.id, "payment", "")
		c.Applied(line, next.id, strconv.Itoa(old.token), strconv.Itoa(next.token))
		c.Marker(line, next.fields)
		c.Save(r.key(next), next.saved())
	}
}
