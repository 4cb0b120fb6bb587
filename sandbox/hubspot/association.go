package hubspot

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/fluxnex/fluxnex/sandbox/call"
)

// defaultType is HubSpot's unlabelled association between two types.
func defaultType(from, to *kind) int {
	return map[string]int{
		"contact/company": 279, "company/contact": 280, "deal/contact": 3, "contact/deal": 4,
		"deal/company": 341, "company/deal": 342, "company/company": 450, "contact/contact": 449, "deal/deal": 451,
	}[from.singular+"/"+to.singular]
}

// primaryOf is the type that a first company gets beside the default.
func primaryOf(from, to *kind) int {
	return map[string]int{"contact/company": 1, "company/contact": 2, "deal/company": 5, "company/deal": 6}[from.singular+"/"+to.singular]
}

type wish struct {
	to    *kind
	id    int64
	types []int
}

// wanted reads the associations of a create.
func (p *portal) wanted(a *App, k *kind, raw []json.RawMessage) ([]wish, *refusal) {
	var out []wish
	for _, r := range raw {
		var in struct {
			To    struct{ ID any }
			Types []struct {
				Category string `json:"associationCategory"`
				ID       int    `json:"associationTypeId"`
			}
		}
		if err := json.Unmarshal(r, &in); err != nil || len(in.Types) == 0 {
			return nil, invalid("associations need to.id and types")
		}
		var to *kind
		var types []int
		for _, t := range in.Types {
			types = append(types, t.ID)
			for _, candidate := range a.kinds {
				if t.ID == defaultType(k, candidate) || t.ID == primaryOf(k, candidate) {
					to = candidate
				}
			}
		}
		if to == nil {
			return nil, invalid("unknown associationTypeId for " + k.plural)
		}
		target := p.byValue(to, "", strings.TrimSuffix(text(in.To.ID), ".0"))
		if target == nil || target.archived {
			return nil, missingIDs(to, []string{text(in.To.ID)})
		}
		out = append(out, wish{to, target.id, types})
	}
	return out, nil
}

func place(k *kind, id int64) string { return k.plural + "/" + strconv.FormatInt(id, 10) }

// link joins two objects in both directions; the caller holds the lock.
func (p *portal) link(c *call.Call, from *kind, id int64, to *kind, other int64, types []int) {
	p.join(c, from, id, to, other, append(types, defaultType(from, to)))
	p.join(c, to, other, from, id, []int{defaultType(to, from)})
}

func (p *portal) join(c *call.Call, from *kind, id int64, to *kind, other int64, types []int) {
	key := place(from, id)
	next := maps.Clone(p.links[key])
	if next == nil {
		next = map[string][]int{}
	}
	have := next[place(to, other)]
	// The first company of a contact or deal is its primary one.
	first := !slices.ContainsFunc(slices.Collect(maps.Keys(next)), func(k string) bool { return strings.HasPrefix(k, to.plural+"/") })
	if primary := primaryOf(from, to); first && primary != 0 && to.singular == "company" {
		types = append(types, primary)
	}
	all := append(slices.Clone(have), types...)
	slices.Sort(all)
	next[place(to, other)] = slices.Compact(all)
	p.links[key] = next
	c.Save("hubspot/links/"+p.ID+"/"+key, next)
}

func (p *portal) unlink(c *call.Call, from *kind, id int64, to *kind, other int64) {
	key := place(from, id)
	next := maps.Clone(p.links[key])
	delete(next, place(to, other))
	p.links[key] = next
	c.Save("hubspot/links/"+p.ID+"/"+key, next)
}

// associations serves {from}/{id}/associations[/default]/{to}[/{id}].
func (a *App) associations(c *call.Call, p *portal, from *kind, rest []string) {
	if len(rest) < 3 || rest[1] != "associations" {
		notFound().on(c)
		return
	}
	standard := rest[2] == "default"
	if standard {
		rest = slices.Delete(slices.Clone(rest), 2, 3)
	}
	if len(rest) < 3 || a.kinds[rest[2]] == nil {
		notFound().on(c)
		return
	}
	to := a.kinds[rest[2]]
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.byValue(from, "", rest[0])
	if o == nil || o.archived {
		missingIDs(from, []string{rest[0]}).on(c)
		return
	}
	if len(rest) == 3 && c.Request.Method == http.MethodGet {
		results := []any{}
		for _, key := range slices.Sorted(maps.Keys(p.links[place(from, o.id)])) {
			plural, id, _ := strings.Cut(key, "/")
			if plural != to.plural {
				continue
			}
			types := []any{}
			for _, t := range p.links[place(from, o.id)][key] {
				var label any
				if t == primaryOf(from, to) {
					label = "Primary"
				}
				types = append(types, map[string]any{"category": "HUBSPOT_DEFINED", "typeId": t, "label": label})
			}
			results = append(results, map[string]any{"toObjectId": json.Number(id), "associationTypes": types})
		}
		c.Reply(http.StatusOK, map[string]any{"results": results})
		return
	}
	if len(rest) != 4 {
		notFound().on(c)
		return
	}
	other := p.byValue(to, "", rest[3])
	if other == nil || other.archived {
		missingIDs(to, []string{rest[3]}).on(c)
		return
	}
	c.Line.Applied, c.Line.IDs = true, []string{rest[0], rest[3]}
	switch c.Request.Method {
	case http.MethodDelete:
		p.unlink(c, from, o.id, to, other.id)
		p.unlink(c, to, other.id, from, o.id)
		c.Reply(http.StatusNoContent, nil)
	case http.MethodPut:
		a.associate(c, p, from, o, to, other, standard)
	default:
		c.Line.Applied = false
		notFound().on(c)
	}
}

func (a *App) associate(c *call.Call, p *portal, from *kind, o *object, to *kind, other *object, standard bool) {
	if standard {
		p.link(c, from, o.id, to, other.id, nil)
		end := func(id int64) map[string]any { return map[string]any{"id": strconv.FormatInt(id, 10)} }
		spec := func(t int) map[string]any {
			return map[string]any{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": t}
		}
		c.Reply(http.StatusOK, map[string]any{"status": "COMPLETE", "startedAt": wire(c.Now), "completedAt": wire(c.Now), "results": []any{
			map[string]any{"from": end(o.id), "to": end(other.id), "associationSpec": spec(defaultType(from, to))},
			map[string]any{"from": end(other.id), "to": end(o.id), "associationSpec": spec(defaultType(to, from))},
		}})
		return
	}
	var specs []struct {
		ID int `json:"associationTypeId"`
	}
	if err := json.Unmarshal(c.Body, &specs); err != nil || len(specs) == 0 {
		c.Line.Applied = false
		invalid("a list of association types is needed").on(c)
		return
	}
	var types []int
	for _, s := range specs {
		types = append(types, s.ID)
	}
	p.link(c, from, o.id, to, other.id, types)
	c.Reply(http.StatusCreated, map[string]any{"fromObjectTypeId": from.typeID, "fromObjectId": o.id, "toObjectTypeId": to.typeID, "toObjectId": other.id, "labels": []string{}})
}
