package revenova

import "strings"

// withoutSession blanks every SessionId in a body that may be neither
// well-formed nor of a known format: it is a live credential, and the body is
// about to be stored. Elements (also inside a JSON string) and members are
// recognised in any case; where the end of a value cannot be found, everything
// behind it is dropped.
func withoutSession(body string) string {
	if !mentionsSession(body) {
		return body
	}
	lower := strings.ToLower(body)
	if len(lower) != len(body) { // case folding moved offsets: fold ASCII only
		lower = asciiLower(body)
	}
	var b strings.Builder
	done := 0
	for at := 0; ; {
		i, n := nextSession(lower, at)
		if i < 0 {
			break
		}
		from, to := sessionValue(body, lower, i+n)
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

// mentionsSession looks for the word in any case. Most bodies do not have it,
// and need no copy in lower case. Every seventh byte is enough to look at: the
// word covers one, and its letters say where it would begin.
func mentionsSession(body string) bool {
	const word = "session"
	for i := len(word) - 1; i < len(body); i += len(word) {
		for at := range len(word) {
			if body[i]|0x20 != word[at] {
				continue
			}
			if from := i - at; from+len(word) <= len(body) && strings.EqualFold(body[from:from+len(word)], word) {
				return true
			}
		}
	}
	return false
}

func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

func nextSession(lower string, at int) (i, n int) {
	i, n = -1, 0
	for _, name := range [...]string{"sessionid", "session_id"} {
		if j := strings.Index(lower[at:], name); j >= 0 && (i < 0 || at+j < i) {
			i, n = at+j, len(name)
		}
	}
	return i, n
}

// sessionValue finds the value that follows the name ending at i: the content
// of an element or the value of a member; from is -1 where none follows.
func sessionValue(body, lower string, i int) (from, to int) {
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
	for _, bracket := range [...]string{">", `\u003e`} {
		open := strings.Index(lower[i:], bracket)
		if open < 0 || strings.ContainsAny(body[i:i+open], "<{}") {
			continue
		}
		if strings.HasSuffix(strings.TrimRight(body[i:i+open], " \t\r\n"), "/") {
			return -1, 0 // empty element
		}
		from = i + open + len(bracket)
		if isClosing(lower, i) {
			return -1, 0
		}
		inner := lower[from:]
		end := len(inner)
		skip := 0
		if strings.HasPrefix(strings.TrimLeft(inner, " \t\r\n"), "<![cdata[") {
			if j := strings.Index(inner, "]]>"); j >= 0 {
				skip = j
			} else {
				return from, len(body)
			}
		}
		for _, close := range [...]string{"</", `<\/`, `\u003c/`, `\u003c\/`} {
			if j := strings.Index(inner[skip:], close); j >= 0 && skip+j < end {
				end = skip + j
			}
		}
		return from, from + end
	}
	return -1, 0
}

// isClosing reports that the name ending at i belongs to an end tag.
func isClosing(lower string, i int) bool {
	for i > 0 && (isAlnum(lower[i-1]) || strings.IndexByte("_:.-", lower[i-1]) >= 0) {
		i--
	}
	return i > 0 && lower[i-1] == '/'
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
