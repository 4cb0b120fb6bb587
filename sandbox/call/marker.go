package call

import (
	"fmt"
	"maps"
	"strings"
	"sync"
)

// Markers says which field of an object the ledger shows, by "app/object".
// Its zero value shows the usual names.
type Markers struct {
	mu     sync.RWMutex
	fields map[string]string
}

// Set configures fields by "app/object", or by "app" for all its objects; a
// dotted field reaches into an object. An empty field removes the entry.
func (m *Markers) Set(fields map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := maps.Clone(m.fields)
	if next == nil {
		next = map[string]string{}
	}
	for k, v := range fields {
		if v == "" {
			delete(next, k)
			continue
		}
		next[k] = v
	}
	m.fields = next
}

// Get is what was configured.
func (m *Markers) Get() map[string]string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return maps.Clone(m.fields)
}

// Of is the marker of an object.
func (m *Markers) Of(app, object string, fields map[string]any) string {
	m.mu.RLock()
	name, ok := m.fields[app+"/"+object]
	if !ok {
		name, ok = m.fields[app]
	}
	m.mu.RUnlock()
	if ok {
		return dig(fields, name)
	}
	for _, usual := range []string{"DocNumber", "DisplayName", "Name", "name", "dealname", "email"} {
		if v := dig(fields, usual); v != "" {
			return v
		}
	}
	return ""
}

func dig(fields map[string]any, path string) string {
	first, rest, deeper := strings.Cut(path, ".")
	v, ok := fields[first]
	if !ok || v == nil {
		return ""
	}
	if deeper {
		inner, _ := v.(map[string]any)
		return dig(inner, rest)
	}
	return fmt.Sprint(v)
}
