package quickbooks

import (
	"strings"
	"testing"
)

// FuzzEscapeQuery: a value stays one literal of the query, whatever is in it:
// read back by the rules of the language, it is the value.
func FuzzEscapeQuery(f *testing.F) {
	for _, s := range []string{"O'Brien", `\`, `\'`, `' OR '1'='1`, "line\nbreak", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		escaped := escapeQuery(value)
		var back strings.Builder
		for i := 0; i < len(escaped); i++ {
			switch escaped[i] {
			case '\'':
				t.Fatalf("%q ends the literal at byte %d of %q", value, i, escaped)
			case '\\':
				if i++; i == len(escaped) {
					t.Fatalf("%q leaves the closing quote escaped: %q", value, escaped)
				}
			}
			back.WriteByte(escaped[i])
		}
		if back.String() != value {
			t.Fatalf("%q reads back as %q", value, back.String())
		}
	})
}
