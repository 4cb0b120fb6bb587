package quickbooks

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is what both the older and the newer documentation allow.
const maxName = 100

// cleanName removes what QuickBooks refuses or misreads in a name: a colon
// would make a sub-customer, a tab or newline is refused; double spaces are
// invisible to people and distinct to the API.
func cleanName(s string) string {
	if isClean(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == ':':
			return '-'
		case unicode.IsControl(r) || unicode.IsSpace(r):
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return strings.Join(strings.Fields(s), " ")
}

// isClean recognises what most names are: words of ASCII with one space between.
func isClean(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c >= 0x7f || c == ':':
			return false
		case c == ' ' && (i == 0 || i == len(s)-1 || s[i-1] == ' '):
			return false
		}
	}
	return true
}

// cutName shortens a name to the limit by characters, keeping its suffix: what
// tells two names apart must survive.
func cutName(name, suffix string, limit int) string {
	if utf8.RuneCountInString(name)+utf8.RuneCountInString(suffix) <= limit {
		return name + suffix
	}
	keep := max(limit-utf8.RuneCountInString(suffix), 0)
	return strings.TrimRight(string([]rune(name)[:min(keep, utf8.RuneCountInString(name))]), " ") + suffix
}

// suffixOf finds the distinguishing suffix " (…)" of a name, so that cutting
// keeps it.
func suffixOf(name string) (base, suffix string) {
	i := strings.LastIndex(name, " (")
	if i <= 0 || !strings.HasSuffix(name, ")") || utf8.RuneCountInString(name[i:]) > 20 {
		return name, ""
	}
	return name[:i], name[i:]
}

// firstOf takes the first of several values that people write into one field
// ("555-1 / 555-2", "a@x.com; b@x.com").
func firstOf(s string) string {
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ';' || r == ',' || r == '/' || r == '\n' || r == '|' }) {
		if p := strings.TrimSpace(part); p != "" {
			return p
		}
	}
	return ""
}

// webAddress gives an address the scheme QuickBooks insists on.
func webAddress(s string) string {
	s = strings.TrimSpace(s)
	if s == "" || strings.Contains(s, "://") {
		return s
	}
	return "https://" + strings.TrimPrefix(s, "//")
}
