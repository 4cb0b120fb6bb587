package revenova

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

const (
	acmeID    = "0015g00000AbCdEAAV"
	otherID   = "0015g00000AbCdFAAV"
	loadIDs   = "a0L5g000000AaaAEAS"
	invoiceID = "a0I5g000000AccCEAS"
)

// live is a record with text fields "Name=value"; a value of "null" is null, one
// that begins with [ is JSON.
func live(id, entity string, fields ...string) *record.Replica {
	r := &record.Replica{TenantID: "envoy", SourceApp: App, RecordID: record.NewID(App, id), EntityType: entity, Presence: record.PresenceLive}
	for _, f := range fields {
		name, v, _ := strings.Cut(f, "=")
		field := record.Field{Name: name, Kind: record.KindText, Value: v}
		if strings.HasPrefix(v, "[") {
			field.Kind = record.KindJSON
		}
		r.Fields = append(r.Fields, field)
	}
	slices.SortFunc(r.Fields, func(a, b record.Field) int { return strings.Compare(a.Name, b.Name) })
	return r
}

func theLoad(fields ...string) map[record.ID]*record.Replica {
	l := live(loadIDs, typeLoad, append([]string{"Name=28944", "rtms__Bill_To__c=" + acmeID}, fields...)...)
	return map[record.ID]*record.Replica{l.RecordID: l}
}

func normalise(t *testing.T, r *record.Replica, parents map[record.ID]*record.Replica, s integration.Settings) integration.Canonical {
	t.Helper()
	n := normalizer{}.Normalize(r, parents, s)
	if n.Failure != nil || len(n.Entities) != 1 {
		t.Fatalf("%d entities, failure %+v, ignored %q", len(n.Entities), n.Failure, n.Ignored)
	}
	return n.Entities[0]
}

func linesOf(lines []canonical.Line) string {
	var out []string
	for _, l := range lines {
		out = append(out, l.Kind+" "+l.Amount.String())
	}
	return strings.Join(out, ", ")
}

func TestInvoiceAmounts(t *testing.T) {
	for _, tc := range []struct {
		name, total, lines string
		fields             []string
	}{
		{"components add up", "1400.25", "Freight 1250.0, Fuel 150.25", []string{"rtms__Invoice_Total__c=1400.25", "rtms__Net_Line_Haul__c=1250.0", "rtms__Fuel_Surcharge__c=150.25", "rtms__Adjustments__c=0.0"}},
		{"a difference becomes an adjustment", "100.00", "Freight 90, Adjustment 10.00", []string{"rtms__Invoice_Total__c=100.00", "rtms__Net_Line_Haul__c=90"}},
		{"no components is one line", "100.00", "Freight 100.00", []string{"rtms__Invoice_Total__c=100.00"}},
		{"no total is the sum", "105.50", "Freight 100, Taxes 5.50", []string{"rtms__Net_Line_Haul__c=100", "rtms__Tax_Amount__c=5.50"}},
		{"a credit keeps its sign", "-50.00", "Freight -50.00", []string{"rtms__Invoice_Total__c=-50.00"}},
		{"29 decimals are rounded and still add up", "0.33", "Freight 0.33", []string{"rtms__Invoice_Total__c=0.33333333333333333333333333333", "rtms__Net_Line_Haul__c=0.33333333333333333333333333333"}},
		{"exponents and thousands", "1500.00", "Freight 1000, Fuel 500.00", []string{"rtms__Invoice_Total__c=1,500.00", "rtms__Net_Line_Haul__c=1E3", "rtms__Fuel_Surcharge__c=500.00"}},
		{"charges of an event", "10.50", "Freight 10.25, Accessorial 0.20, Adjustment 0.05", []string{
			"invoiceTotal=10.50", `charges=[{"chargeType":"Freight","chargeAmount":10.25},{"chargeType":"Accessorial","chargeAmount":"0.20"},{"chargeType":"Fuel"}]`,
		}},
		{"the record is believed before the event", "7", "Freight 7", []string{"rtms__Invoice_Total__c=7", "invoiceTotal=9"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := live(invoiceID, typeInvoice, append(tc.fields, "rtms__Load__c="+loadIDs)...)
			i := normalise(t, r, theLoad(), nil).Value.(*canonical.Invoice)
			if i.Total.String() != tc.total || linesOf(i.Lines) != tc.lines {
				t.Errorf("total %s, lines %s; want %s, %s", i.Total, linesOf(i.Lines), tc.total, tc.lines)
			}
		})
	}
}

func TestAnInvoiceNobodyCanReadFails(t *testing.T) {
	for name, tc := range map[string]struct{ field, code string }{
		"no amount": {"Name=1", "missing_total"}, "words": {"rtms__Invoice_Total__c=ten", "bad_amount"}, "a bomb": {"rtms__Invoice_Total__c=1e999999999", "bad_amount"},
	} {
		n := normalizer{}.Normalize(live(invoiceID, typeInvoice, tc.field, "rtms__Load__c="+loadIDs), theLoad(), nil)
		if n.Failure == nil || n.Failure.Code != tc.code || n.Failure.Remedy == "" {
			t.Errorf("%s: %+v, want %s", name, n.Failure, tc.code)
		}
	}
}

func TestTheCustomerOfAnInvoiceIsItsLoadsBillTo(t *testing.T) {
	for name, tc := range map[string]struct {
		load []string
		own  string
		want string
	}{
		"bill-to":                     {[]string{"rtms__Customer__c=" + otherID}, "", acmeID},
		"the customer if no bill-to":  {[]string{"rtms__Bill_To__c=null", "rtms__Customer__c=" + otherID}, "", otherID},
		"an accounting event's own":   {[]string{"rtms__Bill_To__c="}, "customerBillToId=" + otherID, otherID},
		"fifteen characters are made": {[]string{"rtms__Bill_To__c=" + otherID[:15]}, "", otherID},
	} {
		t.Run(name, func(t *testing.T) {
			load := live(loadIDs, typeLoad, append(tc.load, "Name=28944")...)
			if _, ok := load.Field("rtms__Bill_To__c"); !ok {
				load = live(loadIDs, typeLoad, append(tc.load, "Name=28944", "rtms__Bill_To__c="+acmeID)...)
			}
			fields := []string{"rtms__Load__c=" + loadIDs, "rtms__Invoice_Total__c=1"}
			if tc.own != "" {
				fields = append(fields, tc.own)
			}
			c := normalise(t, live(invoiceID, typeInvoice, fields...), map[record.ID]*record.Replica{load.RecordID: load}, nil)
			if got := c.Value.(*canonical.Invoice).Customer.RecordID.Local(); got != tc.want {
				t.Errorf("customer %s, want %s", got, tc.want)
			}
		})
	}
}

func TestDatesAreNeverShifted(t *testing.T) {
	for in, want := range map[string]string{
		"2026-11-23": "2026-11-23", "2019-08-05 00:00:00": "2019-08-05", "2026-11-24T05:30:00.000Z": "2026-11-24",
		"2026-11-24T05:30:00.000+0000": "2026-11-24", "null": "", "": "", "soon": "", "2026-13-01": "",
	} {
		if got := day(in, nil); got != want {
			t.Errorf("day(%q) = %q, want %q", in, got, want)
		}
	}
	chicago := integration.Settings{"time_zone": "America/Chicago"}
	for in, want := range map[string]string{"2026-11-24T05:30:00.000Z": "2026-11-23", "2026-11-24": "2026-11-24", "2026-11-24 05:30:00": "2026-11-24"} {
		if got := day(in, chicago); got != want {
			t.Errorf("in Chicago day(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestWhatAnAccountIs(t *testing.T) {
	for name, tc := range map[string]struct {
		fields   []string
		settings integration.Settings
		want     []canonical.Entity
	}{
		"Type Vendor":                      {[]string{"Type=Vendor"}, nil, []canonical.Entity{canonical.TMSVendor}},
		"carrier and customer":             {[]string{"rtms__TMS_Type__c=Customer;Carrier"}, nil, []canonical.Entity{canonical.TMSVendor, canonical.TMSCustomer}},
		"prospect":                         {[]string{"Type=Prospect", "rtms__TMS_Type__c=Prospect"}, nil, nil},
		"Type is one of Salesforce's own":  {[]string{"Type=Customer - Direct"}, nil, nil},
		"the tenant says so":               {[]string{"Type=Customer - Direct"}, integration.Settings{"customer_account_types": []any{"Customer - Direct"}}, []canonical.Entity{canonical.TMSCustomer}},
		"the tenant says Type means none":  {[]string{"Type=Vendor"}, integration.Settings{"vendor_account_types": []any{}}, nil},
		"a vendor event":                   {[]string{"vendorId=x", "vendorName=A", "tmsType=Carrier"}, nil, []canonical.Entity{canonical.TMSVendor}},
		"a customer event without a type":  {[]string{"customerId=x", "customerName=A"}, nil, []canonical.Entity{canonical.TMSCustomer}},
		"the record's type before events'": {[]string{"rtms__TMS_Type__c=Customer", "tmsType=Carrier"}, nil, []canonical.Entity{canonical.TMSCustomer}},
	} {
		n := normalizer{}.Normalize(live(acmeID, typeAccount, tc.fields...), nil, tc.settings)
		var got []canonical.Entity
		for _, e := range n.Entities {
			got = append(got, e.Entity)
		}
		if !slices.Equal(got, tc.want) || (len(got) == 0) != (n.Ignored != "") {
			t.Errorf("%s: %v (%s), want %v", name, got, n.Ignored, tc.want)
		}
	}
}

func TestAProfileAddsToItsAccount(t *testing.T) {
	const profile = "a0T5g000000AttTEAS"
	r := live(acmeID, typeAccount, "Name=Acme", "Type=Vendor", "rtms__Transportation_Profile__c="+profile)
	parents := normalizer{}.Parents(r)
	if len(parents) != 1 || parents[0].Required {
		t.Fatalf("parents %+v: an account goes on without its profile", parents)
	}
	p := live(profile, typeProfile, "rtms__MC_Number__c=MC1", "rtms__Invoice_Terms__c=30", "rtms__Carrier_Remit_To__c="+otherID)
	n := normalizer{}.Normalize(r, map[record.ID]*record.Replica{p.RecordID: p}, nil)
	v := n.Entities[0].Value.(*canonical.Vendor)
	if v.MCNumber != "MC1" || v.TermsDays != "30" || v.RemitTo == nil || v.RemitTo.RecordID.Local() != otherID {
		t.Errorf("vendor %+v", v)
	}
	if len(n.References) != 1 || n.References[0].RecordID.Local() != otherID {
		t.Errorf("references %+v", n.References)
	}
}

func TestAnAccountThatIsItsOwnBillToRefersToNobody(t *testing.T) {
	n := normalizer{}.Normalize(live(acmeID, typeAccount, "customerId=x", "defaultCustomerBillToId="+acmeID), nil, nil)
	if len(n.References) != 0 || n.Entities[0].Value.(*canonical.Customer).BillTo != nil {
		t.Errorf("%+v", n)
	}
}

func TestTheStringNullIsNoReference(t *testing.T) {
	c := normalise(t, live(loadIDs, typeLoad, "Name=null", "rtms__Bill_To__c=null", "rtms__Total_Weight__c=null"), nil, nil)
	l := c.Value.(*canonical.Load)
	if l.BillTo != nil || l.Weight != "" || l.Number != "null" {
		t.Errorf("%+v", l)
	}
}

func TestABillIsFromItsVendorElseItsCarrier(t *testing.T) {
	load := theLoad("rtms__Carrier__c=" + otherID)
	own := normalise(t, live("b", typeBill, "rtms__Load__c="+loadIDs, "rtms__Vendor__c="+acmeID, "rtms__Remit_To__c="+otherID, "rtms__Invoice_Total__c=1"), load, nil).Value.(*canonical.Bill)
	if own.Vendor.RecordID.Local() != acmeID || own.RemitTo == nil || own.RemitTo.RecordID.Local() != otherID {
		t.Errorf("%+v", own)
	}
	carrier := normalise(t, live("b", typeBill, "rtms__Load__c="+loadIDs, "rtms__Invoice_Total__c=1"), load, nil).Value.(*canonical.Bill)
	if carrier.Vendor.RecordID.Local() != otherID {
		t.Errorf("%+v", carrier)
	}
	if n := (normalizer{}).Normalize(live("b", typeBill, "rtms__Load__c="+loadIDs, "rtms__Invoice_Total__c=1"), theLoad(), nil); n.Failure == nil || n.Failure.Code != "missing_vendor" {
		t.Errorf("%+v", n)
	}
}

func TestOnlyADocumentThatLacksItsPartyNeedsItsLoad(t *testing.T) {
	for name, tc := range map[string]struct {
		r    *record.Replica
		want bool
	}{
		"invoice":       {live(invoiceID, typeInvoice, "rtms__Load__c="+loadIDs), true},
		"invoice event": {live(invoiceID, typeInvoice, "loadId="+loadIDs, "customerId="+acmeID), false},
		"bill":          {live("b", typeBill, "rtms__Load__c="+loadIDs), true},
		"bill event":    {live("b", typeBill, "loadId="+loadIDs, "vendorId="+acmeID), false},
	} {
		p := normalizer{}.Parents(tc.r)
		if len(p) != 1 || p[0].EntityType != typeLoad || p[0].Required != tc.want {
			t.Errorf("%s: parents %+v", name, p)
		}
	}
}
