package salesforce

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fluxnex/fluxnex/sandbox/call"
	"github.com/fluxnex/fluxnex/sandbox/store"
)

// Accounts are the orgs with their names.
func (a *App) Accounts() map[string]string {
	out := map[string]string{}
	for id, o := range a.orgs {
		out[id] = o.Name
	}
	return out
}

// Counts are the numbers of records by sObject, deleted ones included.
func (a *App) Counts(account string) map[string]int {
	out := map[string]int{}
	o := a.orgs[ID18(account)]
	if o == nil {
		return out
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	for low, records := range o.records {
		out[o.names[low]] = len(records)
	}
	return out
}

func (a *App) place(account, sobject string) (*org, error) {
	o := a.orgs[ID18(account)]
	if o == nil {
		return nil, fmt.Errorf("salesforce/%s/%s: %w", account, sobject, call.ErrNone)
	}
	return o, nil
}

// List shows all records of an sObject by id, deleted ones too.
func (a *App) List(account, sobject string) ([]json.RawMessage, error) {
	o, err := a.place(account, sobject)
	if err != nil {
		return nil, err
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	records := o.records[strings.ToLower(sobject)]
	out := make([]json.RawMessage, 0, len(records))
	for _, id := range slices.Sorted(maps.Keys(records)) {
		out = append(out, call.Marshal(records[id].fields))
	}
	return out, nil
}

// Get shows one record.
func (a *App) Get(account, sobject, id string) (json.RawMessage, error) {
	o, err := a.place(account, sobject)
	if err != nil {
		return nil, err
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	r := o.find(sobject, id)
	if r == nil {
		return nil, fmt.Errorf("salesforce/%s/%s/%s: %w", account, sobject, id, call.ErrNone)
	}
	return call.Marshal(r.fields), nil
}

// Edit changes fields of a record that exists.
func (a *App) Edit(c *call.Call, account, sobject, id string, fields map[string]any) (json.RawMessage, error) {
	if _, err := a.Get(account, sobject, id); err != nil {
		return nil, err
	}
	return a.Put(c, account, sobject, id, fields)
}

// Restore takes back a value that a call saved. Keys of other apps and of orgs
// no longer seeded are passed over.
func (a *App) Restore(v store.Saved) error {
	parts := strings.Split(v.Key, "/")
	if len(parts) >= 3 && parts[0] == "grant" && parts[1] == a.Name() {
		return a.grants.Restore(v.Value)
	}
	if len(parts) < 4 || parts[0] != a.Name() || a.orgs[parts[2]] == nil {
		return nil
	}
	o := a.orgs[parts[2]]
	switch parts[1] {
	case "record":
		r := &record{id: parts[4], sobject: parts[3]}
		if err := call.Decode(v.Value, &r.fields); err != nil {
			return fmt.Errorf("restore %s: %w", v.Key, err)
		}
		r.stamp = stampOf(r.fields)
		r.deleted, _ = r.fields["IsDeleted"].(bool)
		o.put(r)
	case "layout":
		var fields []string
		if err := json.Unmarshal(v.Value, &fields); err != nil {
			return fmt.Errorf("restore %s: %w", v.Key, err)
		}
		o.declare(parts[3], fields)
	}
	return nil
}
