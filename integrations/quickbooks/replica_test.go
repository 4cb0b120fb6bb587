package quickbooks

import (
	"testing"

	"github.com/fluxnex/fluxnex/pkg/record"
)

func TestAnObjectIsReadAsItIs(t *testing.T) {
	o, err := replicator{}.Observe("rest", "application/json", []byte(`{"Id":"56","SyncToken":"9","DisplayName":"Acme \u0026 Co","Balance":1000.0,"BillAddr":{"PostalCode":"04001"},"Active":true,"Fax":null}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []record.Field{
		{Name: "Active", Kind: record.KindBool, Value: "true"},
		{Name: "Balance", Kind: record.KindNumber, Value: "1000.0"},
		{Name: "BillAddr", Kind: record.KindJSON, Value: `{"PostalCode":"04001"}`},
		{Name: "DisplayName", Kind: record.KindText, Value: "Acme & Co"},
		{Name: "Fax", Kind: record.KindNull},
		{Name: "Id", Kind: record.KindText, Value: "56"},
		{Name: "SyncToken", Kind: record.KindText, Value: "9"},
	}
	if len(o.Fields) != len(want) {
		t.Fatalf("fields %+v", o.Fields)
	}
	for i, f := range o.Fields {
		if f != want[i] {
			t.Errorf("field %+v, want %+v", f, want[i])
		}
	}
	later, err := replicator{}.Observe("rest", "", []byte(`{"Id":"56","SyncToken":"10","status":"Deleted"}`), nil)
	if err != nil || later.Version <= o.Version || !later.Deleted || !later.Complete {
		t.Errorf("the tenth change %+v (%v) does not come after the ninth %q", later, err, o.Version)
	}
	for _, bad := range []string{`null`, `[]`, `{"Id":"56"}`, `{"SyncToken":"1"}`, `{"Id":"1","SyncToken":"-1"}`, `x`} {
		if _, err := (replicator{}).Observe("rest", "", []byte(bad), nil); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}
