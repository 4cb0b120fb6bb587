package integration

import (
	"reflect"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/record"
)

func TestSetAndValuesAgree(t *testing.T) {
	tree := map[string]any{"A": "x", "L": []any{map[string]any{"N": "1"}, map[string]any{}}}
	if err := Set(tree, "B.C", "y"); err != nil {
		t.Fatal(err)
	}
	if got := Values(tree, "B.C"); !reflect.DeepEqual(got, []any{"y"}) {
		t.Errorf("B.C holds %v", got)
	}
	if got := Values(tree, "L.N"); !reflect.DeepEqual(got, []any{"1"}) {
		t.Errorf("L.N holds %v", got)
	}
	if err := Set(tree, "A.B", "z"); err == nil || !strings.Contains(err.Error(), "A is not an object") {
		t.Errorf("writing through a scalar: %v", err)
	}
	if err := Set(tree, "B.C", nil); err != nil || len(Values(tree, "B.C")) != 0 {
		t.Errorf("removing B.C: %v, left %v", err, tree)
	}
	if err := Set(tree, "Q.R", nil); err != nil || tree["Q"] != nil {
		t.Errorf("removing what is not there changed %v (%v)", tree, err)
	}
}

func TestCheckNamesEachBrokenRule(t *testing.T) {
	schema := ObjectSchema{Object: "Invoice", Fields: []FieldSchema{
		{Path: "CustomerRef.value", Mandatory: true},
		{Path: "Line.Item", Mandatory: true},
		{Path: "Name", Mandatory: true},
		{Path: "Doc", Max: 3},
	}}
	o := &Object{
		Type:       "Invoice",
		Payload:    map[string]any{"Name": " ", "Doc": "äöüß", "Line": []any{map[string]any{"Item": "1"}, map[string]any{}}},
		References: []record.Reference{{Path: "CustomerRef.value"}},
	}
	var got []string
	for _, p := range Check(o, schema) {
		got = append(got, p.Code+" "+p.Field)
		if p.Remedy == "" || p.Message == "" {
			t.Errorf("problem without words: %+v", p)
		}
	}
	if want := []string{"missing_field Line.Item", "missing_field Name", "too_long Doc"}; !reflect.DeepEqual(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}
