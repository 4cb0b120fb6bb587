package quickbooks

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/shopspring/decimal"
)

func amount(v any) (decimal.Decimal, bool) {
	var s string
	switch v := v.(type) {
	case json.Number:
		s = v.String()
	case string:
		s = v
	default:
		return decimal.Zero, false
	}
	d, err := decimal.NewFromString(s)
	return d, err == nil
}

func money(d decimal.Decimal) json.Number { return json.Number(d.StringFixed(2)) }

func today(now time.Time) string { return now.In(pacific()).Format(time.DateOnly) }

// transaction checks and completes lines, dates, number and totals.
func (r *realm) transaction(o, old *object, fields map[string]any, now time.Time) []fault {
	if fields["TxnDate"] == nil {
		fields["TxnDate"] = today(now)
	}
	if f := r.closed(fields, old); f != nil {
		return f
	}
	if doc, _ := fields["DocNumber"].(string); doc != "" && r.Preferences.WarnDuplicateDocNumber {
		for id := range r.tables[o.kind.name].docs[doc] {
			if id != o.id {
				return []fault{{"Duplicate Document Number Error", fmt.Sprintf(
					"Duplicate Document Number Error : You must specify a different number. This number has already been used. DocNumber=%s is assigned to TxnType=%s with TxnId=%s", doc, o.kind.name, id), "6140", new("")}}
			}
		}
	}
	total, faults := r.lines(o, fields)
	if faults != nil {
		return faults
	}
	if o.kind.subtotal {
		tax := decimal.Zero
		if detail, ok := fields["TxnTaxDetail"].(map[string]any); ok {
			tax, _ = amount(detail["TotalTax"])
		} else {
			fields["TxnTaxDetail"] = map[string]any{"TotalTax": json.Number("0")}
		}
		total = total.Add(tax)
	}
	if total.IsNegative() {
		return []fault{business("Transaction amount must be 0 or greater.")}
	}
	fields["TotalAmt"], fields["Balance"] = money(total), money(total)
	if o.kind.name == "Invoice" {
		if f := r.settledBy(o, old, fields, total); f != nil {
			return f
		}
	}
	due, _ := time.Parse(time.DateOnly, fields["TxnDate"].(string))
	switch o.kind.name {
	case "Invoice":
		if fields["DueDate"] == nil {
			fields["DueDate"] = due.AddDate(0, 0, 30).Format(time.DateOnly)
		}
		setIfAbsent(fields, map[string]any{
			"PrintStatus": "NeedToPrint", "EmailStatus": "NotSet", "ApplyTaxAfterDiscount": false,
			"AllowIPNPayment": false, "AllowOnlinePayment": false, "AllowOnlineCreditCardPayment": false, "AllowOnlineACHPayment": false,
		})
	case "CreditMemo":
		setIfAbsent(fields, map[string]any{"PrintStatus": "NeedToPrint", "EmailStatus": "NotSet", "ApplyTaxAfterDiscount": false, "RemainingCredit": money(total)})
		fields["RemainingCredit"] = money(total)
	case "Bill":
		setIfAbsent(fields, map[string]any{"DueDate": fields["TxnDate"], "APAccountRef": r.payable()})
	case "VendorCredit":
		setIfAbsent(fields, map[string]any{"APAccountRef": r.payable()})
	}
	return nil
}

func setIfAbsent(fields, values map[string]any) {
	for k, v := range values {
		if fields[k] == nil && v != nil {
			fields[k] = v
		}
	}
}

// payable is the company's own accounts-payable account.
func (r *realm) payable() any {
	var first *object
	for _, a := range r.tables["Account"].byID {
		if a.text("AccountType") == "Accounts Payable" && a.active() && (first == nil || a.id < first.id) {
			first = a
		}
	}
	if first == nil {
		return nil
	}
	return map[string]any{"value": first.id, "name": first.text("Name")}
}

// closed refuses a change to, or into, a closed period.
func (r *realm) closed(fields map[string]any, old *object) []fault {
	through := r.Preferences.ClosedThrough
	if through == "" {
		return nil
	}
	dates := []string{fields["TxnDate"].(string)}
	if old != nil {
		dates = append(dates, old.text("TxnDate"))
	}
	for _, d := range dates {
		if d <= through {
			return []fault{{"Account Period Closed", "Account Period Closed, Cannot Update Through Services : The account period has closed and the account books cannot be updated through the QBO Services API.", "6210", new("")}}
		}
	}
	return nil
}

// lines checks the lines, gives them ids, and returns their sum.
func (r *realm) lines(o *object, fields map[string]any) (decimal.Decimal, []fault) {
	given, _ := fields["Line"].([]any)
	var faults []fault
	total, out, last := decimal.Zero, []any{}, 0
	for _, l := range given {
		if n, err := strconv.Atoi(fmt.Sprint(l.(map[string]any)["Id"])); err == nil {
			last = max(last, n)
		}
	}
	for _, l := range given {
		line := maps.Clone(l.(map[string]any))
		kind, _ := line["DetailType"].(string)
		if kind == "SubTotalLineDetail" && o.kind.subtotal {
			continue // QuickBooks writes its own
		}
		if kind == "" {
			faults = append(faults, missing("Line.DetailType"))
			continue
		}
		sum, has := amount(line["Amount"])
		if !has && kind != "DescriptionOnly" {
			faults = append(faults, missing("Line.Amount"))
			continue
		}
		if sum.Exponent() < -5 {
			faults = append(faults, business("Amount has more than 5 decimal places."))
			continue
		}
		faults = append(faults, r.detail(o, line, kind, sum)...)
		if has {
			line["Amount"] = money(sum)
		}
		if kind == "DiscountLineDetail" {
			sum = sum.Neg()
		}
		total = total.Add(sum.Round(2))
		if line["Id"] == nil {
			last++
			line["Id"] = strconv.Itoa(last)
		}
		line["LineNum"] = json.Number(strconv.Itoa(len(out) + 1))
		out = append(out, line)
	}
	if faults == nil && len(out) == 0 {
		faults = append(faults, missing("Line"))
	}
	if o.kind.subtotal {
		out = append(out, map[string]any{"Amount": money(total), "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": map[string]any{}})
	}
	fields["Line"] = out
	return total, faults
}

// detail checks what a line points at and that its product is its amount.
func (r *realm) detail(o *object, line map[string]any, kind string, sum decimal.Decimal) []fault {
	sale := o.kind.subtotal
	switch kind {
	case "SalesItemLineDetail":
		if !sale {
			return []fault{badEnum("Line.DetailType", kind)}
		}
	case "AccountBasedExpenseLineDetail", "ItemBasedExpenseLineDetail":
		if sale {
			return []fault{badEnum("Line.DetailType", kind)}
		}
	case "SubTotalLineDetail":
		return []fault{badEnum("Line.DetailType", kind)}
	default:
		return nil
	}
	given, ok := line[kind].(map[string]any)
	if !ok {
		return []fault{missing("Line." + kind)}
	}
	detail := maps.Clone(given)
	var faults []fault
	switch kind {
	case "SalesItemLineDetail":
		if detail["ItemRef"] == nil {
			detail["ItemRef"] = map[string]any{"value": "1"} // QuickBooks falls back to "Services"
		}
		faults = append(faults, r.resolve(detail, "ItemRef", "Item")...)
		setIfAbsent(detail, map[string]any{"TaxCodeRef": map[string]any{"value": "NON"}})
	case "AccountBasedExpenseLineDetail":
		if detail["AccountRef"] == nil {
			faults = append(faults, missing("AccountRef"))
		}
		faults = append(faults, r.resolve(detail, "AccountRef", "Account")...)
		setIfAbsent(detail, map[string]any{"TaxCodeRef": map[string]any{"value": "NON"}, "BillableStatus": "NotBillable"})
	case "ItemBasedExpenseLineDetail":
		if detail["ItemRef"] == nil {
			faults = append(faults, missing("ItemRef"))
		}
		faults = append(faults, r.resolve(detail, "ItemRef", "Item")...)
	}
	faults = append(faults, r.resolve(detail, "CustomerRef", "Customer")...)
	price, priced := amount(detail["UnitPrice"])
	qty, counted := amount(detail["Qty"])
	if priced && counted && !price.Mul(qty).Round(2).Equal(sum.Round(2)) {
		faults = append(faults, business("Amount is not equal to UnitPrice * Qty. Supplied value:"+sum.String()))
	}
	line[kind] = detail
	return faults
}

// void empties an invoice and keeps it; the caller holds the lock.
func (r *realm) void(old *object, now time.Time) *object {
	fields := maps.Clone(old.fields)
	zero := json.Number("0")
	var lines []any
	for _, l := range fields["Line"].([]any) {
		line := maps.Clone(l.(map[string]any))
		if line["Amount"] != nil {
			line["Amount"] = zero
		}
		if kind, _ := line["DetailType"].(string); kind == "SalesItemLineDetail" {
			detail := maps.Clone(line[kind].(map[string]any))
			delete(detail, "UnitPrice")
			if detail["Qty"] != nil {
				detail["Qty"] = zero
			}
			line[kind] = detail
		}
		lines = append(lines, line)
	}
	fields["Line"], fields["TotalAmt"], fields["Balance"], fields["LinkedTxn"] = lines, zero, zero, []any{}
	fields["TxnTaxDetail"] = map[string]any{"TotalTax": zero}
	note := "Voided"
	if had := old.text("PrivateNote"); had != "" {
		note = "Voided - " + had
	}
	fields["PrivateNote"] = note
	o := &object{kind: old.kind, id: old.id, token: old.token + 1, updated: now}
	r.fill(o, old, fields, now)
	return o
}
