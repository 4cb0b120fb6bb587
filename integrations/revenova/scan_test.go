package revenova

import (
	"slices"
	"strings"
	"testing"
)

// FuzzScan: what looks at eight bytes together sees what looks at each of them.
func FuzzScan(f *testing.F) {
	f.Add("a plain text without anything", 0)
	f.Add("\x80\xff\xef\xbf\xbe quoted \" \\ \x1f\x21", 1)
	f.Add("tab\there, end\r\n of a line < & ] \x7f\x08\x0b\x0c\x0e\x0f", 2)
	f.Add("\x21\x20\x1f\x00\xee\xef\xf0", 3)
	f.Fuzz(func(t *testing.T, s string, from int) {
		if from < 0 || from > len(s) {
			return
		}
		n := plain(s, from)
		for i, c := range []byte(s[from : from+n]) {
			if c < ' ' || c == '"' || c == '\\' {
				t.Fatalf("byte %d of %q is no plain text, %d bytes are said to be", i, s[from:], n)
			}
		}
		if rest := s[from+n:]; len(rest) >= 8 && rest[0] >= ' ' && rest[0] != '"' && rest[0] != '\\' {
			t.Fatalf("%q goes on behind the %d bytes that are said to be plain", s[from:], n)
		}
		want := strings.IndexFunc(latin(s[from:]), func(r rune) bool { return r < ' ' || r == 0xEF })
		if want >= 0 {
			want = from + len([]rune(latin(s[from:])[:want]))
		}
		if got := oddXML(s, from); got != want {
			t.Fatalf("the first odd byte of %q from %d is at %d, want %d", s, from, got, want)
		}
		n = plainText(s, from)
		if strings.ContainsAny(s[from:from+n], "<&]\r") {
			t.Fatalf("%q is no plain text of XML", s[from:from+n])
		}
		if rest := s[from+n:]; rest != "" && !strings.Contains("<&]\r", rest[:1]) {
			t.Fatalf("%q goes on behind the %d bytes that are said to be plain", s[from:], n)
		}
		odd := func(c byte) bool { return c >= 0x80 || c < ' ' && !isXMLSpace(c) }
		n = plainXML(s)
		for i := range n {
			if odd(s[i]) {
				t.Fatalf("byte %d of %q is odd, %d bytes are said to be plain", i, s, n)
			}
		}
		if rest := s[n:]; len(rest) >= 8 && !slices.ContainsFunc([]byte(rest[:8]), odd) {
			t.Fatalf("%q goes on behind the %d bytes that are said to be plain", s, n)
		}
		if got, want := isASCII(s), !slices.ContainsFunc([]byte(s), func(c byte) bool { return c >= 0x80 }); got != want {
			t.Fatalf("%q is ASCII: %v", s, got)
		}
	})
}

// latin has a rune for each byte.
func latin(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}
