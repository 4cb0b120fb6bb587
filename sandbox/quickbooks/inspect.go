package quickbooks

import (
	"cmp"
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

// Accounts are the realms with their names.
func (a *App) Accounts() map[string]string {
	out := map[string]string{}
	for id, r := range a.realms {
		out[id] = r.Name
	}
	return out
}

// Counts are the numbers of objects by entity, inactive ones included.
func (a *App) Counts(account string) map[string]int {
	out := map[string]int{}
	r := a.realms[account]
	if r == nil {
		return out
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for kind, t := range r.tables {
		out[kind] = len(t.byID)
	}
	return out
}

func (a *App) place(account, kind string) (*realm, *entity, error) {
	r, e := a.realms[account], a.entities[strings.ToLower(kind)]
	if r == nil || e == nil {
		return nil, nil, fmt.Errorf("quickbooks/%s/%s: %w", account, kind, call.ErrNone)
	}
	return r, e, nil
}

func (o *object) shown() json.RawMessage {
	if !o.deleted {
		return o.raw
	}
	fields := maps.Clone(o.fields)
	fields["status"], fields["SyncToken"] = "Deleted", strconv.Itoa(o.token)
	return call.Marshal(fields)
}

// List shows all objects of an entity by id, inactive and deleted ones too.
func (a *App) List(account, kind string) ([]json.RawMessage, error) {
	r, e, err := a.place(account, kind)
	if err != nil {
		return nil, err
	}
	r.mu.RLock()
	found := slices.Collect(maps.Values(r.tables[e.name].byID))
	r.mu.RUnlock()
	number := func(o *object) int { n, _ := strconv.Atoi(o.id); return n }
	slices.SortFunc(found, func(a, b *object) int { return cmp.Compare(number(a), number(b)) })
	out := make([]json.RawMessage, len(found))
	for i, o := range found {
		out[i] = o.shown()
	}
	return out, nil
}

// Get shows one object.
func (a *App) Get(account, kind, id string) (json.RawMessage, error) {
	r, e, err := a.place(account, kind)
	if err != nil {
		return nil, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	o := r.find(e.name, id)
	if o == nil {
		return nil, fmt.Errorf("quickbooks/%s/%s/%s: %w", account, e.name, id, call.ErrNone)
	}
	return o.shown(), nil
}

// Edit changes fields as a person in QuickBooks would: without a SyncToken,
// which goes up.
func (a *App) Edit(c *call.Call, account, kind, id string, fields map[string]any) (json.RawMessage, error) {
	r, e, err := a.place(account, kind)
	if err != nil {
		return nil, err
	}
	if f := e.validate(fields); f != nil {
		return nil, errors.New(f[0].Detail)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.find(e.name, id)
	if old == nil || old.deleted {
		return nil, fmt.Errorf("quickbooks/%s/%s/%s: %w", account, e.name, id, call.ErrNone)
	}
	fields = maps.Clone(fields)
	fields["sparse"] = true
	next, faults := r.update(old, fields, c.Now)
	if faults != nil {
		return nil, errors.New(faults[0].Detail)
	}
	r.put(next)
	c.Applied(&c.Line, id, strconv.Itoa(old.token), strconv.Itoa(next.token))
	c.Marker(&c.Line, next.fields)
	c.Save(r.key(next), next.saved())
	return next.raw, nil
}

// SetPreferences changes a company's settings.
func (a *App) SetPreferences(c *call.Call, account string, raw []byte) (Preferences, error) {
	r := a.realms[account]
	if r == nil {
		return Preferences{}, fmt.Errorf("quickbooks/%s: %w", account, call.ErrNone)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.Preferences
	if err := json.Unmarshal(raw, &next); err != nil {
		return next, err
	}
	r.Preferences = next
	c.Save("quickbooks/preferences/"+r.Realm, next)
	return next, nil
}

// Restore takes back a value that a call saved. Keys of other apps and of
// companies no longer seeded are passed over.
func (a *App) Restore(v store.Saved) error {
	parts := strings.SplitN(v.Key, "/", 5)
	if len(parts) >= 3 && parts[0] == "grant" && parts[1] == a.Name() {
		return a.grants.Restore(v.Value)
	}
	if len(parts) < 3 || parts[0] != a.Name() || a.realms[parts[2]] == nil {
		return nil
	}
	r := a.realms[parts[2]]
	switch {
	case parts[1] == "object" && len(parts) == 5:
		e := a.entities[parts[3]]
		var s saved
		o := &object{kind: e, id: parts[4]}
		if e == nil {
			return fmt.Errorf("restore %s: no such entity", v.Key)
		}
		if err := json.Unmarshal(v.Value, &s); err != nil {
			return fmt.Errorf("restore %s: %w", v.Key, err)
		}
		if err := call.Decode(s.Raw, &o.fields); err != nil {
			return fmt.Errorf("restore %s: %w", v.Key, err)
		}
		o.token, o.raw, o.updated, o.deleted = s.Token, s.Raw, s.Updated, s.Deleted
		r.put(o)
		t := r.tables[e.name]
		if n, err := strconv.Atoi(o.text("DocNumber")); err == nil && e.numbered && n > t.number && n < t.number+1_000_000 {
			t.number = n
		}
	case parts[1] == "request" && len(parts) >= 4:
		var kept answer
		if err := json.Unmarshal(v.Value, &kept); err != nil {
			return fmt.Errorf("restore %s: %w", v.Key, err)
		}
		id := strings.TrimPrefix(v.Key, "quickbooks/request/"+parts[2]+"/")
		r.requests[id] = kept
		r.order = append(r.order, id)
	case parts[1] == "preferences":
		return json.Unmarshal(v.Value, &r.Preferences)
	}
	return nil
}
