package quickbooks

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/fluxnex/fluxnex/sandbox/call"
)

// condition is one comparison; all of a query's hold together (there is no OR).
type condition struct {
	field  string
	op     string
	values []string
}

type statement struct {
	count    bool
	columns  []string
	from     *entity
	where    []condition
	order    string
	down     bool
	start    int
	most     int
	inactive bool // the query names Active itself
}

const (
	defaultResults = 100
	mostResults    = 1000
)

// tokens splits a query. Quoted texts keep a leading quote, so that 'from' is
// not a keyword; inside them \ escapes.
func tokens(q string) ([]string, error) {
	var out []string
	for i := 0; i < len(q); {
		switch ch := q[i]; {
		case ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r':
			i++
		case ch == '\'':
			var b strings.Builder
			b.WriteByte('\'')
			i++
			for ; i < len(q) && q[i] != '\''; i++ {
				if q[i] == '\\' && i+1 < len(q) {
					i++
				}
				b.WriteByte(q[i])
			}
			if i >= len(q) {
				return nil, fmt.Errorf("QueryParserError: Encountered \"<EOF>\" inside a quoted text")
			}
			i++
			out = append(out, b.String())
		case strings.ContainsRune("(),*", rune(ch)):
			out = append(out, string(ch))
			i++
		case strings.ContainsRune("=<>!", rune(ch)):
			n := 1
			if i+1 < len(q) && q[i+1] == '=' {
				n = 2
			}
			out = append(out, q[i:i+n])
			i += n
		default:
			j := i
			for j < len(q) && !strings.ContainsRune(" \t\r\n'(),*=<>!", rune(q[j])) {
				j++
			}
			out = append(out, q[i:j])
			i = j
		}
	}
	return out, nil
}

type parser struct {
	tokens []string
	at     int
}

func (p *parser) peek() string {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return ""
}

func (p *parser) next() string { t := p.peek(); p.at++; return t }

// word consumes keywords in a row, if they come next.
func (p *parser) word(words ...string) bool {
	for i, w := range words {
		if p.at+i >= len(p.tokens) || !strings.EqualFold(p.tokens[p.at+i], w) {
			return false
		}
	}
	p.at += len(words)
	return true
}

func (p *parser) fail() error {
	found := p.peek()
	if found == "" {
		found = "<EOF>"
	}
	return fmt.Errorf("QueryParserError: Encountered %q at token %d", found, p.at+1)
}

func parse(all map[string]*entity, q string) (*statement, error) {
	words, err := tokens(q)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: words}
	s := &statement{start: 1, most: defaultResults}
	if !p.word("select") {
		return nil, p.fail()
	}
	switch {
	case p.word("count", "(", "*", ")"):
		s.count = true
	case p.word("*"):
	default:
		for {
			s.columns = append(s.columns, p.next())
			if !p.word(",") {
				break
			}
		}
	}
	if !p.word("from") {
		return nil, p.fail()
	}
	name := p.next()
	if s.from = all[strings.ToLower(name)]; s.from == nil {
		return nil, fmt.Errorf("QueryValidationError: invalid context declaration: %s", name)
	}
	if p.word("where") {
		for {
			c, err := p.condition(s.from)
			if err != nil {
				return nil, err
			}
			s.inactive = s.inactive || c.field == "Active"
			s.where = append(s.where, c)
			if !p.word("and") {
				break
			}
		}
	}
	return s, p.tail(s)
}

func (p *parser) tail(s *statement) error {
	for p.at < len(p.tokens) {
		var err error
		switch {
		case p.word("orderby"), p.word("order", "by"):
			s.order = p.next()
			s.down = p.word("desc")
			if !s.down {
				p.word("asc")
			}
		case p.word("startposition"):
			s.start, err = strconv.Atoi(p.next())
			if err != nil || s.start < 1 {
				return fmt.Errorf("QueryValidationError: STARTPOSITION must be 1 or greater")
			}
		case p.word("maxresults"):
			s.most, err = strconv.Atoi(p.next())
			if err != nil || s.most < 0 {
				return p.fail()
			}
			if s.most > mostResults {
				return fmt.Errorf("QueryValidationError: value %d is too large. Max allowed value is %d", s.most, mostResults)
			}
		default:
			return p.fail()
		}
	}
	return nil
}

func (p *parser) condition(e *entity) (condition, error) {
	c := condition{field: p.next()}
	root, _, _ := strings.Cut(c.field, ".")
	if _, known := e.fields[root]; !known {
		return c, fmt.Errorf("QueryValidationError: property '%s' not found for Entity '%s'", c.field, e.name)
	}
	if p.word("in") {
		c.op = "in"
		if !p.word("(") {
			return c, p.fail()
		}
		for {
			c.values = append(c.values, strings.TrimPrefix(p.next(), "'"))
			if p.word(")") {
				return c, nil
			}
			if !p.word(",") {
				return c, p.fail()
			}
		}
	}
	c.op = strings.ToLower(p.next())
	if !slices.Contains([]string{"=", "<", ">", "<=", ">=", "like"}, c.op) || p.peek() == "" {
		p.at--
		return c, p.fail()
	}
	c.values = []string{strings.TrimPrefix(p.next(), "'")}
	return c, nil
}

func (c *condition) holds(fields map[string]any) bool {
	var v any = fields
	for part := range strings.SplitSeq(c.field, ".") {
		m, _ := v.(map[string]any)
		v = m[part]
	}
	if m, ok := v.(map[string]any); ok { // a reference compares by its value
		v = m["value"]
	}
	if v == nil {
		return false
	}
	got := fmt.Sprint(v)
	switch c.op {
	case "in":
		return slices.ContainsFunc(c.values, func(w string) bool { return strings.EqualFold(w, got) })
	case "like":
		return like(strings.ToLower(c.values[0]), strings.ToLower(got))
	}
	n := order(v, got, c.values[0])
	switch c.op {
	case "=":
		return n == 0
	case "<":
		return n < 0
	case ">":
		return n > 0
	case "<=":
		return n <= 0
	}
	return n >= 0
}

// like matches % as any text.
func like(pattern, s string) bool {
	parts := strings.Split(pattern, "%")
	if len(parts) == 1 {
		return pattern == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}

// order compares as numbers or times where both are, else as texts, whose case
// does not matter.
func order(v any, got, want string) int {
	if _, ok := v.(json.Number); ok {
		a, err1 := decimal.NewFromString(got)
		b, err2 := decimal.NewFromString(want)
		if err1 == nil && err2 == nil {
			return a.Cmp(b)
		}
	}
	if a, err := time.Parse(time.RFC3339, got); err == nil {
		if b, ok := instant(want); ok {
			return a.Compare(b)
		}
	}
	return cmp.Compare(strings.ToLower(got), strings.ToLower(want))
}

func instant(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05-0700", "2006-01-02T15:04:05.999999999", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, pacific()); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// query runs a statement. What it holds on to is immutable, so only choosing
// the candidates takes the lock.
func (r *realm) query(all map[string]*entity, q string, stale bool) (map[string]any, *fault) {
	s, err := parse(all, q)
	if err != nil {
		f := badQuery(err.Error())
		return nil, &f
	}
	var found []*object
	for _, o := range r.candidates(s) {
		o = r.seen(o, stale)
		if o.deleted || (!s.inactive && !o.active()) {
			continue
		}
		if !slices.ContainsFunc(s.where, func(c condition) bool { return !c.holds(o.fields) }) {
			found = append(found, o)
		}
	}
	if s.count {
		return map[string]any{"totalCount": len(found)}, nil
	}
	s.sort(found)
	from := min(s.start-1, len(found))
	page := found[from:min(from+s.most, len(found))]
	if len(page) == 0 {
		return map[string]any{}, nil
	}
	rows := make([]json.RawMessage, len(page))
	for i, o := range page {
		rows[i] = s.project(o)
	}
	return map[string]any{s.from.name: rows, "startPosition": s.start, "maxResults": len(rows)}, nil
}

func (r *realm) candidates(s *statement) []*object {
	r.mu.RLock()
	defer r.mu.RUnlock()
	t := r.tables[s.from.name]
	for _, c := range s.where {
		if c.op != "=" && c.op != "in" {
			continue
		}
		var out []*object
		switch {
		case c.field == "Id":
			for _, id := range c.values {
				if o := t.byID[id]; o != nil {
					out = append(out, o)
				}
			}
			return out
		case s.from.list() && c.field == s.from.nameField:
			for _, n := range c.values {
				if o := r.names[nameKey(s.from.space, n)]; o != nil && o.kind.name == s.from.name {
					out = append(out, o)
				}
			}
			return out
		case c.field == "DocNumber":
			for _, doc := range c.values {
				for id := range t.docs[doc] {
					out = append(out, t.byID[id])
				}
			}
			return out
		}
	}
	out := make([]*object, 0, len(t.byID))
	for _, o := range t.byID {
		out = append(out, o)
	}
	return out
}

// sort puts name lists by name and transactions newest first, unless told.
func (s *statement) sort(found []*object) {
	number := func(o *object) int { n, _ := strconv.Atoi(o.id); return n }
	slices.SortFunc(found, func(a, b *object) int {
		var n int
		switch {
		case s.order != "":
			va, vb := a.fields[s.order], b.fields[s.order]
			switch s.order {
			case "MetaData.LastUpdatedTime", "MetaData.CreateTime":
				n = a.updated.Compare(b.updated)
			case "Id":
				n = cmp.Compare(number(a), number(b))
			default:
				n = order(va, fmt.Sprint(va), fmt.Sprint(vb))
			}
			if s.down {
				n = -n
			}
		case s.from.list():
			n = cmp.Compare(strings.ToLower(a.text(s.from.nameField)), strings.ToLower(b.text(s.from.nameField)))
		default:
			n = -cmp.Compare(number(a), number(b))
		}
		if n == 0 {
			n = cmp.Compare(number(a), number(b))
		}
		return n
	})
}

// project keeps the named columns; Id always comes along.
func (s *statement) project(o *object) json.RawMessage {
	if s.columns == nil {
		return o.raw
	}
	out := map[string]any{"domain": "QBO", "sparse": true, "Id": o.id}
	for _, column := range s.columns {
		root, _, _ := strings.Cut(column, ".")
		if v, ok := o.fields[root]; ok {
			out[root] = v
		}
	}
	return call.Marshal(out)
}
