package revenova

import (
	"fmt"
	"strconv"
	"strings"
)

func isXMLSpace(c byte) bool { return c <= ' ' && (c == ' ' || c == '\n' || c == '\t' || c == '\r') }

// nameLen is the length of the name that s begins with. Names of Salesforce are
// ASCII; others are refused.
func nameLen(s string) int {
	colon := false
	for i := range len(s) {
		switch c := s[i]; {
		case isNameStart(c):
		case i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.') && s[i-1] != ':':
		case c == ':' && i > 0 && !colon && i+1 < len(s) && isNameStart(s[i+1]):
			colon = true
		default:
			return i
		}
	}
	return len(s)
}

func isNameStart(c byte) bool {
	letter := c | 0x20
	return letter >= 'a' && letter <= 'z' || c == '_'
}

// splitName splits a name at its colon.
func splitName(name string) (prefix, local string) {
	for i := range len(name) { // prefixes are short
		if name[i] == ':' {
			return name[:i], name[i+1:]
		}
	}
	return "", name
}

// unescapeXML replaces the predefined entities and character references.
func unescapeXML(t string) (string, error) {
	var b strings.Builder
	b.Grow(len(t))
	for {
		i := strings.IndexByte(t, '&')
		if i < 0 {
			b.WriteString(t)
			return b.String(), nil
		}
		b.WriteString(t[:i])
		name, rest, ok := strings.Cut(t[i+1:], ";")
		if !ok {
			return "", fmt.Errorf("%w: an & that begins no entity", errXML)
		}
		switch name {
		case "lt":
			b.WriteByte('<')
		case "gt":
			b.WriteByte('>')
		case "amp":
			b.WriteByte('&')
		case "quot":
			b.WriteByte('"')
		case "apos":
			b.WriteByte('\'')
		default:
			r, err := charRef(name)
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
		}
		t = rest
	}
}

func charRef(name string) (rune, error) {
	digits, ok := strings.CutPrefix(name, "#")
	base := 10
	if ok && strings.HasPrefix(digits, "x") {
		digits, base = digits[1:], 16
	}
	if !ok || digits == "" || digits[0] == '+' || digits[0] == '-' {
		return 0, fmt.Errorf("%w: unknown entity %.20q", errXML, name)
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || (n != 0x9 && n != 0xA && n != 0xD && (n < 0x20 || n > 0xD7FF) &&
		(n < 0xE000 || n > 0xFFFD) && (n < 0x10000 || n > 0x10FFFF)) {
		return 0, fmt.Errorf("%w: character reference %.20q", errXML, name)
	}
	return rune(n), nil
}
