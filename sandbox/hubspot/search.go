package hubspot

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/fluxnex/fluxnex/sandbox/call"
)

type filter struct {
	Property string `json:"propertyName"`
	Operator string `json:"operator"`
	Value    any    `json:"value"`
	High     any    `json:"highValue"`
	Values   []any  `json:"values"`
}

type searchBody struct {
	Groups []struct {
		Filters []filter `json:"filters"`
	} `json:"filterGroups"`
	Sorts      []any    `json:"sorts"`
	Query      string   `json:"query"`
	Properties []string `json:"properties"`
	Limit      int      `json:"limit"`
	After      any      `json:"after"`
}

const (
	mostResults = 200
	mostFound   = 10_000
)

// search sees the portal as it was some time ago.
func (a *App) search(c *call.Call, p *portal, k *kind) {
	var in searchBody
	if err := call.Decode(c.Body, &in); err != nil {
		invalid("Invalid input JSON on line 1, column 1: " + err.Error()).on(c)
		return
	}
	if in.Limit == 0 {
		in.Limit = 10
	}
	after, err := strconv.Atoi(text(in.After))
	if in.After != nil && text(in.After) != "" && err != nil {
		invalid("after must be a number").on(c)
		return
	}
	if in.Limit > mostResults || in.Limit < 0 || after+in.Limit > mostFound {
		invalid("limit must be at most 200, and paging ends at 10000 results").on(c)
		return
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, g := range in.Groups {
		for _, f := range g.Filters {
			if p.properties[k][strings.ToLower(f.Property)] == nil {
				invalid("There was a problem with the request: property " + f.Property + " does not exist").on(c)
				return
			}
			if !slices.Contains(operators(), f.Operator) {
				invalid("operator " + f.Operator + " is not one of " + strings.Join(operators(), ", ")).on(c)
				return
			}
		}
	}
	var found []*object
	for _, newest := range p.objects[k] {
		o := p.lagging(newest, c.Now)
		if c.Stale && o != nil && o.prev != nil {
			o = o.prev
		}
		if o == nil || o.archived || o.merged != 0 || !p.matches(k, o, &in) {
			continue
		}
		found = append(found, o)
	}
	p.order(k, found, in.Sorts)
	answer := map[string]any{"total": len(found)}
	end := min(after+in.Limit, len(found))
	results := []*shown{}
	asked := askedFor(k, in.Properties)
	for _, o := range found[min(after, end):end] {
		results = append(results, p.show(k, o, asked))
	}
	if end < len(found) {
		answer["paging"] = map[string]any{"next": map[string]any{"after": strconv.Itoa(end)}}
	}
	answer["results"] = results
	c.Reply(http.StatusOK, answer)
}

func operators() []string {
	return []string{"EQ", "NEQ", "LT", "LTE", "GT", "GTE", "BETWEEN", "IN", "NOT_IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY", "CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"}
}

func (p *portal) matches(k *kind, o *object, in *searchBody) bool {
	if q := strings.ToLower(in.Query); q != "" {
		if !slices.ContainsFunc(k.defaults, func(n string) bool { return strings.Contains(strings.ToLower(o.props[n]), q) }) {
			return false
		}
	}
	if len(in.Groups) == 0 {
		return true
	}
	for _, g := range in.Groups { // groups are alternatives, filters hold together
		if !slices.ContainsFunc(g.Filters, func(f filter) bool { return !f.holds(p.properties[k][strings.ToLower(f.Property)], o.props) }) {
			return true
		}
	}
	return false
}

func (f *filter) holds(d *property, props map[string]string) bool {
	got, has := props[d.Name], props[d.Name] != ""
	is := func(v any) bool { return strings.EqualFold(text(v), got) }
	token := func() bool {
		return strings.Contains(strings.ToLower(got), strings.ToLower(strings.Trim(text(f.Value), "*")))
	}
	switch f.Operator {
	case "EQ":
		return has && compare(d, got, text(f.Value)) == 0
	case "NEQ":
		return !has || compare(d, got, text(f.Value)) != 0
	case "LT":
		return has && compare(d, got, text(f.Value)) < 0
	case "LTE":
		return has && compare(d, got, text(f.Value)) <= 0
	case "GT":
		return has && compare(d, got, text(f.Value)) > 0
	case "GTE":
		return has && compare(d, got, text(f.Value)) >= 0
	case "BETWEEN":
		return has && compare(d, got, text(f.Value)) >= 0 && compare(d, got, text(f.High)) <= 0
	case "IN":
		return has && slices.ContainsFunc(f.Values, is)
	case "NOT_IN":
		return !slices.ContainsFunc(f.Values, is)
	case "HAS_PROPERTY":
		return has
	case "NOT_HAS_PROPERTY":
		return !has
	case "CONTAINS_TOKEN":
		return has && token()
	}
	return !has || !token()
}

// compare goes by the property's type.
func compare(d *property, got, want string) int {
	switch d.Type {
	case "number":
		a, err1 := decimal.NewFromString(got)
		b, err2 := decimal.NewFromString(want)
		if err1 == nil && err2 == nil {
			return a.Cmp(b)
		}
	case "date", "datetime":
		a, ok1 := moment(got)
		b, ok2 := moment(want)
		if ok1 && ok2 {
			return a.Compare(b)
		}
	}
	return cmp.Compare(strings.ToLower(got), strings.ToLower(want))
}

// order takes a sort as "name", "-name" or {propertyName, direction}.
func (p *portal) order(k *kind, found []*object, sorts []any) {
	name, down := "", false
	if len(sorts) > 0 {
		switch s := sorts[0].(type) {
		case string:
			name, down = strings.CutPrefix(s, "-")
		case map[string]any:
			name, down = text(s["propertyName"]), text(s["direction"]) == "DESCENDING"
		}
	}
	d := p.properties[k][strings.ToLower(name)]
	slices.SortFunc(found, func(a, b *object) int {
		n := 0
		if d != nil {
			n = compare(d, a.props[d.Name], b.props[d.Name])
		}
		if n == 0 {
			n = cmp.Compare(a.id, b.id)
		}
		if down {
			return -n
		}
		return n
	})
}
