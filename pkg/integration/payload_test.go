package integration

import (
	"reflect"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/record"
)

func TestSetAndValuesAgree(t *testing.T) {
	lines := &Tree{}
	lines.Put("A", "x")
	lines.Put("L", []any{TreeOf("N", "1"), &Tree{}})
	for kind, tree := range map[string]any{
		"tree": lines,
		"map":  map[string]any{"A": "x", "L": []any{map[string]any{"N": "1"}, map[string]any{}}},
	} {
		if err := Set(tree, "B.C", "y"); err != nil {
			t.Fatal(err)
		}
		if got := Values(tree, "B.C"); !reflect.DeepEqual(got, []any{"y"}) {
			t.Errorf("%s: B.C holds %v", kind, got)
		}
		if got := Values(tree, "L.N"); !reflect.DeepEqual(got, []any{"1"}) {
			t.Errorf("%s: L.N holds %v", kind, got)
		}
		if err := Set(tree, "A.B", "z"); err == nil || !strings.Contains(err.Error(), "A is not an object") {
			t.Errorf("%s: writing through a scalar: %v", kind, err)
		}
		if err := Set(tree, "B.C", nil); err != nil || len(Values(tree, "B.C")) != 0 {
			t.Errorf("%s: removing B.C: %v, left %v", kind, err, tree)
		}
		if err := Set(tree, "Q.R", nil); err != nil || objectOf(tree).Get("Q") != nil {
			t.Errorf("%s: removing what is not there changed %v (%v)", kind, tree, err)
		}
	}
}

func TestCheckNamesEachBrokenRule(t *testing.T) {
	schema := ObjectSchema{Object: "Invoice", Fields: []FieldSchema{
		{Path: "CustomerRef.value", Mandatory: true},
		{Path: "Line.Item", Mandatory: true},
		{Path: "Name", Mandatory: true},
		{Path: "Doc", Max: 3},
	}}
	o := &Object{Type: "Invoice", Payload: TreeOf("Name", " "), References: []record.Reference{{Path: "CustomerRef.value"}}}
	o.Payload.Put("Doc", "äöüß")
	o.Payload.Put("Line", []any{TreeOf("Item", "1"), &Tree{}})
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
