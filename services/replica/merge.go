package replica

import (
	"slices"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/schemas"
)

// unversioned is a field's Version where the record has one and the value has
// none. It orders before every version that a source gives.
const unversioned = "-"

// merged is what an observation does to a replica.
type merged struct {
	next    record.Replica
	changed bool // anything at all, versions included
	older   bool // nothing of it is news
	tie     bool // two values at one version
	ignored bool // a value differs from a newer one that is kept
}

// merge folds an observation into prev (nil: unknown). authoritative: the
// source was asked, so at an equal version its value is the right one. What it
// becomes has its fields in room.
func merge(prev *record.Replica, o integration.Observation, authoritative bool, parser int32, room *schemas.Room) merged {
	var m merged
	if prev != nil {
		m.next = *prev
	}
	n := &m.next
	known := prev != nil && (prev.Presence == record.PresenceLive || prev.Presence == record.PresenceDeleted)
	reparsed := known && parser > prev.ParserVersion
	if !known {
		n.Fields, n.ParserVersion, n.Complete = nil, 0, ""
	}
	if o.EntityType != "" && (n.EntityType == "" || o.Version >= n.Version) {
		m.changed = m.changed || n.EntityType != o.EntityType
		n.EntityType = o.EntityType
	}
	m.presence(prev, known, o, authoritative)
	m.fields(n.Version, o, authoritative || reparsed, room)
	if o.Complete && !o.Deleted && o.Version > n.Complete {
		n.Complete, m.changed = o.Version, true
	}
	if o.Version > n.Version {
		m.raise(o.Version)
	}
	if parser > n.ParserVersion {
		n.ParserVersion = parser
		m.changed = m.changed || reparsed
	}
	m.older = known && !m.changed && o.Version < n.Version
	return m
}

// presence decides whether the record is there. A deletion has a version like
// every other change; at an equal version the deletion wins, because nothing
// follows it.
func (m *merged) presence(prev *record.Replica, known bool, o integration.Observation, authoritative bool) {
	n := &m.next
	want := record.PresenceLive
	if o.Deleted {
		want = record.PresenceDeleted
	}
	switch {
	case !known:
		// Absent at a version stays absent for everything that is not newer.
		if prev != nil && prev.Version != "" && o.Version <= prev.Version && !authoritative {
			return
		}
	case o.Version < n.Version:
		return
	case o.Version == n.Version && n.Presence != want && !authoritative:
		m.tie = n.Version != "" // without versions the fetch follows anyway
		if !o.Deleted && n.Version != "" {
			return
		}
	}
	if n.Presence != want {
		n.Presence, n.Detail, m.changed = want, "", true
	}
}

// fields merges the values. base is the record's version before the merge,
// which Field.Version "" stands for.
func (m *merged) fields(base string, o integration.Observation, authoritative bool, room *schemas.Room) {
	byName := func(a, b record.Field) int { return strings.Compare(a.Name, b.Name) }
	incoming := o.Fields
	if !slices.IsSortedFunc(incoming, byName) { // integrations usually sort
		incoming = slices.Clone(incoming)
		slices.SortFunc(incoming, byName)
	}
	out := room.Fields(max(len(m.next.Fields), len(incoming)))
	old := m.next.Fields
	for len(old) > 0 || len(incoming) > 0 {
		order := 1
		switch {
		case len(incoming) == 0:
			order = -1
		case len(old) > 0:
			order = strings.Compare(old[0].Name, incoming[0].Name)
		}
		switch {
		case order < 0:
			f := &old[0]
			old = old[1:]
			if o.Complete && effective(f, base) <= o.Version && (o.Version != "" || base == "") {
				m.changed = true // the source has it no more
				continue
			}
			out = append(out, *f)
		case order > 0:
			f := &incoming[0]
			incoming = incoming[1:]
			if o.Version != "" && o.Version < m.next.Complete {
				continue // a newer complete record does not have it
			}
			if o.Version != "" && o.Version == m.next.Complete && !o.Complete && !authoritative {
				m.tie = true
				continue
			}
			out = append(out, *f)
			at(&out[len(out)-1], o.Version, base)
			m.changed = true
		default:
			if m.newer(&old[0], &incoming[0], o.Version, base, authoritative) {
				m.changed = true
				out = append(out, incoming[0])
				at(&out[len(out)-1], o.Version, base)
			} else {
				out = append(out, old[0])
			}
			old, incoming = old[1:], incoming[1:]
		}
	}
	m.next.Fields = out
}

// newer decides between the stored and the incoming value of one field: it
// reports whether the incoming one counts.
func (m *merged) newer(have, got *record.Field, version, base string, authoritative bool) bool {
	switch order := strings.Compare(version, effective(have, base)); {
	case order > 0:
		return true
	case order < 0:
		m.ignored = m.ignored || !sameValue(have, got)
		return false
	case sameValue(have, got):
		return false
	}
	if !authoritative {
		m.tie = true
	}
	return true
}

// raise makes version the record's own: fields that are at it say so by
// saying nothing, all others name theirs.
func (m *merged) raise(version string) {
	base := m.next.Version
	for i := range m.next.Fields {
		f := &m.next.Fields[i]
		at(f, effective(f, base), version)
	}
	m.next.Version = version
	m.changed = true
}

// effective is the version a field's value was seen at.
func effective(f *record.Field, base string) string {
	switch f.Version {
	case "":
		return base
	case unversioned:
		return ""
	}
	return f.Version
}

// at writes a field's version relative to the record's.
func at(f *record.Field, version, base string) {
	switch version {
	case base:
		f.Version = ""
	case "":
		f.Version = unversioned
	default:
		f.Version = version
	}
}
