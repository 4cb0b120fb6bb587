package quickbooks

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

func mapped(t *testing.T, s integration.Settings, values ...any) []integration.Object {
	t.Helper()
	in := integration.Source{RecordID: "revenova:0015g00000AbCdEAAV"}
	for _, v := range values {
		var e canonical.Entity
		switch v.(type) {
		case *canonical.Vendor:
			e = canonical.TMSVendor
		case *canonical.Customer:
			e = canonical.TMSCustomer
		case *canonical.Invoice:
			e = canonical.TMSInvoice
		case *canonical.Bill:
			e = canonical.TMSBill
		default:
			t.Fatalf("no entity for %T", v)
		}
		in.Entities = append(in.Entities, integration.Entity{Entity: e, Value: v})
	}
	return newMapper().Objects(in, integration.Account{Remote: "9130", Settings: s})
}

func payload(t *testing.T, o integration.Object) string {
	t.Helper()
	b, err := json.Marshal(o.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func acme() canonical.Party {
	return canonical.Party{
		SourceID: "0015g00000AbCdEAAV", Name: "Acme Trucking", Phone: "(555) 010-0199 / 555-0100",
		Website: "acme.example", Email: "ap@acme.example; cc@acme.example", Currency: "USD", TermsDays: "30",
		Billing: &canonical.Address{Street: "1 Dock Rd\nBuilding 4\r\nSuite 2", City: "Portland", State: "ME", PostalCode: "04001", Country: "US"},
	}
}

func TestVendorMapping(t *testing.T) {
	v := &canonical.Vendor{Party: acme()}
	o := mapped(t, integration.Settings{"terms": map[string]any{"30": 3}}, v)[0]
	want := `{"AcctNum":"0015g00000AbCdEAAV","BillAddr":{"City":"Portland","Country":"US","CountrySubDivisionCode":"ME","Line1":"1 Dock Rd","Line2":"Building 4","Line3":"Suite 2","PostalCode":"04001"},"CompanyName":"Acme Trucking","DisplayName":"Acme Trucking","PrimaryEmailAddr":{"Address":"ap@acme.example"},"PrimaryPhone":{"FreeFormNumber":"(555) 010-0199"},"PrintOnCheckName":"Acme Trucking","TermRef":{"value":"3"},"WebAddr":{"URI":"https://acme.example"}}`
	if got := payload(t, o); got != want {
		t.Errorf("vendor is\n%s, want\n%s", got, want)
	}
	if p := newMapper().Validate(&o); len(p) != 0 {
		t.Errorf("a whole vendor has problems: %v", p)
	}
	if o.Name != "Acme Trucking" {
		t.Errorf("searched by %q", o.Name)
	}
}

func TestVendorAndCustomerOfOneAccountHaveTwoNames(t *testing.T) {
	long := acme()
	long.DBAName = strings.Repeat("Ä", 120)
	for _, p := range []canonical.Party{acme(), long} {
		o := mapped(t, nil, &canonical.Vendor{Party: p}, &canonical.Customer{Party: p})
		for i := range o {
			newMapper().Validate(&o[i])
		}
		if o[0].Name == o[1].Name || !strings.HasSuffix(o[0].Name, " (V)") {
			t.Errorf("vendor %q, customer %q", o[0].Name, o[1].Name)
		}
		if n := utf8.RuneCountInString(o[0].Name); n > maxName {
			t.Errorf("the vendor's name has %d characters", n)
		}
	}
	in := integration.Source{Former: []canonical.Entity{canonical.TMSCustomer}, Entities: []integration.Entity{{Entity: canonical.TMSVendor, Value: &canonical.Vendor{Party: acme()}}}}
	if o := newMapper().Objects(in, integration.Account{}); o[0].Name != "Acme Trucking (V)" {
		t.Errorf("once the customer was withdrawn the vendor is %q: its customer is still there", o[0].Name)
	}
}

func TestNamesAreCleaned(t *testing.T) {
	for in, want := range map[string]string{
		"Acme: West\tInc.\n": "Acme- West Inc.",
		"  Two  Spaces ":     "Two Spaces",
		"":                   "",
		"\xffAcme":           "Acme",
	} {
		if got := cleanName(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func line(kind, amount string) canonical.Line {
	return canonical.Line{Kind: kind, Amount: canonical.MustMoney(amount)}
}

func TestInvoiceMapping(t *testing.T) {
	price := canonical.MustMoney("350.00")
	inv := &canonical.Invoice{
		SourceID: "a0X", Number: "INV-1", Date: "2026-01-31", DueDate: "2026-03-02", LoadNumber: "28944",
		Customer: canonical.Ref{RecordID: "revenova:001"}, Total: canonical.MustMoney("2222.50"),
		Lines: []canonical.Line{
			{Kind: "Freight", Amount: canonical.MustMoney("2100.00"), Quantity: "6.00", UnitPrice: &price},
			{Kind: "Fuel", Amount: canonical.MustMoney("100.5"), Quantity: "3", UnitPrice: &price},
		},
	}
	s := integration.Settings{"item_ref": map[string]any{"Freight": "7", "default": "1"}}
	o := mapped(t, s, inv)[0]
	if p := newMapper().Validate(&o); len(p) != 0 {
		t.Errorf("problems: %v", p)
	}
	want := `{"CustomerMemo":{"value":"Load 28944"},"CustomerRef":{},"DocNumber":"INV-1","DueDate":"2026-03-02","Line":[` +
		`{"Amount":2100.00,"Description":"Freight","DetailType":"SalesItemLineDetail","SalesItemLineDetail":{"ItemRef":{"value":"7"},"Qty":6.00,"UnitPrice":350.00}},` +
		`{"Amount":100.50,"Description":"Fuel","DetailType":"SalesItemLineDetail","SalesItemLineDetail":{"ItemRef":{"value":"1"}}},` +
		`{"Amount":22.00,"Description":"Adjustment","DetailType":"SalesItemLineDetail","SalesItemLineDetail":{"ItemRef":{"value":"1"}}}],` +
		`"PrivateNote":"FluxNex revenova:0015g00000AbCdEAAV, load 28944","TxnDate":"2026-01-31"}`
	if got := payload(t, o); got != want {
		t.Errorf("invoice is\n%s, want\n%s", got, want)
	}
	if len(o.References) != 1 || o.References[0].Path != "CustomerRef.value" || o.References[0].RecordID != "revenova:001" || o.References[0].Object != "Customer" {
		t.Errorf("references %+v", o.References)
	}
}

func TestNegativeTotalsAreCreditsWithPositiveAmounts(t *testing.T) {
	s := integration.Settings{"item_ref": "1", "expense_account_ref": 60}
	inv := &canonical.Invoice{Number: "C-1", DueDate: "2026-03-02", Total: canonical.MustMoney("-100"), Lines: []canonical.Line{line("Freight", "-120"), line("Fuel", "20")}}
	b := &canonical.Bill{Number: "VC-1", Total: canonical.MustMoney("-5"), Lines: []canonical.Line{line("Freight", "-5")}}
	o := mapped(t, s, inv, b)
	if o[0].Object != "Invoice" || o[0].Type != "CreditMemo" || o[1].Object != "Bill" || o[1].Type != "VendorCredit" {
		t.Errorf("types %s/%s and %s/%s", o[0].Object, o[0].Type, o[1].Object, o[1].Type)
	}
	if got := integration.Values(o[0].Payload, "Line.Amount"); len(got) != 2 || got[0] != json.Number("120.00") || got[1] != json.Number("-20.00") {
		t.Errorf("credit memo lines %v", got)
	}
	if o[0].Payload.Has("DueDate") {
		t.Error("a credit memo has no due date")
	}
}

func TestValidateSaysWhatToDo(t *testing.T) {
	long := &canonical.Invoice{Number: strings.Repeat("9", 22), Date: "31.01.2026", Currency: "CAD", Total: canonical.MustMoney("1"), Lines: []canonical.Line{line("Freight", "1")}}
	o := mapped(t, integration.Settings{"home_currency": "USD"}, long)[0]
	problems := append(newMapper().Validate(&o), o.Problems...)
	got := map[string]string{}
	for _, p := range problems {
		got[p.Code] = p.Field
		if p.Remedy == "" {
			t.Errorf("%s has no remedy", p.Code)
		}
	}
	for code, field := range map[string]string{
		"too_long":        "DocNumber",
		"missing_setting": "Line.SalesItemLineDetail.ItemRef.value",
		"invalid_date":    "TxnDate",
		"currency":        "CurrencyRef",
	} {
		if got[code] != field {
			t.Errorf("%s at %q, want %q; all: %v", code, got[code], field, problems)
		}
	}
	v := integration.Object{Object: "Vendor", Type: "Vendor", Payload: &integration.Tree{}}
	if p := newMapper().Validate(&v); len(p) != 1 || p[0].Field != "DisplayName" {
		t.Errorf("a vendor without a name: %v", p)
	}
}
