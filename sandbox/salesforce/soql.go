package salesforce

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/fluxnex/fluxnex/sandbox/call"
)

type comparison struct {
	field  string
	op     string
	values []any // string, json.Number, bool, time.Time or nil
}

type soql struct {
	fields []string // nil: all
	count  bool
	from   string
	where  []comparison
	order  string
	down   bool
	limit  int
}

// words splits a statement; texts keep their leading quote.
func words(q string) ([]string, error) {
	var out []string
	for i := 0; i < len(q); {
		switch ch := q[i]; {
		case ch <= ' ':
			i++
		case ch == '\'':
			b := []byte{'\''}
			for i++; i < len(q) && q[i] != '\''; i++ {
				if q[i] == '\\' && i+1 < len(q) {
					i++
				}
				b = append(b, q[i])
			}
			if i >= len(q) {
				return nil, fmt.Errorf("unterminated string literal")
			}
			i++
			out = append(out, string(b))
		case strings.IndexByte("(),", ch) >= 0:
			out = append(out, string(ch))
			i++
		case strings.IndexByte("=<>!", ch) >= 0:
			n := 1
			if i+1 < len(q) && q[i+1] == '=' {
				n = 2
			}
			out = append(out, q[i:i+n])
			i += n
		default:
			j := i
			for j < len(q) && q[j] > ' ' && strings.IndexByte("'(),=<>!", q[j]) < 0 {
				j++
			}
			out = append(out, q[i:j])
			i = j
		}
	}
	return out, nil
}

type reader struct {
	words []string
	at    int
}

func (r *reader) next() string {
	r.at++
	if r.at > len(r.words) {
		return ""
	}
	return r.words[r.at-1]
}

func (r *reader) is(want ...string) bool {
	for i, w := range want {
		if r.at+i >= len(r.words) || !strings.EqualFold(r.words[r.at+i], w) {
			return false
		}
	}
	r.at += len(want)
	return true
}

func (r *reader) unexpected() error {
	token := "<EOF>"
	if r.at < len(r.words) {
		token = r.words[r.at]
	}
	return fmt.Errorf("unexpected token: %s", token)
}

func parse(q string) (*soql, error) {
	list, err := words(q)
	if err != nil {
		return nil, err
	}
	r, s := &reader{words: list}, &soql{limit: -1}
	if !r.is("select") {
		return nil, r.unexpected()
	}
	switch {
	case r.is("count", "(", ")"):
		s.count = true
	case r.is("fields", "(", "all", ")"), r.is("fields", "(", "standard", ")"), r.is("fields", "(", "custom", ")"):
	default:
		for {
			s.fields = append(s.fields, r.next())
			if !r.is(",") {
				break
			}
		}
	}
	if !r.is("from") {
		return nil, r.unexpected()
	}
	s.from = r.next()
	if r.is("where") {
		for {
			c, err := r.comparison()
			if err != nil {
				return nil, err
			}
			s.where = append(s.where, c)
			if !r.is("and") {
				break
			}
		}
	}
	if r.is("order", "by") {
		s.order, s.down = r.next(), r.is("desc")
		r.is("asc")
		_ = r.is("nulls", "last") || r.is("nulls", "first")
	}
	if r.is("limit") {
		if s.limit, err = strconv.Atoi(r.next()); err != nil {
			return nil, r.unexpected()
		}
	}
	r.is("all", "rows")
	if r.at < len(r.words) {
		return nil, r.unexpected()
	}
	return s, nil
}

func (r *reader) comparison() (comparison, error) {
	c := comparison{field: r.next()}
	switch {
	case r.is("not", "in"):
		c.op = "not in"
	case r.is("in"):
		c.op = "in"
	default:
		c.op = strings.ToLower(r.next())
		if !slices.Contains([]string{"=", "!=", "<", ">", "<=", ">=", "like"}, c.op) {
			r.at--
			return c, r.unexpected()
		}
		v, err := literal(r.next())
		c.values = []any{v}
		return c, err
	}
	if !r.is("(") {
		return c, r.unexpected()
	}
	for {
		v, err := literal(r.next())
		if err != nil {
			return c, err
		}
		c.values = append(c.values, v)
		if r.is(")") {
			return c, nil
		}
		if !r.is(",") {
			return c, r.unexpected()
		}
	}
}

func literal(w string) (any, error) {
	if text, ok := strings.CutPrefix(w, "'"); ok {
		return text, nil
	}
	switch strings.ToLower(w) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "null":
		return nil, nil
	}
	if t, ok := parseTime(w); ok {
		return t, nil
	}
	if t, err := time.Parse(time.DateOnly, w); err == nil {
		return t.Format(time.DateOnly), nil
	}
	if _, err := decimal.NewFromString(w); err == nil {
		return json.Number(w), nil
	}
	return nil, fmt.Errorf("unexpected token: %s", w)
}

func (c *comparison) holds(r *record) bool {
	var got any
	for n, v := range r.fields {
		if strings.EqualFold(n, c.field) {
			got = v
		}
	}
	equal := func(want any) bool { n, ok := compare(got, want); return ok && n == 0 }
	switch c.op {
	case "in":
		return slices.ContainsFunc(c.values, equal)
	case "not in":
		return !slices.ContainsFunc(c.values, equal)
	case "=":
		return equal(c.values[0])
	case "!=":
		return !equal(c.values[0])
	case "like":
		pattern, _ := c.values[0].(string)
		s, _ := got.(string)
		return like(strings.ToLower(pattern), strings.ToLower(s))
	}
	n, ok := compare(got, c.values[0])
	if !ok || got == nil {
		return false
	}
	return map[string]bool{"<": n < 0, ">": n > 0, "<=": n <= 0, ">=": n >= 0}[c.op]
}

// compare says false where the two cannot be compared.
func compare(got, want any) (int, bool) {
	if got == nil || want == nil {
		return 0, got == nil && want == nil
	}
	switch w := want.(type) {
	case time.Time:
		s, _ := got.(string)
		t, ok := parseTime(s)
		return t.Compare(w), ok
	case bool:
		b, ok := got.(bool)
		return map[bool]int{true: 0, false: 1}[b == w], ok
	case json.Number:
		a, err1 := decimal.NewFromString(fmt.Sprint(got))
		b, err2 := decimal.NewFromString(w.String())
		return a.Cmp(b), err1 == nil && err2 == nil
	case string:
		s := fmt.Sprint(got)
		if a, b := ID18(s), ID18(w); a != "" && b != "" { // 15 and 18 characters are the same record
			return cmp.Compare(a, b), true
		}
		return cmp.Compare(strings.ToLower(s), strings.ToLower(w)), true
	}
	return 0, false
}

func like(pattern, s string) bool {
	if pattern == "" {
		return s == ""
	}
	switch pattern[0] {
	case '%':
		for i := 0; i <= len(s); i++ {
			if like(pattern[1:], s[i:]) {
				return true
			}
		}
		return false
	case '_':
		return s != "" && like(pattern[1:], s[1:])
	}
	return s != "" && s[0] == pattern[0] && like(pattern[1:], s[1:])
}

const (
	defaultPage = 2000
	cursorLife  = 48 * time.Hour
)

func (a *App) query(c *call.Call, o *org, withDeleted bool) {
	s, err := parse(c.Request.URL.Query().Get("q"))
	if err != nil {
		refuse(c, http.StatusBadRequest, "MALFORMED_QUERY", err.Error())
		return
	}
	o.mu.RLock()
	name := o.names[strings.ToLower(s.from)]
	o.mu.RUnlock()
	c.Line.Object = name
	if name == "" {
		refuse(c, http.StatusBadRequest, "INVALID_TYPE", "sObject type '"+s.from+"' is not supported.")
		return
	}
	o.mu.RLock()
	bad := o.unknownField(name, append(slices.Clone(s.fields), s.whereFields()...))
	var found []*record
	for _, r := range o.candidates(s) {
		if (!r.deleted || withDeleted) && !slices.ContainsFunc(s.where, func(c comparison) bool { return !c.holds(r) }) {
			if c.Stale && r.prev != nil {
				r = r.prev
			}
			found = append(found, r)
		}
	}
	o.mu.RUnlock()
	if bad != "" {
		refuse(c, http.StatusBadRequest, "INVALID_FIELD", "No such column '"+bad+"' on entity '"+name+"'.")
		return
	}
	slices.SortFunc(found, func(x, y *record) int {
		n := 0
		if s.order != "" {
			n = sortBy(x.fields[s.order], y.fields[s.order])
			if s.down {
				n = -n
			}
		}
		return cmp.Or(n, cmp.Compare(x.id, y.id))
	})
	if s.limit >= 0 && len(found) > s.limit {
		found = found[:s.limit]
	}
	if s.count {
		c.Reply(http.StatusOK, map[string]any{"totalSize": len(found), "done": true, "records": []any{}})
		return
	}
	rows := make([]map[string]any, len(found))
	for i, r := range found {
		rows[i] = o.pick(c, r, s.fields)
	}
	batch := defaultPage
	if _, size, ok := strings.Cut(c.Request.Header.Get("Sforce-Query-Options"), "batchSize="); ok {
		if n, err := strconv.Atoi(strings.TrimSpace(size)); err == nil {
			batch = min(max(n, 200), defaultPage)
		}
	}
	a.page(c, o, "01g5g00000"+rand.Text()[:5], &cursor{rows: rows, total: len(rows), batch: batch, until: c.Now.Add(cursorLife)}, 0)
}

func sortBy(a, b any) int {
	if a == nil || b == nil {
		return cmp.Compare(map[bool]int{true: 0, false: 1}[a == nil], map[bool]int{true: 0, false: 1}[b == nil])
	}
	if _, ok := a.(json.Number); ok {
		if n, ok := compare(a, b); ok {
			return n
		}
	}
	return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
}

func (s *soql) whereFields() []string {
	var out []string
	for _, c := range s.where {
		out = append(out, c.field)
	}
	return out
}

// candidates uses the ids where the statement names them; the caller holds the lock.
func (o *org) candidates(s *soql) []*record {
	all := o.records[strings.ToLower(s.from)]
	for _, c := range s.where {
		if !strings.EqualFold(c.field, "Id") || (c.op != "=" && c.op != "in") {
			continue
		}
		var out []*record
		for _, v := range c.values {
			id, _ := v.(string)
			if r := all[ID18(id)]; r != nil {
				out = append(out, r)
			}
		}
		return out
	}
	out := make([]*record, 0, len(all))
	for _, r := range all {
		out = append(out, r)
	}
	return out
}

// page answers from a row on and keeps the cursor if there is more.
func (a *App) page(c *call.Call, o *org, id string, cur *cursor, from int) {
	end := min(from+cur.batch, len(cur.rows))
	answer := map[string]any{"totalSize": cur.total, "done": end == len(cur.rows), "records": cur.rows[from:end]}
	o.mu.Lock()
	defer o.mu.Unlock()
	if end < len(cur.rows) {
		answer["nextRecordsUrl"] = "/services/data/" + version(c.Request) + "/query/" + id + "-" + strconv.Itoa(end)
		o.cursors[id] = cur
	}
	for old, kept := range o.cursors {
		if c.Now.After(kept.until) {
			delete(o.cursors, old)
		}
	}
	c.Reply(http.StatusOK, answer)
}

func (a *App) more(c *call.Call, o *org, locator string) {
	id, at, _ := strings.Cut(locator, "-")
	from, err := strconv.Atoi(at)
	o.mu.RLock()
	cur := o.cursors[id]
	o.mu.RUnlock()
	if cur == nil || err != nil || from < 0 || from > len(cur.rows) || c.Now.After(cur.until) {
		refuse(c, http.StatusBadRequest, "INVALID_QUERY_LOCATOR", "invalid query locator")
		return
	}
	a.page(c, o, id, cur, from)
}
