package mapping

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

func compiler(t testing.TB) *Compiler {
	t.Helper()
	c, err := NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func schemas() []integration.ObjectSchema {
	all := []canonical.Entity{canonical.TMSVendor, canonical.TMSInvoice, canonical.TMSLoad}
	return []integration.ObjectSchema{{Object: "Thing", Entities: all, Fields: []integration.FieldSchema{
		{Path: "DisplayName"}, {Path: "BillAddr.City"}, {Path: "Amount"}, {Path: "Line.Amount"}, {Path: "CustomerRef.value"}, {Path: "X"},
	}}}
}

func fieldsOf(expressions map[string]string) *controlplane.Mapping {
	return &controlplane.Mapping{Tenant: "envoy", Entity: canonical.TMSInvoice, App: "quickbooks", Fields: expressions}
}

func invoice() *canonical.Invoice {
	price := canonical.MustMoney("10.50")
	return &canonical.Invoice{
		SourceID: "a0X", Number: "INV-1", Total: canonical.MustMoney("2100.00"), Tax: canonical.MustMoney("0.10"),
		Customer: canonical.Ref{RecordID: "revenova:001", Name: "Acme"},
		Lines:    []canonical.Line{{Kind: "Freight", Amount: canonical.MustMoney("2099.90"), UnitPrice: &price}, {Kind: "Fuel", Amount: canonical.MustMoney("0.10")}},
	}
}

func sourceOf(entity canonical.Entity, v any) integration.Source {
	return integration.Source{
		RecordID: "revenova:a0X",
		Entities: []integration.Entity{{Entity: entity, Value: v}},
		Fields: []record.Field{
			{Name: "Credit_Hold__c", Kind: record.KindText, Value: "true"},
			{Name: "Gone__c", Kind: record.KindNull},
			{Name: "Name", Kind: record.KindText, Value: "Acme"},
			{Name: "Rate__c", Kind: record.KindNumber, Value: "1000.0"},
		},
	}
}

func TestExpressions(t *testing.T) {
	c := compiler(t)
	for expression, want := range map[string]any{
		`entity.number + "-X"`:                              "INV-1-X",
		`entity.total - entity.tax`:                         json.Number("2099.90"),
		`entity.total.sub(entity.tax).add(money("1"))`:      json.Number("2100.90"),
		`-entity.total`:                                     json.Number("-2100.00"),
		`entity.total.neg().round(0)`:                       json.Number("-2100"),
		`entity.total > entity.tax ? "big" : "small"`:       "big",
		`entity.total.compare(entity.tax)`:                  json.Number("1"),
		`entity.total == money("2100")`:                     true,
		`string(entity.total)`:                              "2100.00",
		`money(source.Rate__c) + money(5)`:                  json.Number("1005.0"),
		`entity.lines.map(l, l.kind).join("+")`:             "Freight+Fuel",
		`entity.lines[1].unit_price == null ? "none" : "x"`: "none",
		`entity.load.name`:                                  "",
		`has(entity.load) ? "load" : "no load"`:             "no load",
		`source.Credit_Hold__c == "true"`:                   true,
		`source.Nobody_Sends_This__c == null`:               true,
		`text(source.Nobody_Sends_This__c) + "!"`:           "!",
		`text(source.Gone__c).upperAscii()`:                 "",
		`source["Name"].lowerAscii()`:                       "acme",
		`"Name" in source && !("Gone__c" in source)`:        true,
		`source.Gone__c`:                                    nil,
		`entity.lines.map(l, {"Amount": l.amount})`:         []any{map[string]any{"Amount": json.Number("2099.90")}, map[string]any{"Amount": json.Number("0.10")}},
		`entity.number.substring(0, 3)`:                     "INV",
		`size(entity.lines)`:                                json.Number("2"),
	} {
		m, err := c.Mapping(fieldsOf(map[string]string{"X": expression}), schemas())
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		o := &integration.Object{Payload: integration.TreeOf("X", "default")}
		if err := m.Apply(t.Context(), o, sourceOf(canonical.TMSInvoice, invoice())); err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if !reflect.DeepEqual(o.Payload.Get("X"), want) {
			t.Errorf("%s gives %#v, want %#v", expression, o.Payload.Get("X"), want)
		}
	}
}

func TestCompileErrorsSayWhereAndWhatWasExpected(t *testing.T) {
	c := compiler(t)
	for _, k := range []struct {
		fields   map[string]string
		required []string
		says     []string
	}{
		{fields: map[string]string{"X": "entity.nmber"}, says: []string{"fields.X", "line 1, column 7", "undefined field", "TMS_INVOICE"}},
		{fields: map[string]string{"X": "entity.total * 1.05"}, says: []string{"column 14", "money, double", "expected money"}},
		{fields: map[string]string{"X": "entity.total + 1.05"}, says: []string{"expected money"}},
		{fields: map[string]string{"X": "1.0 + 2.0"}, says: []string{"gives a double, expected money()"}},
		{fields: map[string]string{"X": "entity"}, says: []string{"whole tms.Invoice", "expected one of its fields"}},
		{fields: map[string]string{"X": "timestamp('2026-01-01T00:00:00Z')"}, says: []string{"expected text: string"}},
		{fields: map[string]string{"X": "has(source.Name)"}, says: []string{"expected source.Field != null"}},
		{fields: map[string]string{"X": "source.Name * 2.0"}, says: []string{"no matching overload"}},
		{fields: map[string]string{"X": "env.HOME"}, says: []string{"undeclared reference", "expected entity, source or a function"}},
		{fields: map[string]string{"X": "'a' +"}, says: []string{"line 1, column", "Syntax error"}},
		{fields: map[string]string{"DisplayNme": "'a'"}, says: []string{"fields.DisplayNme", "no such field; expected DisplayName"}},
		{fields: map[string]string{"Colour": "'a'"}, says: []string{"expected one of Amount, BillAddr"}},
		{fields: map[string]string{"Bill Addr": "'a'"}, says: []string{"expected names joined by dots"}},
		{fields: map[string]string{"X": "tms.Ref{name: 'x'}.name"}, says: []string{""}},
		{required: []string{"displayname"}, says: []string{"required: displayname", "expected DisplayName"}},
	} {
		m := fieldsOf(k.fields)
		m.Required = k.required
		_, err := c.compile(m, schemas())
		if k.fields["X"] == "tms.Ref{name: 'x'}.name" {
			continue // refused when it runs
		}
		if err == nil {
			t.Errorf("%v %v compiled", k.fields, k.required)
			continue
		}
		for _, s := range k.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%v: the error lacks %q: %v", k.fields, s, err)
			}
		}
	}
}

func TestAnOverrideTakesThePlaceOfAReference(t *testing.T) {
	m, err := compiler(t).Mapping(fieldsOf(map[string]string{"CustomerRef.value": `"56"`, "BillAddr.City": `"Portland"`, "DisplayName": "null"}), schemas())
	if err != nil {
		t.Fatal(err)
	}
	o := &integration.Object{
		Payload:    integration.TreeOf("DisplayName", "Acme"),
		References: []record.Reference{{Path: "CustomerRef.value"}, {Path: "VendorRef.value"}},
	}
	o.Payload.Put("CustomerRef", &integration.Tree{})
	o.Payload.Put("Amount", "1")
	if err := m.Apply(t.Context(), o, sourceOf(canonical.TMSInvoice, invoice())); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(o.Payload)
	if want := `{"Amount":"1","BillAddr":{"City":"Portland"},"CustomerRef":{"value":"56"}}`; err != nil || string(got) != want {
		t.Errorf("payload %s (%v), want %s", got, err, want)
	}
	if len(o.References) != 1 || o.References[0].Path != "VendorRef.value" {
		t.Errorf("references %v", o.References)
	}
}

func TestDataThatDoNotSuitNameTheField(t *testing.T) {
	c := compiler(t)
	for _, expression := range []string{`money(source.Name)`, `source.Gone__c.trim()`, `entity.lines[9].kind`, `[1,2,3].map(a, [1,2,3].map(b, dyn(1.5)))`, `entity.total + money(source.Nobody__c)`} {
		m, err := c.Mapping(fieldsOf(map[string]string{"X": expression}), schemas())
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		o := &integration.Object{Payload: &integration.Tree{}}
		err = m.Apply(t.Context(), o, sourceOf(canonical.TMSInvoice, invoice()))
		if f := (*FieldError)(nil); !errors.As(err, &f) || f.Field != "X" {
			t.Errorf("%s: %v, payload %v", expression, err, o.Payload)
		}
	}
}

func TestAnExpensiveExpressionStops(t *testing.T) {
	c := compiler(t)
	ten := "[1,2,3,4,5,6,7,8,9,10]"
	expression := "1"
	for range 8 {
		expression = "size(" + ten + ".map(x, " + expression + "))"
	}
	for _, e := range []string{expression, ten + `.map(a, ` + ten + `.map(b, ` + ten + `.map(c, ` + ten + `.map(d, ` + ten + `.map(e, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".replace("a", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbb"))))))`} {
		m, err := c.Mapping(fieldsOf(map[string]string{"X": e}), schemas())
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		o := &integration.Object{Payload: &integration.Tree{}}
		err = m.Apply(t.Context(), o, sourceOf(canonical.TMSInvoice, invoice()))
		if err == nil || !strings.Contains(err.Error(), "cost limit") {
			t.Errorf("%.40s…: %v", e, err)
		}
	}
}

func TestFilters(t *testing.T) {
	c := compiler(t)
	v := &canonical.Vendor{Party: canonical.Party{Name: "Acme", Types: []string{"Carrier", "Vendor"}}}
	for when, want := range map[string]bool{
		`"Carrier" in entity.types`:                                  true,
		`entity.name.startsWith("B")`:                                false,
		`source.Credit_Hold__c != "true"`:                            false,
		`entity.billing.country == "" && entity.remit_to.name == ""`: true,
	} {
		f, err := c.Filter(canonical.TMSVendor, when)
		if err != nil {
			t.Errorf("%s: %v", when, err)
			continue
		}
		in := sourceOf(canonical.TMSVendor, v)
		got, err := f.Match(t.Context(), in.Entities[0], in.Fields)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", when, got, err)
		}
	}
	if _, err := c.Filter(canonical.TMSVendor, `entity.name`); err == nil || !strings.Contains(err.Error(), "expected true or false") {
		t.Errorf("a condition that gives text: %v", err)
	}
}

func TestCompiledOnceForEachVersion(t *testing.T) {
	c := compiler(t)
	first := fieldsOf(map[string]string{"X": `"1"`})
	first.Version = 1
	second := fieldsOf(map[string]string{"X": `"2"`})
	second.Version = 2
	a, errA := c.Mapping(first, schemas())
	again := *first
	b, errB := c.Mapping(&again, schemas())
	d, errD := c.Mapping(second, schemas())
	if errA != nil || errB != nil || errD != nil || a != b || a == d {
		t.Errorf("%p %p %p, errors %v %v %v", a, b, d, errA, errB, errD)
	}
}

// FuzzCompile runs whatever compiles: it ends, and its result is one a payload
// can hold.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{`entity.number`, `entity.lines.map(l, l.amount)`, `source.X`, `money("1") + entity.total`, `"a".matches("(a+)+$")`, `[[1]].map(x, x.map(y, y))`, `"%s".format([entity.total])`} {
		f.Add(s)
	}
	c := compiler(f)
	f.Fuzz(func(t *testing.T, expression string) {
		m, err := c.compile(fieldsOf(map[string]string{"X": expression}), schemas())
		if err != nil {
			return
		}
		o := &integration.Object{Payload: &integration.Tree{}}
		if err := m.Apply(t.Context(), o, sourceOf(canonical.TMSInvoice, invoice())); err != nil {
			return
		}
		if _, err := json.Marshal(o.Payload); err != nil {
			t.Errorf("%q gives %#v: %v", expression, o.Payload, err)
		}
		if hasFloat(o.Payload.Get("X")) {
			t.Errorf("%q gives a float: %#v", expression, o.Payload)
		}
	})
}

func hasFloat(v any) bool {
	switch t := v.(type) {
	case float64, float32:
		return true
	case map[string]any:
		for _, e := range t {
			if hasFloat(e) {
				return true
			}
		}
	case []any:
		if slices.ContainsFunc(t, hasFloat) {
			return true
		}
	}
	return false
}

func BenchmarkApply(b *testing.B) {
	m, err := compiler(b).Mapping(fieldsOf(map[string]string{
		"DisplayName": `entity.number + " " + text(source.Name)`, "X": `source.Credit_Hold__c == "true" ? "hold" : "ok"`, "Amount": `entity.total - entity.tax`,
	}), schemas())
	if err != nil {
		b.Fatal(err)
	}
	in := sourceOf(canonical.TMSInvoice, invoice())
	b.ReportAllocs()
	for b.Loop() {
		o := &integration.Object{Payload: &integration.Tree{}}
		if err := m.Apply(b.Context(), o, in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFilter(b *testing.B) {
	f, err := compiler(b).Filter(canonical.TMSInvoice, `entity.total > money("0") && source.Credit_Hold__c == "true"`)
	if err != nil {
		b.Fatal(err)
	}
	in := sourceOf(canonical.TMSInvoice, invoice())
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := f.Match(b.Context(), in.Entities[0], in.Fields); err != nil || !ok {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	c := compiler(b)
	m := fieldsOf(map[string]string{"X": `entity.total - entity.tax`})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.compile(m, schemas()); err != nil {
			b.Fatal(err)
		}
	}
}
