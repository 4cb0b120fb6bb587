package revenova

import (
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// text is the first of the named fields that has a value: the API name first,
// then an accounting event's.
func text(r *record.Replica, names ...string) string {
	for _, name := range names {
		if v := r.Text(name); v != "" {
			return v
		}
	}
	return ""
}

// has reports that the field is known, with or without a value.
func has(r *record.Replica, name string) bool {
	_, ok := r.Field(name)
	return ok
}

// filled is text without what callouts of some orgs send for null: the string
// "null". Only for values that cannot be that word (ids, dates, amounts).
func filled(r *record.Replica, names ...string) string {
	for _, name := range names {
		if v := strings.TrimSpace(r.Text(name)); v != "" && v != "null" {
			return v
		}
	}
	return ""
}

// lookup is a reference to another record; nil where there is none.
func lookup(r *record.Replica, e canonical.Entity, names ...string) *canonical.Ref {
	id := normalID(filled(r, names...))
	if id == "" {
		return nil
	}
	return &canonical.Ref{RecordID: record.NewID(App, id), Entity: e}
}

// refs are references to accounts as records that should be known.
func refs(of ...*canonical.Ref) []integration.Parent {
	var out []integration.Parent
	for _, r := range of {
		if r != nil {
			out = append(out, integration.Parent{RecordID: r.RecordID, EntityType: typeAccount})
		}
	}
	return out
}

// multi splits a multi-select value.
func multi(v string) []string {
	var out []string
	for part := range strings.SplitSeq(v, ";") {
		if part = strings.TrimSpace(part); part != "" && part != "null" {
			out = append(out, part)
		}
	}
	return out
}

// day is a date as the source wrote it. Only a point in time that carries a
// zone can be moved, and only where the tenant named its own zone; a date never
// is.
func day(v string, s integration.Settings) string {
	if len(v) < len(time.DateOnly) {
		return ""
	}
	date := v[:len(time.DateOnly)]
	if _, err := time.Parse(time.DateOnly, date); err != nil {
		return ""
	}
	zone, _ := s["time_zone"].(string)
	if zone == "" || len(v) == len(time.DateOnly) {
		return date
	}
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05.999-0700"} {
		if t, err := time.Parse(layout, v); err == nil {
			if loc, err := time.LoadLocation(zone); err == nil {
				return t.In(loc).Format(time.DateOnly)
			}
		}
	}
	return date
}

// listSetting is a setting that is a list of texts.
func listSetting(s integration.Settings, name string, otherwise ...string) []string {
	switch v := s[name].(type) {
	case []string:
		return v
	case []any:
		out := make([]string, 0, len(v))
		for _, e := range v {
			if t, ok := e.(string); ok {
				out = append(out, t)
			}
		}
		return out
	case string:
		return multi(v)
	}
	return otherwise
}

// anyOf reports a value of the list among the given ones, in any case.
func anyOf(list []string, values ...string) bool {
	for _, l := range list {
		for _, v := range values {
			if strings.EqualFold(l, v) {
				return true
			}
		}
	}
	return false
}
