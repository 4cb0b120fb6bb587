package revenova

import "strings"

// withoutSession blanks every SessionId in a body that may be neither
// well-formed nor of a known format: it is a live credential, and the body is
// about to be stored. Elements (also inside a JSON string) and members are
// recognised in any case; where the end of a value cannot be found, everything
// behind it is dropped.
func withoutSession(body string) string {
	var b strings.Builder
	done := 0
	for at := 0; ; {
		i, n := nextSession(body, at)
		if i < 0 {
			break
		}
		from, to := sessionValue(body, i+n)
		if from < 0 {
			at = i + n
			continue
		}
		b.WriteString(body[done:from])
		if from < len(body) && body[from] != '<' && strings.HasSuffix(strings.TrimRight(body[:from], " \t\r\n"), ":") {
			b.WriteString(`""`)
		}
		done, at = to, to
	}
	if done == 0 {
		return body
	}
	b.WriteString(body[done:])
	return b.String()
}

const sessionWord = "session"

// nextSession finds the next sessionid or session_id in any case. Every seventh
// byte is enough to look at: the word "session" covers one, and its letters say
// where it would begin.
func nextSession(body string, at int) (i, n int) {
	for at >= 0 {
		found := -1
		for look := at + len(sessionWord) - 1; look < len(body) && found < 0; look += len(sessionWord) {
			switch body[look] | 0x20 {
			case 's':
				for _, letter := range [...]int{3, 2, 0} {
					if found < 0 {
						found = sessionAt(body, look-letter, at)
					}
				}
			case 'e':
				found = sessionAt(body, look-1, at)
			case 'i':
				found = sessionAt(body, look-4, at)
			case 'o':
				found = sessionAt(body, look-5, at)
			case 'n':
				found = sessionAt(body, look-6, at)
			}
		}
		if found < 0 {
			break
		}
		for _, ending := range [...]string{"id", "_id"} {
			if hasFold(body[found+len(sessionWord):], ending) {
				return found, len(sessionWord) + len(ending)
			}
		}
		at = found + len(sessionWord)
	}
	return -1, 0
}

// sessionAt is i where body has the word there, in any case; -1 where it has not,
// or before at.
func sessionAt(body string, i, at int) int {
	if i < at || i+len(sessionWord) > len(body) {
		return -1
	}
	for k := range len(sessionWord) {
		if body[i+k]|0x20 != sessionWord[k] {
			return -1
		}
	}
	return i
}

// hasFold is HasPrefix for ASCII in any case.
func hasFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// first is the smallest index of any of these; -1 if there is none.
func first(s string, subs ...string) int {
	out := -1
	for _, sub := range subs {
		if i := strings.Index(s, sub); i >= 0 && (out < 0 || i < out) {
			out = i
		}
	}
	return out
}

// sessionValue finds the value that follows the name ending at i: the content
// of an element or the value of a member; from is -1 where none follows.
func sessionValue(body string, i int) (from, to int) {
	rest := body[i:]
	trimmed := strings.TrimLeft(rest, " \t\r\n")
	if strings.HasPrefix(trimmed, `"`) || strings.HasPrefix(trimmed, `\"`) || strings.HasPrefix(trimmed, `'`) {
		after := strings.TrimLeft(strings.TrimLeft(trimmed, `\"'`), " \t\r\n")
		if strings.HasPrefix(after, ":") {
			after = strings.TrimLeft(after[1:], " \t\r\n")
			from = len(body) - len(after)
			return from, from + jsonValueLen(after)
		}
	}
	// A tag, plain or with its brackets escaped inside a JSON string.
	for _, bracket := range [...][]string{{">"}, {`\u003e`, `\u003E`}} {
		open := first(body[i:], bracket...)
		if open < 0 || strings.ContainsAny(body[i:i+open], "<{}") {
			continue
		}
		if strings.HasSuffix(strings.TrimRight(body[i:i+open], " \t\r\n"), "/") {
			return -1, 0 // empty element
		}
		from = i + open + len(bracket[0])
		if isClosing(body, i) {
			return -1, 0
		}
		inner := body[from:]
		end := len(inner)
		skip := 0
		if hasFold(strings.TrimLeft(inner, " \t\r\n"), "<![cdata[") {
			if j := strings.Index(inner, "]]>"); j >= 0 {
				skip = j
			} else {
				return from, len(body)
			}
		}
		if j := first(inner[skip:], "</", `<\/`, `\u003c/`, `\u003c\/`, `\u003C/`, `\u003C\/`); j >= 0 {
			end = skip + j
		}
		return from, from + end
	}
	return -1, 0
}

// isClosing reports that the name ending at i belongs to an end tag.
func isClosing(body string, i int) bool {
	for i > 0 && (isAlnum(body[i-1]) || strings.IndexByte("_:.-", body[i-1]) >= 0) {
		i--
	}
	return i > 0 && body[i-1] == '/'
}

// jsonValueLen is the length of the JSON value s begins with; all of s where it
// has no readable end.
func jsonValueLen(s string) int {
	depth, inText := 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case inText && c == '\\':
			i++
			continue
		case c == '"':
			inText = !inText
			if !inText && depth == 0 {
				return i + 1
			}
		case inText:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth < 0 {
				return i
			}
			if depth == 0 {
				return i + 1
			}
		case c == ',' && depth == 0:
			return i
		}
	}
	return len(s)
}
