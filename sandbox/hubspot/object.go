package hubspot

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/fluxnex/fluxnex/sandbox/call"
)

// objects serves /crm/v3/objects/{type}.
func (a *App) objects(c *call.Call, p *portal, k *kind, rest []string) {
	method := c.Request.Method
	switch {
	case len(rest) == 0 && method == http.MethodGet:
		a.list(c, p, k)
	case len(rest) == 0 && method == http.MethodPost:
		a.createOne(c, p, k)
	case len(rest) == 2 && rest[0] == "batch" && method == http.MethodPost:
		a.batch(c, p, k, rest[1])
	case len(rest) == 1 && rest[0] == "search" && method == http.MethodPost:
		a.search(c, p, k)
	case len(rest) == 1 && rest[0] == "merge" && method == http.MethodPost:
		a.merge(c, p, k)
	case len(rest) == 1:
		a.one(c, p, k, rest[0])
	default:
		notFound().on(c)
	}
}

func (a *App) createOne(c *call.Call, p *portal, k *kind) {
	var in body
	if err := call.Decode(c.Body, &in); err != nil {
		invalid("Invalid input JSON on line 1, column 1: " + err.Error()).on(c)
		return
	}
	c.Line.RequestID = in.TraceID
	c.Marker(&c.Line, in.Properties)
	p.mu.Lock()
	defer p.mu.Unlock()
	props, bad := p.clean(k, in.Properties)
	if bad != nil {
		bad.on(c)
		return
	}
	links, bad := p.wanted(a, k, in.Associations)
	if bad != nil {
		bad.on(c)
		return
	}
	o, bad := p.create(c, &c.Line, k, props)
	if bad != nil {
		bad.on(c)
		return
	}
	for _, l := range links {
		p.link(c, k, o.id, l.to, l.id, l.types)
	}
	c.Reply(http.StatusCreated, p.show(k, o, nil))
}

// one serves a single object, addressed by id or by a unique property.
func (a *App) one(c *call.Call, p *portal, k *kind, value string) {
	q := c.Request.URL.Query()
	by := strings.ToLower(q.Get("idProperty"))
	method := c.Request.Method
	if method == http.MethodGet {
		p.mu.RLock()
		defer p.mu.RUnlock()
	} else {
		p.mu.Lock()
		defer p.mu.Unlock()
	}
	if bad := p.unusable(k, by); bad != nil {
		bad.on(c)
		return
	}
	o := p.byValue(k, by, value)
	if o != nil {
		c.Line.ID = strconv.FormatInt(o.id, 10)
	}
	switch method {
	case http.MethodGet:
		wantArchived := q.Get("archived") == "true"
		if o == nil || o.archived != wantArchived {
			notFound().on(c)
			return
		}
		if c.Stale && o.prev != nil {
			o = o.prev
		}
		c.Line.After = strconv.Itoa(o.changes)
		mark(c, &c.Line, o.props)
		c.Reply(http.StatusOK, p.show(k, o, askedFor(k, strings.Split(strings.Join(q["properties"], ","), ","))))
	case http.MethodPatch:
		if o == nil || o.archived {
			notFound().on(c)
			return
		}
		var in body
		if err := call.Decode(c.Body, &in); err != nil {
			invalid("Invalid input JSON on line 1, column 1: " + err.Error()).on(c)
			return
		}
		c.Line.RequestID = in.TraceID
		c.Marker(&c.Line, in.Properties)
		props, bad := p.clean(k, in.Properties)
		if bad == nil {
			o, bad = p.update(c, &c.Line, k, o, props)
		}
		if bad != nil {
			bad.on(c)
			return
		}
		c.Reply(http.StatusOK, p.show(k, o, append(slices.Collect(maps.Keys(props)), "hs_object_id", "createdate", k.modified)))
	case http.MethodDelete:
		// Archiving twice, or what never was, is answered alike.
		if o != nil && !o.archived {
			p.archive(c, &c.Line, k, o)
		}
		c.Reply(http.StatusNoContent, nil)
	default:
		notFound().on(c)
	}
}

// unusable refuses an idProperty that does not identify objects.
func (p *portal) unusable(k *kind, by string) *refusal {
	if by == "" || by == "hs_object_id" {
		return nil
	}
	d := p.properties[k][by]
	if d == nil {
		return invalidValues([]badValue{{Message: "Property \"" + by + "\" does not exist", Error: "PROPERTY_DOESNT_EXIST", Name: by}})
	}
	if !d.HasUniqueValue {
		return invalid("idProperty " + by + " is not a unique property of " + k.plural)
	}
	return nil
}

func (a *App) list(c *call.Call, p *portal, k *kind) {
	q := c.Request.URL.Query()
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil || limit < 1 {
		limit = 10
	}
	after, _ := strconv.ParseInt(q.Get("after"), 10, 64)
	archived := q.Get("archived") == "true"
	asked := askedFor(k, strings.Split(strings.Join(q["properties"], ","), ","))
	p.mu.RLock()
	defer p.mu.RUnlock()
	results := []*shown{}
	answer := map[string]any{}
	for _, id := range slices.Sorted(maps.Keys(p.objects[k])) {
		o := p.objects[k][id]
		if id < after || o.archived != archived || o.merged != 0 {
			continue
		}
		if len(results) == min(limit, 100) {
			answer["paging"] = map[string]any{"next": map[string]any{"after": strconv.FormatInt(id, 10)}}
			break
		}
		results = append(results, p.show(k, o, asked))
	}
	answer["results"] = results
	c.Reply(http.StatusOK, answer)
}

// merge makes one object of two: the winner keeps its values, takes the
// loser's where it has none, and answers for the loser's id from then on.
func (a *App) merge(c *call.Call, p *portal, k *kind) {
	var in struct {
		Primary string `json:"primaryObjectId"`
		Loser   string `json:"objectIdToMerge"`
	}
	if err := call.Decode(c.Body, &in); err != nil {
		invalid("Invalid input JSON: " + err.Error()).on(c)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	winner, loser := p.byValue(k, "", in.Primary), p.byValue(k, "", in.Loser)
	if winner == nil || loser == nil || winner.archived || loser.archived {
		notFound().on(c)
		return
	}
	if winner.id == loser.id {
		invalid("Cannot merge an object into itself").on(c)
		return
	}
	next := maps.Clone(winner.props)
	for n, v := range loser.props {
		if next[n] == "" {
			next[n] = v
		}
	}
	join := func(name, value string) {
		if value != "" {
			next[name] = strings.Trim(next[name]+";"+value, ";")
		}
	}
	join("hs_merged_object_ids", strconv.FormatInt(loser.id, 10))
	if k.unique != "" && loser.props[k.unique] != next[k.unique] {
		join("hs_additional_emails", loser.props[k.unique])
	}
	gone := &object{id: loser.id, props: maps.Clone(loser.props), created: loser.created, updated: c.Now, merged: winner.id}
	p.store(c, nil, k, gone)
	o := &object{id: winner.id, props: next, created: winner.created, updated: c.Now}
	p.store(c, &c.Line, k, o)
	c.Line.IDs = []string{in.Primary, in.Loser}
	c.Reply(http.StatusOK, p.show(k, o, nil))
}
