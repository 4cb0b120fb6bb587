package hubspot

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/fluxnex/fluxnex/sandbox/call"
	"github.com/fluxnex/fluxnex/sandbox/store"
)

// Accounts are the portals with their names.
func (a *App) Accounts() map[string]string {
	out := map[string]string{}
	for id, p := range a.portals {
		out[id] = p.Name
	}
	return out
}

// Counts are the numbers of objects by type, archived ones included.
func (a *App) Counts(account string) map[string]int {
	out := map[string]int{}
	p := a.portals[account]
	if p == nil {
		return out
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	for k, objects := range p.objects {
		out[k.plural] = len(objects)
	}
	return out
}

func (a *App) place(account, name string) (*portal, *kind, error) {
	p, k := a.portals[account], a.kinds[strings.ToLower(name)]
	if p == nil || k == nil {
		return nil, nil, fmt.Errorf("hubspot/%s/%s: %w", account, name, call.ErrNone)
	}
	return p, k, nil
}

func (p *portal) reveal(k *kind, o *object) json.RawMessage {
	s := p.show(k, o, nil)
	if o.merged != 0 {
		s.MergedInto = strconv.FormatInt(o.merged, 10)
	}
	return call.Marshal(s)
}

// List shows all objects of a type by id, archived and merged ones too.
func (a *App) List(account, name string) ([]json.RawMessage, error) {
	p, k, err := a.place(account, name)
	if err != nil {
		return nil, err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	out := make([]json.RawMessage, 0, len(p.objects[k]))
	for _, id := range slices.Sorted(maps.Keys(p.objects[k])) {
		out = append(out, p.reveal(k, p.objects[k][id]))
	}
	return out, nil
}

// Get shows one object as it is, without following merges.
func (a *App) Get(account, name, id string) (json.RawMessage, error) {
	p, k, err := a.place(account, name)
	if err != nil {
		return nil, err
	}
	n, _ := strconv.ParseInt(id, 10, 64)
	p.mu.RLock()
	defer p.mu.RUnlock()
	o := p.objects[k][n]
	if o == nil {
		return nil, fmt.Errorf("hubspot/%s/%s/%s: %w", account, k.plural, id, call.ErrNone)
	}
	return p.reveal(k, o), nil
}

// Edit changes properties as a person in HubSpot would.
func (a *App) Edit(c *call.Call, account, name, id string, fields map[string]any) (json.RawMessage, error) {
	p, k, err := a.place(account, name)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.byValue(k, "", id)
	if o == nil || o.archived {
		return nil, fmt.Errorf("hubspot/%s/%s/%s: %w", account, k.plural, id, call.ErrNone)
	}
	props, bad := p.clean(k, fields)
	if bad == nil {
		o, bad = p.update(c, &c.Line, k, o, props)
	}
	if bad != nil {
		return nil, errors.New(bad.Message)
	}
	return p.reveal(k, o), nil
}

// Restore takes back a value that a call saved. Keys of other apps and of
// portals no longer seeded are passed over.
func (a *App) Restore(v store.Saved) error {
	parts := strings.Split(v.Key, "/")
	if len(parts) >= 3 && parts[0] == "grant" && parts[1] == a.Name() {
		return a.grants.Restore(v.Value)
	}
	if len(parts) != 5 || parts[0] != a.Name() || a.portals[parts[2]] == nil || a.kinds[parts[3]] == nil {
		return nil
	}
	p, k := a.portals[parts[2]], a.kinds[parts[3]]
	switch parts[1] {
	case "object":
		var s saved
		if err := json.Unmarshal(v.Value, &s); err != nil {
			return fmt.Errorf("restore %s: %w", v.Key, err)
		}
		id, err := strconv.ParseInt(parts[4], 10, 64)
		if err != nil {
			return fmt.Errorf("restore %s: %w", v.Key, err)
		}
		p.put(k, &object{id: id, props: s.Props, created: s.Created, updated: s.Updated, archived: s.Archived, changes: s.Changes, merged: s.Merged})
	case "property":
		var d property
		if err := json.Unmarshal(v.Value, &d); err != nil {
			return fmt.Errorf("restore %s: %w", v.Key, err)
		}
		p.properties[k][d.Name] = &d
	case "links":
		var l map[string][]int
		if err := json.Unmarshal(v.Value, &l); err != nil {
			return fmt.Errorf("restore %s: %w", v.Key, err)
		}
		p.links[parts[3]+"/"+parts[4]] = l
	}
	return nil
}
