package integration

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// The bytes must be the library's: delivery compares payloads with applied ones
// that an older version wrote.
func TestPayloadsAreWrittenAsTheLibraryWritesThem(t *testing.T) {
	type typed struct {
		B int    `json:"b"`
		A string `json:"a,omitempty"`
	}
	for _, v := range []any{
		nil, "", "plain", "a<b>&c", "line\nbreak \"quoted\" back\\slash \x01 \u2028 caf\u00e9 \xff", true, false, 12, 1.5, int64(-3),
		json.Number("10.00"), json.RawMessage(`{"x":[1]}`), time.Unix(0, 0).UTC(),
		typed{1, "x"},
		&typed{B: 2},
		[]string{"a", "b"},
		[]int(nil),
		map[string]any{},
		map[string]any(nil),
		[]any{},
		[]any(nil), []map[string]any(nil),
		map[string]string{"b": "1", "a": "2"},
		map[string]any{"z": 1, "a": map[string]any{"\u00fc": "x", "k<": []any{"1", nil, map[string]any{"y": false}}}, "m": []map[string]any{{"b": "1"}, {"a": json.Number("2.50")}}},
	} {
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
		got, err := AppendJSON([]byte("kept "), v)
		if err != nil {
			t.Fatalf("%#v: %v", v, err)
		}
		if w := "kept " + string(bytes.TrimSuffix(want.Bytes(), []byte("\n"))); string(got) != w {
			t.Errorf("%#v: wrote %s, the library %s", v, got, w)
		}
	}
	if got, err := AppendJSON(nil, map[string]any{"f": func() {}}); err == nil {
		t.Errorf("a function was written as %s", got)
	}
}
