package revenova

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// The budget of one JSON document.
const (
	maxJSONDepth  = 64
	maxJSONValues = 200_000
)

// errJSON is wrapped by every reason for which a document is refused.
var errJSON = errors.New("JSON refused")

// parseJSON reads a document that holds no name twice in one object, not even
// in another case: readers disagree about which of them wins. Numbers keep
// their literal text (gjson's Raw).
func parseJSON(doc string) (gjson.Result, error) {
	doc = strings.TrimPrefix(doc, "\uFEFF")
	if !utf8.ValidString(doc) {
		return gjson.Result{}, fmt.Errorf("%w: not UTF-8", errJSON)
	}
	var room [64]seenName
	c := jsonChecker{doc: doc, names: room[:0]}
	c.space()
	if err := c.value(0); err != nil {
		return gjson.Result{}, err
	}
	c.space()
	if c.pos != len(doc) {
		return gjson.Result{}, c.fail("something follows the document")
	}
	return gjson.Parse(doc), nil
}

type jsonChecker struct {
	doc    string
	pos    int
	values int
	// The names of the objects around pos, the innermost one's last.
	names []seenName
	// A bit for each hash of the document's names so far: most of them need not
	// be searched for.
	maybe [4]uint64
}

// seenName is a name by its hash and where it stands: hashes next to each other
// tell the few dozen names of an object apart faster than a map.
type seenName struct{ hash, at uint32 }

func (c *jsonChecker) fail(format string, args ...any) error {
	return fmt.Errorf("%w at byte %d: %s", errJSON, c.pos, fmt.Sprintf(format, args...))
}

func (c *jsonChecker) space() {
	for c.pos < len(c.doc) && isXMLSpace(c.doc[c.pos]) {
		c.pos++
	}
}

func (c *jsonChecker) peek() byte {
	if c.pos < len(c.doc) {
		return c.doc[c.pos]
	}
	return 0
}

func (c *jsonChecker) value(depth int) error {
	if c.values++; c.values > maxJSONValues {
		return c.fail("more than %d values", maxJSONValues)
	}
	switch b := c.peek(); {
	case b == '{':
		return c.object(depth)
	case b == '[':
		return c.array(depth)
	case b == '"':
		_, err := c.text()
		return err
	case b == '-' || b >= '0' && b <= '9':
		return c.number()
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(c.doc[c.pos:], word) {
			c.pos += len(word)
			return nil
		}
	}
	return c.fail("no value")
}

func (c *jsonChecker) object(depth int) error {
	if depth == maxJSONDepth {
		return c.fail("deeper than %d levels", maxJSONDepth)
	}
	c.pos++
	c.space()
	if c.peek() == '}' {
		c.pos++
		return nil
	}
	outside := len(c.names)
	var many map[string]struct{} // the names folded, once there are more than maxListed
	for {
		if c.peek() != '"' {
			return c.fail("no name of a member")
		}
		at := c.pos
		name, err := c.text()
		if err != nil {
			return err
		}
		if many == nil && len(c.names)-outside == maxListed {
			many = c.folded(outside)
		}
		if many != nil && had(many, name) || many == nil && c.had(outside, name, at) {
			return c.fail("name %.80q twice in one object", name)
		}
		c.space()
		if c.peek() != ':' {
			return c.fail("no : after a name")
		}
		c.pos++
		c.space()
		if err := c.value(depth + 1); err != nil {
			return err
		}
		c.space()
		switch c.peek() {
		case ',':
			c.pos++
			c.space()
		case '}':
			c.pos++
			c.names = c.names[:outside]
			return nil
		default:
			return c.fail("no , or } after a member")
		}
	}
}

const maxListed = 256

// had adds the name at a place and reports whether the object whose names begin
// at outside had it before, in any case.
func (c *jsonChecker) had(outside int, name string, at int) bool {
	h := foldHash(name)
	word, bit := &c.maybe[h>>30], uint64(1)<<(h&63)
	if *word&bit != 0 {
		for _, seen := range c.names[outside:] {
			if seen.hash == h && foldName(c.nameAt(seen)) == foldName(name) {
				return true
			}
		}
	}
	*word |= bit
	c.names = append(c.names, seenName{h, uint32(at)}) //nolint:gosec // a body is shorter than 4 GB
	return false
}

func (c *jsonChecker) nameAt(seen seenName) string {
	again := jsonChecker{doc: c.doc, pos: int(seen.at)}
	name, _ := again.text() // was read before
	return name
}

// folded are the names of an object with too many of them for a list.
func (c *jsonChecker) folded(outside int) map[string]struct{} {
	out := make(map[string]struct{}, 2*maxListed)
	for _, seen := range c.names[outside:] {
		out[foldName(c.nameAt(seen))] = struct{}{}
	}
	return out
}

func had(many map[string]struct{}, name string) bool {
	folded := foldName(name)
	_, twice := many[folded]
	many[folded] = struct{}{}
	return twice
}

// foldHash is equal for names that are equal when folded. It looks at both ends
// of a name: in between, the names of an object differ least.
func foldHash(name string) uint32 {
	if !isASCII(name) {
		name = foldName(name)
	}
	const lower, prime = 0x20 * eachByte, 0x9E3779B97F4A7C15
	var head, tail uint64
	if n := len(name); n >= 8 {
		head, tail = eight(name, 0), eight(name, n-8)
	} else {
		for i := range n {
			head = head<<8 | uint64(name[i])
		}
	}
	h := ((head|lower)*prime ^ (tail | lower) + uint64(len(name))) * prime
	return uint32(h >> 32)
}

// foldName agrees with strings.EqualFold.
func foldName(s string) string { return strings.ToLower(strings.ToUpper(s)) }

func (c *jsonChecker) array(depth int) error {
	if depth == maxJSONDepth {
		return c.fail("deeper than %d levels", maxJSONDepth)
	}
	c.pos++
	c.space()
	if c.peek() == ']' {
		c.pos++
		return nil
	}
	for {
		if err := c.value(depth + 1); err != nil {
			return err
		}
		c.space()
		switch c.peek() {
		case ',':
			c.pos++
			c.space()
		case ']':
			c.pos++
			return nil
		default:
			return c.fail("no , or ] after an element")
		}
	}
}

func (c *jsonChecker) number() error {
	digits := func() bool {
		from := c.pos
		for b := c.peek(); b >= '0' && b <= '9'; b = c.peek() {
			c.pos++
		}
		return c.pos > from
	}
	if c.peek() == '-' {
		c.pos++
	}
	if c.peek() == '0' {
		c.pos++
	} else if !digits() {
		return c.fail("a number without digits")
	}
	if c.peek() == '.' {
		c.pos++
		if !digits() {
			return c.fail("a number without digits after its point")
		}
	}
	if b := c.peek(); b == 'e' || b == 'E' {
		c.pos++
		if b := c.peek(); b == '+' || b == '-' {
			c.pos++
		}
		if !digits() {
			return c.fail("a number without digits in its exponent")
		}
	}
	return nil
}

// text reads a string and returns it decoded.
func (c *jsonChecker) text() (string, error) {
	from := c.pos
	c.pos++
	escaped := false
	for {
		c.pos += plain(c.doc, c.pos)
		if c.pos >= len(c.doc) {
			return "", c.fail("a string does not end")
		}
		switch b := c.doc[c.pos]; {
		case b == '"':
			raw := c.doc[from : c.pos+1]
			c.pos++
			if !escaped {
				return raw[1 : len(raw)-1], nil
			}
			return gjson.Parse(raw).String(), nil
		case b < 0x20:
			return "", c.fail("a control character in a string")
		case b != '\\':
			c.pos++
			continue
		}
		escaped = true
		if c.pos+1 >= len(c.doc) {
			return "", c.fail("a string does not end")
		}
		switch c.doc[c.pos+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			c.pos += 2
		case 'u':
			u, err := c.unit()
			if err != nil {
				return "", err
			}
			if u >= 0xDC00 && u <= 0xDFFF {
				return "", c.fail("half a surrogate pair")
			}
			if u >= 0xD800 && u <= 0xDBFF {
				if low, err := c.unit(); err != nil || low < 0xDC00 || low > 0xDFFF {
					return "", c.fail("half a surrogate pair")
				}
			}
		default:
			return "", c.fail("an escape that JSON does not know")
		}
	}
}

// unit reads one \uXXXX.
func (c *jsonChecker) unit() (uint64, error) {
	if c.pos+6 > len(c.doc) || c.doc[c.pos] != '\\' || c.doc[c.pos+1] != 'u' {
		return 0, c.fail(`no \uXXXX`)
	}
	u, err := strconv.ParseUint(c.doc[c.pos+2:c.pos+6], 16, 16)
	if err != nil {
		return 0, c.fail(`no \uXXXX`)
	}
	c.pos += 6
	return u, nil
}
