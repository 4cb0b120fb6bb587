package quickbooks

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/sandbox/call"
)

// writable takes out what QuickBooks manages and what is null.
func writable(body map[string]any) map[string]any {
	out := maps.Clone(body)
	for _, f := range managed() {
		delete(out, f)
	}
	return out
}

// validate checks the fields of a request against the entity, by themselves.
func (e *entity) validate(body map[string]any) []fault {
	var out []fault
	for _, field := range slices.Sorted(maps.Keys(body)) {
		test, known := e.fields[field]
		if !known {
			return []fault{unknownField(e.class(), field, len(e.fields))}
		}
		if body[field] != nil {
			out = append(out, test(field, body[field])...)
		}
	}
	return out
}

// create makes the first version of an object; the caller holds the lock.
func (r *realm) create(e *entity, body map[string]any, now time.Time) (*object, []fault) {
	fields := writable(body)
	if e.name == payment {
		fields["TotalAmt"] = body["TotalAmt"] // a payment's is given, not added up
	}
	if e.list() {
		fields["Active"] = true
	}
	if e.name == "Account" {
		if _, ok := fields["AccountType"]; !ok {
			return nil, []fault{missing("AccountType")}
		}
	}
	if e.name == "Item" && fields["Type"] == nil {
		fields["Type"] = "Service"
	}
	t := r.tables[e.name]
	if e.numbered && fields["DocNumber"] == nil && !r.Preferences.CustomTxnNumbers {
		t.number++
		fields["DocNumber"] = strconv.Itoa(t.number)
	}
	o := &object{kind: e, id: strconv.Itoa(t.lastID + 1), updated: now}
	if f := r.complete(o, nil, fields, now); f != nil {
		return nil, f
	}
	return o, nil
}

// update makes the next version of an object; the caller holds the lock.
func (r *realm) update(old *object, body map[string]any, now time.Time) (*object, []fault) {
	e := old.kind
	sparse, _ := body["sparse"].(bool)
	fields := writable(body)
	activate, said := body["Active"].(bool)
	switch {
	case !old.active() && !activate:
		return nil, []fault{notFound()}
	case sparse:
		merged := writable(old.fields)
		for k, v := range fields {
			if v == nil {
				delete(merged, k)
				continue
			}
			merged[k] = v
		}
		fields = merged
	default:
		maps.DeleteFunc(fields, func(_ string, v any) bool { return v == nil })
		// Fixed at creation, so leaving them out does not clear them.
		for _, keep := range []string{"CurrencyRef", "AccountType", "Type"} {
			if v, had := old.fields[keep]; had && fields[keep] == nil {
				fields[keep] = v
			}
		}
		if !said && e.list() {
			fields["Active"] = true
		}
		if !old.active() && fields[e.nameField] == nil {
			fields[e.nameField] = old.fields[e.nameField]
		}
	}
	if e.list() && said && !activate && old.active() {
		fields[e.nameField] = r.deletedName(e, old.text(e.nameField))
	}
	o := &object{kind: e, id: old.id, token: old.token + 1, updated: now}
	if f := r.complete(o, old, fields, now); f != nil {
		return nil, f
	}
	return o, nil
}

func (r *realm) deletedName(e *entity, name string) string {
	next := name + " (deleted)"
	for n := 1; r.names[nameKey(e.space, next)] != nil; n++ {
		next = fmt.Sprintf("%s (deleted %d)", name, n)
	}
	return next
}

// complete checks fields against the company and fills in what QuickBooks adds.
func (r *realm) complete(o, old *object, fields map[string]any, now time.Time) []fault {
	e := o.kind
	maps.DeleteFunc(fields, func(_ string, v any) bool { return v == nil || v == "" })
	if e.space == "names" && fields["DisplayName"] == nil {
		var parts []string
		for _, f := range []string{"Title", "GivenName", "MiddleName", "FamilyName", "Suffix"} {
			if s, _ := fields[f].(string); s != "" {
				parts = append(parts, s)
			}
		}
		if len(parts) == 0 {
			return []fault{missing("DisplayName or one of Title, GivenName, MiddleName, FamilyName, Suffix")}
		}
		fields["DisplayName"] = strings.Join(parts, " ")
	}
	var faults []fault
	for _, need := range e.required {
		if fields[need] == nil {
			faults = append(faults, missing(need))
		}
	}
	if faults != nil {
		return faults
	}
	for _, field := range slices.Sorted(maps.Keys(e.refs)) {
		faults = append(faults, r.resolve(fields, field, e.refs[field])...)
	}
	faults = append(faults, r.currency(o, old, fields)...)
	switch {
	case e.list():
		faults = append(faults, r.nameTaken(o, fields)...)
	case e.name == payment:
		faults = append(faults, r.received(fields, now)...)
	default:
		faults = append(faults, r.transaction(o, old, fields, now)...)
	}
	if faults != nil {
		return faults
	}
	r.fill(o, old, fields, now)
	return nil
}

// resolve checks one reference and writes the name it leads to.
func (r *realm) resolve(fields map[string]any, field, kind string) []fault {
	given, ok := fields[field].(map[string]any)
	if !ok {
		return nil
	}
	id, _ := given["value"].(string)
	target := r.find(kind, id)
	if target == nil || target.deleted {
		what := kind + "s"
		if kind == "Customer" || kind == "Vendor" {
			what = "Names"
		}
		return []fault{noReference(what, id)}
	}
	if !target.active() {
		return []fault{notFound()}
	}
	next := maps.Clone(given)
	next["name"] = target.text(target.kind.nameField)
	fields[field] = next
	return nil
}

func refValue(v any) string {
	m, _ := v.(map[string]any)
	s, _ := m["value"].(string)
	return s
}

func (r *realm) currency(o, old *object, fields map[string]any) []fault {
	switch o.kind.name {
	case "Item", "Term", "Account", "Employee":
		return nil
	}
	given := refValue(fields["CurrencyRef"])
	want := r.Preferences.HomeCurrency
	if party := r.party(fields); party != nil {
		want = refValue(party.fields["CurrencyRef"])
	}
	switch {
	case given == "":
		given = want
	case old != nil && refValue(old.fields["CurrencyRef"]) != given:
		return []fault{business("You can't change the currency of " + o.kind.name + " once it is created.")}
	case given != r.Preferences.HomeCurrency && !r.Preferences.Multicurrency:
		return []fault{business("Multi Currency should be enabled to use currency " + given + ".")}
	case !o.kind.list() && given != want:
		return []fault{business("The currency " + given + " of the transaction is not that of its customer or vendor, " + want + ".")}
	}
	ref := map[string]any{"value": given}
	if known := map[string]string{"USD": "United States Dollar", "CAD": "Canadian Dollar", "MXN": "Mexican Peso", "EUR": "Euro"}[given]; known != "" {
		ref["name"] = known
	}
	fields["CurrencyRef"] = ref
	return nil
}

func (r *realm) party(fields map[string]any) *object {
	if id := refValue(fields["VendorRef"]); id != "" {
		return r.find("Vendor", id)
	}
	if id := refValue(fields["CustomerRef"]); id != "" {
		return r.find("Customer", id)
	}
	return nil
}

func (r *realm) nameTaken(o *object, fields map[string]any) []fault {
	given, _ := fields[o.kind.nameField].(string)
	holder := r.names[nameKey(o.kind.space, given)]
	if holder == nil || (holder.kind == o.kind && holder.id == o.id) {
		return nil
	}
	detail := "The name supplied already exists. : Id=" + holder.id
	switch r.Preferences.DuplicateName {
	case "null":
		detail = "The name supplied already exists. : null"
	case "text":
		detail = "The name supplied already exists. : Another customer, vendor or employee is already using this name. Please use a different name."
	}
	return []fault{{Message: "Duplicate Name Exists Error", Detail: detail, Code: "6240"}}
}

// fill writes what QuickBooks adds and fixes the version's bytes.
func (r *realm) fill(o, old *object, fields map[string]any, now time.Time) {
	created := metaTime(now)
	if old != nil {
		created = old.fields["MetaData"].(map[string]any)["CreateTime"].(string)
	}
	fields["Id"], fields["SyncToken"] = o.id, strconv.Itoa(o.token)
	fields["domain"], fields["sparse"] = "QBO", false
	fields["MetaData"] = map[string]any{"CreateTime": created, "LastUpdatedTime": metaTime(now)}
	for _, f := range o.kind.flagged {
		if fields[f] == nil {
			fields[f] = false
		}
	}
	for _, f := range []string{"BillAddr", "ShipAddr", "VendorAddr", "PrimaryAddr"} {
		if a, ok := fields[f].(map[string]any); ok && a["Id"] == nil {
			r.addrID++
			a = maps.Clone(a)
			a["Id"] = strconv.Itoa(r.addrID)
			fields[f] = a
		}
	}
	if o.kind.space == "names" {
		display := fields["DisplayName"]
		if fields["PrintOnCheckName"] == nil {
			fields["PrintOnCheckName"] = display
			if company, ok := fields["CompanyName"]; ok {
				fields["PrintOnCheckName"] = company
			}
		}
	}
	switch o.kind.name {
	case "Vendor":
		fields["Balance"] = json.Number("0")
		if tax, ok := fields["TaxIdentifier"].(string); ok && !strings.HasPrefix(tax, "XXXX") {
			fields["TaxIdentifier"] = "XXXXXX" + tax[max(0, len(tax)-4):]
		}
	case "Customer":
		fields["FullyQualifiedName"] = fields["DisplayName"]
		fields["Balance"], fields["BalanceWithJobs"] = json.Number("0"), json.Number("0")
		fields["Job"], fields["BillWithParent"] = fields["ParentRef"] != nil, false
		for f, v := range map[string]any{"Taxable": true, "PreferredDeliveryMethod": "Print", "DefaultTaxCodeRef": map[string]any{"value": "2"}} {
			if fields[f] == nil {
				fields[f] = v
			}
		}
	case "Item", "Account":
		fields["FullyQualifiedName"] = fields["Name"]
	}
	o.fields, o.raw = fields, call.Marshal(fields)
}
