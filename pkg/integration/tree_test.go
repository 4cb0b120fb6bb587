package integration

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
)

// TestTreesAreWrittenAsMapsWere does the same to a tree and to a map: a payload
// that an older version made of maps must be equal to today's.
func TestTreesAreWrittenAsMapsWere(t *testing.T) {
	names := []string{"", "A", "AB", "B", "a", "a.b", "a-b", "z", "\u00fc", "k<", "\"", "Line1", "Line10", "Line2"}
	values := []func() (tree, same any){
		func() (any, any) { return "text", "text" },
		func() (any, any) { return "", "" },
		func() (any, any) { return nil, nil },
		func() (any, any) { return true, true },
		func() (any, any) { return json.Number("10.00"), json.Number("10.00") },
		func() (any, any) { return &Tree{}, map[string]any{} },
		func() (any, any) { return TreeOf("n", "<\n>"), map[string]any{"n": "<\n>"} },
		func() (any, any) { return []any{TreeOf("x", "1"), "2"}, []any{map[string]any{"x": "1"}, "2"} },
		func() (any, any) { m := map[string]any{"b": "1", "a": nil}; return m, m },
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		tree, same := NewTree(random.IntN(4)), map[string]any{}
		for range random.IntN(20) {
			name := names[random.IntN(len(names))]
			if random.IntN(5) == 0 {
				tree.Delete(name)
				delete(same, name)
				continue
			}
			v, w := values[random.IntN(len(values))]()
			tree.Put(name, v)
			same[name] = w
		}
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := e.Encode(same); err != nil {
			t.Fatal(err)
		}
		got, err := AppendJSON(nil, tree)
		if w := bytes.TrimSuffix(want.Bytes(), []byte("\n")); err != nil || !bytes.Equal(got, w) {
			t.Fatalf("wrote %s (%v), the library %s", got, err, w)
		}
		if tree.Len() != len(same) {
			t.Fatalf("%d members of %s", tree.Len(), got)
		}
		for _, name := range names {
			text, isText := same[name].(string)
			if _, has := same[name]; tree.Has(name) != has {
				t.Fatalf("has %q: %t in %s", name, tree.Has(name), got)
			}
			if s, ok := tree.Text(name); s != text || ok != isText {
				t.Fatalf("the text of %q is %q, %t in %s", name, s, ok, got)
			}
			if isText && !reflect.DeepEqual(tree.Get(name), same[name]) {
				t.Fatalf("%q is %v in %s", name, tree.Get(name), got)
			}
		}
	}
}
