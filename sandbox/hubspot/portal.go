package hubspot

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fluxnex/fluxnex/sandbox/call"
	"github.com/fluxnex/fluxnex/sandbox/ledger"
	"github.com/fluxnex/fluxnex/sandbox/limit"
	"github.com/fluxnex/fluxnex/sandbox/oauth"
)

// Portal is a seeded account.
type Portal struct {
	ID     string        `json:"id"`
	Name   string        `json:"name"`
	Tenant string        `json:"tenant"`
	Grants []oauth.Grant `json:"grants"`
	// TenSeconds is how many calls a private app has per 10 s: 190, or 100 on
	// Free and Starter. OAuth apps have 110.
	TenSeconds int `json:"ten_seconds,omitempty"`
	// Daily is how many calls a private app has a day; 625,000 if 0.
	Daily int `json:"daily,omitempty"`
}

// object is one version; it never changes but for the link to the one before.
type object struct {
	id       int64
	props    map[string]string
	created  time.Time
	updated  time.Time
	archived bool
	changes  int
	merged   int64   // the winner that answers for it
	prev     *object // kept while search may still show it
}

// portal is one account's data under one lock.
type portal struct {
	Portal
	lag        time.Duration
	mu         sync.RWMutex
	properties map[*kind]map[string]*property
	objects    map[*kind]map[int64]*object
	unique     map[*kind]map[string]int64  // "property\x00value" → id
	links      map[string]map[string][]int // "kind/id" → "kind/id" → association types
	nextID     int64

	tenSeconds, oauthTen *limit.Window
	search               *limit.Window
	daily                *limit.Day
}

func newPortal(s Portal, lag time.Duration) *portal {
	if s.TenSeconds == 0 {
		s.TenSeconds = 190
	}
	if s.Daily == 0 {
		s.Daily = 625_000
	}
	p := &portal{
		Portal: s, lag: lag, nextID: 10_000_000_000,
		properties: map[*kind]map[string]*property{}, objects: map[*kind]map[int64]*object{}, unique: map[*kind]map[string]int64{}, links: map[string]map[string][]int{},
		tenSeconds: limit.NewWindow(s.TenSeconds, 10*time.Second), oauthTen: limit.NewWindow(110, 10*time.Second), search: limit.NewWindow(5, time.Second),
		daily: limit.NewDay(s.Daily, eastern()),
	}
	return p
}

// eastern is the zone of a portal, in which its day ends.
func eastern() *time.Location { return time.FixedZone("US/Eastern", -5*60*60) }

func uniqueKey(name, value string) string { return name + "\x00" + value }

// find follows merges to the object that answers for an id.
func (p *portal) find(k *kind, id int64) *object {
	o := p.objects[k][id]
	for o != nil && o.merged != 0 {
		o = p.objects[k][o.merged]
	}
	return o
}

// byValue finds an object by its id or, with idProperty, by a unique value.
func (p *portal) byValue(k *kind, idProperty, value string) *object {
	if idProperty == "" || idProperty == "hs_object_id" {
		id, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return nil
		}
		return p.find(k, id)
	}
	value, _ = p.properties[k][idProperty].accept(k, value)
	id, ok := p.unique[k][uniqueKey(idProperty, value)]
	if !ok {
		return nil
	}
	return p.find(k, id)
}

// holder is another object that holds one of the unique values in props.
func (p *portal) holder(k *kind, self int64, props map[string]string) (int64, string) {
	for _, name := range slices.Sorted(maps.Keys(props)) {
		value := props[name]
		if value == "" || !p.properties[k][name].HasUniqueValue {
			continue
		}
		if id, ok := p.unique[k][uniqueKey(name, value)]; ok && id != self {
			return id, name
		}
	}
	return 0, ""
}

// put makes o the version of its id; the caller holds the lock.
func (p *portal) put(k *kind, o *object) {
	old := p.objects[k][o.id]
	if old != nil {
		for name, value := range old.props {
			if key := uniqueKey(name, value); p.unique[k][key] == o.id {
				delete(p.unique[k], key)
			}
		}
		o.prev = old
	}
	// What is older than the first version that search may show is forgotten.
	for v := o.prev; v != nil; v = v.prev {
		if !v.updated.After(o.updated.Add(-p.lag)) {
			v.prev = nil
		}
	}
	p.objects[k][o.id] = o
	p.nextID = max(p.nextID, o.id)
	if o.archived {
		return
	}
	for name, value := range o.props {
		d := p.properties[k][name]
		if value == "" || d == nil || !d.HasUniqueValue {
			continue
		}
		id := o.id
		if o.merged != 0 { // a loser's e-mail leads to the winner, as a secondary one
			id = o.merged
		}
		p.unique[k][uniqueKey(name, value)] = id
	}
}

// lagging is the version that search shows at now; nil if it knows none yet.
func (p *portal) lagging(o *object, now time.Time) *object {
	limit := now.Add(-p.lag)
	for v := o; v != nil; v = v.prev {
		if !v.updated.After(limit) {
			return v
		}
	}
	return nil
}

type saved struct {
	Props    map[string]string `json:"props"`
	Created  time.Time         `json:"created"`
	Updated  time.Time         `json:"updated"`
	Archived bool              `json:"archived,omitempty"`
	Changes  int               `json:"changes"`
	Merged   int64             `json:"merged,omitempty"`
}

// store puts a version and writes it through; the caller holds the lock.
func (p *portal) store(c *call.Call, line *ledger.Entry, k *kind, o *object) {
	before := ""
	if old := p.objects[k][o.id]; old != nil {
		before = strconv.Itoa(old.changes)
		o.changes = old.changes + 1
	}
	o.props["hs_object_id"] = strconv.FormatInt(o.id, 10)
	o.props["createdate"], o.props[k.modified] = wire(o.created), wire(o.updated)
	p.put(k, o)
	id := strconv.FormatInt(o.id, 10)
	c.Save("hubspot/object/"+p.ID+"/"+k.plural+"/"+id, saved{o.props, o.created, o.updated, o.archived, o.changes, o.merged})
	if line != nil {
		c.Applied(line, id, before, strconv.Itoa(o.changes))
		mark(c, line, o.props)
	}
}

func mark(c *call.Call, line *ledger.Entry, props map[string]string) {
	fields := make(map[string]any, len(props))
	for n, v := range props {
		fields[n] = v
	}
	c.Marker(line, fields)
}

// create makes and stores an object; the caller holds the lock.
func (p *portal) create(c *call.Call, line *ledger.Entry, k *kind, props map[string]string) (*object, *refusal) {
	if !slices.ContainsFunc(k.oneOf, func(n string) bool { return props[n] != "" }) {
		return nil, invalid("At least one of these properties is needed to create a " + k.singular + ": " + strings.Join(k.oneOf, ", "))
	}
	if id, _ := p.holder(k, 0, props); id != 0 {
		return nil, conflict(k, id)
	}
	p.nextID++
	kept := map[string]string{"hs_object_source": "INTEGRATION", "hs_object_source_label": "INTEGRATION"}
	for n, v := range props {
		if v != "" {
			kept[n] = v
		}
	}
	if k.singular == "contact" && kept["lifecyclestage"] == "" {
		kept["lifecyclestage"] = "lead"
	}
	if k.singular == "deal" {
		for n, v := range map[string]string{"pipeline": "default", "dealstage": "appointmentscheduled"} {
			if kept[n] == "" {
				kept[n] = v
			}
		}
	}
	o := &object{id: p.nextID, props: kept, created: c.Now, updated: c.Now}
	p.store(c, line, k, o)
	return o, nil
}

// update stores the next version of an object; the caller holds the lock.
func (p *portal) update(c *call.Call, line *ledger.Entry, k *kind, old *object, props map[string]string) (*object, *refusal) {
	if id, name := p.holder(k, old.id, props); id != 0 {
		if name == k.unique {
			return nil, conflict(k, id)
		}
		return nil, invalid("Cannot set PropertyValueCoordinates{portalId=" + p.ID + ", objectTypeId=" + k.typeID + ", propertyName=" + name + ", value=" + props[name] + "} on " +
			strconv.FormatInt(old.id, 10) + ". " + strconv.FormatInt(id, 10) + " already has that value.")
	}
	next := maps.Clone(old.props)
	// "" clears and stays visible as ""
	maps.Copy(next, props)
	o := &object{id: old.id, props: next, created: old.created, updated: c.Now}
	p.store(c, line, k, o)
	return o, nil
}

// archive hides an object; the caller holds the lock.
func (p *portal) archive(c *call.Call, line *ledger.Entry, k *kind, old *object) {
	p.store(c, line, k, &object{id: old.id, props: maps.Clone(old.props), created: old.created, updated: c.Now, archived: true})
}
