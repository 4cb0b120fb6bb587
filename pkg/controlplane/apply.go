package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// applyAttempts: somebody else's change in between is looked at again.
const applyAttempts = 5

// ErrNotFound reports an object that is not declared.
var ErrNotFound = errors.New("not found")

// Applied is what an apply or a delete did.
type Applied struct {
	Version   int64 // the control plane's version afterwards
	Changes   []Change
	Unchanged []Key
}

// Apply makes objects as they are declared: whole or not at all, audited under
// the actor's name. Objects that are stored and not among them stay.
func (p *Plane) Apply(ctx context.Context, objects []Object, actor string) (Applied, error) {
	for attempt := 1; ; attempt++ {
		plan, err := p.Plan(ctx, objects)
		if err != nil {
			return Applied{}, err
		}
		done := Applied{Version: plan.commit.Base, Changes: plan.Changes, Unchanged: plan.Unchanged}
		if len(plan.Changes) == 0 {
			return done, nil
		}
		plan.commit.Actor = actor
		done.Version, err = p.Store.CommitConfig(ctx, plan.commit)
		if errors.Is(err, ErrChanged) && attempt < applyAttempts {
			continue
		}
		return done, err
	}
}

// Delete removes one object that nothing else needs. A tenant's id is never
// used again.
func (p *Plane) Delete(ctx context.Context, key Key, actor string) (Applied, error) {
	stored, err := p.Store.LoadConfig(ctx)
	if err != nil {
		return Applied{}, err
	}
	var found *StoredObject
	var names, dependents []string
	for i := range stored.Objects {
		o := &stored.Objects[i]
		if o.Key == key {
			found = o
		}
		if o.Key.Kind == key.Kind {
			names = append(names, o.Key.Name)
		}
		if dependsOn(o, key) {
			dependents = append(dependents, o.Key.String())
		}
	}
	if found == nil {
		return Applied{}, fmt.Errorf("there is no %s%s: %w", key, didYouMean(key.Name, names), ErrNotFound)
	}
	if len(dependents) > 0 {
		return Applied{}, fmt.Errorf("%s is still needed by %s; delete those first", key, strings.Join(dependents, ", "))
	}
	spec, err := found.decode()
	if err != nil {
		return Applied{}, err
	}
	before, err := json.Marshal(spec)
	if err != nil {
		return Applied{}, err
	}
	changes := []Change{{Action: ActionDelete, Key: key, Before: before}}
	version, err := p.Store.CommitConfig(ctx, Commit{Base: stored.Version, Actor: actor, Changes: changes})
	return Applied{Version: version, Changes: changes}, err
}

// dependsOn reports whether o could not be without key.
func dependsOn(o *StoredObject, key Key) bool {
	if key.Kind == KindTenant {
		return o.Key.Kind != KindTenant && string(o.Key.Tenant()) == key.Name
	}
	if key.Kind != KindConnection || o.Key.Kind != KindRoute {
		return false
	}
	spec, err := o.decode()
	if err != nil {
		return true
	}
	route, ok := spec.(*RouteSpec)
	return ok && route.Tenant+"/"+route.Target == key.Name
}

// Get lists declared objects of a kind ("" = all), all of them or the one with
// that full name.
func (p *Plane) Get(ctx context.Context, kind Kind, name string) ([]StoredObject, error) {
	stored, err := p.Store.LoadConfig(ctx)
	if err != nil {
		return nil, err
	}
	var found []StoredObject
	var names []string
	for _, o := range stored.Objects {
		if kind != "" && o.Key.Kind != kind {
			continue
		}
		names = append(names, o.Key.Name)
		if name == "" || o.Key.Name == name {
			found = append(found, o)
		}
	}
	if name != "" && len(found) == 0 {
		return nil, fmt.Errorf("there is no %s %s%s: %w", kind, name, didYouMean(name, names), ErrNotFound)
	}
	slices.SortFunc(found, func(a, b StoredObject) int {
		if d := slices.Index(Kinds(), a.Key.Kind) - slices.Index(Kinds(), b.Key.Kind); d != 0 {
			return d
		}
		return strings.Compare(a.Key.Name, b.Key.Name)
	})
	return found, nil
}

// ParseKind reads a kind as people write it: "route", "Routes".
func ParseKind(text string) (Kind, error) {
	for _, k := range Kinds() {
		if strings.EqualFold(text, string(k)) || strings.EqualFold(text, string(k)+"s") {
			return k, nil
		}
	}
	return "", fmt.Errorf("there is no kind %q%s", text, didYouMean(text, kindNames()))
}

// FieldChange is one difference between two declared forms; "" is absent.
type FieldChange struct {
	Path   string `json:"path"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Fields lists what differs, by path.
func (c Change) Fields() []FieldChange {
	before, after := map[string]string{}, map[string]string{}
	flatten("", c.Before, before)
	flatten("", c.After, after)
	var out []FieldChange
	for _, path := range sortedKeys(before) {
		if after[path] != before[path] {
			out = append(out, FieldChange{path, before[path], after[path]})
		}
	}
	for _, path := range sortedKeys(after) {
		if _, had := before[path]; !had {
			out = append(out, FieldChange{path, "", after[path]})
		}
	}
	slices.SortFunc(out, func(a, b FieldChange) int { return strings.Compare(a.Path, b.Path) })
	return out
}

func flatten(path string, raw json.RawMessage, into map[string]string) {
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) == nil && object != nil {
		for name, value := range object {
			flatten(join(path, name), value, into)
		}
		return
	}
	if len(raw) > 0 {
		var text string
		if json.Unmarshal(raw, &text) == nil {
			into[path] = text
			return
		}
		into[path] = string(raw)
	}
}
