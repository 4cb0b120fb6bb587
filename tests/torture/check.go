package torture

import (
	"fmt"
	"strings"
	"time"
)

// Kind is a way in which a run can be wrong.
type Kind string

const (
	NothingSeen  Kind = "nothing seen"     // a destination got not one write
	Lost         Kind = "lost"             // no object for a record that must have one
	Stale        Kind = "stale"            // the object is not in the last state
	Torn         Kind = "torn"             // the object has fields of different states
	NotDeleted   Kind = "not deleted"      // the record is gone, its object is in use
	Deleted      Kind = "wrongly deleted"  // the record lives, its object is out of use
	Reordered    Kind = "reordered"        // an older state was applied after a newer one
	Repeated     Kind = "repeated"         // one state applied twice as two requests
	Duplicated   Kind = "duplicate object" // two objects of one record
	WrongTenant  Kind = "wrong tenant"     // in another tenant's account
	Invented     Kind = "invented"         // a state that was never sent
	Unattributed Kind = "unattributed"     // a write that belongs to no record
	NotAcked     Kind = "nothing acked"    // the load proves nothing
)

// healing bounds how long an inversion may stand at a destination that checks
// no version (reliability.md, C5).
const healing = time.Minute

// Tolerance names what the contract allows beside the perfect run.
type Tolerance struct {
	// Inversions at HubSpot, which checks no version: a process frozen between
	// its last look at its lease and the socket may still land late, if the
	// newest state follows within a minute.
	Inversions bool
}

// Evidence is all that the checker looks at.
type Evidence struct {
	Plan    *Plan
	Intents []Intent
	Ledger  []Line
	Objects []Object
}

// destination is one account of one app that a tenant's records go to.
type destination struct {
	tenant  int
	app     string
	account string
	object  string
}

// key is one record at one destination app.
type key struct {
	app    string
	record int
}

// track is what one pass over the ledger remembers of a key.
type track struct {
	id                string
	rank              int
	variant           string
	digest, requestID string
	lines             []int
	inverted          time.Time // when an older state landed on a newer one; zero: in order
	peak              int       // the greatest rank applied
	writes            int
}

type checker struct {
	ev        Evidence
	tolerance Tolerance
	report    Report
	owners    map[string]destination // "app/account/object"
	tracks    map[key]*track
	byID      map[string]key // "app/account/id"
	ends      map[key][]*Object
	sent      []map[string]bool // per record: "2a"
	acked     []int             // per record: greatest acked rank, 0: none
}

// Check compares what was sent with what the destinations saw.
func Check(ev Evidence, tolerance Tolerance) Report {
	c := &checker{
		ev:        ev,
		tolerance: tolerance,
		owners:    map[string]destination{},
		tracks:    map[key]*track{},
		byID:      map[string]key{},
		ends:      map[key][]*Object{},
		sent:      make([]map[string]bool, len(ev.Plan.Records)),
		acked:     make([]int, len(ev.Plan.Records)),
	}
	for i, t := range ev.Plan.Tenants {
		c.owners[place("quickbooks", t.Realm, "Vendor")] = destination{i, "quickbooks", t.Realm, "Vendor"}
		c.owners[place("hubspot", t.Portal, "companies")] = destination{i, "hubspot", t.Portal, "companies"}
	}
	c.readIntents()
	c.readLedger()
	c.readObjects()
	c.judge()
	return c.report
}

func place(app, account, object string) string {
	return strings.ToLower(app + "/" + account + "/" + object)
}

func (c *checker) readIntents() {
	for _, in := range c.ev.Intents {
		for _, name := range in.Edits {
			var record, rank int
			var variant string
			// The variant is a letter or nothing.
			if n, _ := fmt.Sscanf(name, "%d:%d%s", &record, &rank, &variant); n < 2 || record >= len(c.sent) {
				c.fail(Unattributed, key{}, fmt.Sprintf("the intent log names an edit %q that the plan has not", name))
				continue
			}
			if c.sent[record] == nil {
				c.sent[record] = map[string]bool{}
			}
			c.sent[record][fmt.Sprintf("%d%s", rank, variant)] = true
			if in.Event == Acked {
				c.acked[record] = max(c.acked[record], rank)
				c.report.AckedEdits++
			}
		}
	}
	if c.report.AckedEdits == 0 {
		c.fail(NotAcked, key{}, "no edit was acknowledged")
	}
}

func (c *checker) readLedger() {
	seen := map[int]map[string]int{}
	for i := range c.ev.Ledger {
		l := &c.ev.Ledger[i]
		dest, ours := c.owners[place(l.App, l.Account, l.Object)]
		if !ours || !l.Applied {
			continue
		}
		if seen[dest.tenant] == nil {
			seen[dest.tenant] = map[string]int{}
		}
		seen[dest.tenant][dest.app]++
		c.report.Writes++
		c.write(dest, i)
	}
	wanted := map[int]bool{}
	for i := range c.ev.Plan.Records {
		r := &c.ev.Plan.Records[i]
		wanted[r.Tenant] = wanted[r.Tenant] || c.acked[i] > 0 && !r.Truth.Deleted
	}
	for tenant, t := range c.ev.Plan.Tenants {
		for _, app := range []string{"quickbooks", "hubspot"} {
			if wanted[tenant] && seen[tenant][app] == 0 {
				c.fail(NothingSeen, key{app: app, record: -1}, fmt.Sprintf("tenant %s: not one write was applied at %s", t.ID, app))
			}
		}
	}
}

// write takes one applied write into its key's history.
func (c *checker) write(dest destination, line int) {
	l := &c.ev.Ledger[line]
	id := strings.Join([]string{l.App, l.Account, l.ID}, "/")
	m, named := ParseMarker(l.Marker)
	k, known := c.byID[id]
	switch {
	case named && m.Record < len(c.ev.Plan.Records):
		k = key{dest.app, m.Record}
	case !known:
		c.fail(Unattributed, key{}, "a write names no record: "+l.String())
		return
	}
	t := c.tracks[k]
	if t == nil {
		t = &track{}
		c.tracks[k] = t
	}
	t.lines = append(t.lines, line)
	record := &c.ev.Plan.Records[k.record]
	if tenant := c.ev.Plan.Tenants[dest.tenant].ID; named && m.Tenant != tenant || record.Tenant != dest.tenant {
		c.fail(WrongTenant, k, "a record of another tenant was written to an account of "+tenant)
		return
	}
	c.byID[id] = k
	if t.id != "" && t.id != l.ID {
		c.fail(Duplicated, k, fmt.Sprintf("object %s was written, then object %s", t.id, l.ID))
	}
	t.id = l.ID
	rank, variant := m.Rank, m.Variant
	if l.removal() {
		rank, variant = len(record.Edits), ""
		if last := record.Edits[len(record.Edits)-1]; !last.Deleted {
			c.fail(Deleted, k, "a removal of a record that was never deleted")
			return
		}
	} else if !named {
		c.fail(Unattributed, k, "a write without a state in its name: "+l.String())
		return
	}
	if !c.sent[k.record][fmt.Sprintf("%d%s", rank, variant)] {
		c.fail(Invented, k, fmt.Sprintf("state r%d%s was applied and never sent", rank, variant))
	}
	c.order(k, t, l, rank, variant, record.Tied())
}

// order holds the write against the newest one before it.
func (c *checker) order(k key, t *track, l *Line, rank int, variant string, tied bool) {
	defer func() {
		t.rank, t.variant, t.digest, t.requestID = rank, variant, l.Digest, l.RequestID
		t.peak = max(t.peak, rank)
		t.writes++
	}()
	switch {
	case t.writes == 0:
	case rank < t.peak && c.tolerance.Inversions && k.app == "hubspot":
		if t.inverted.IsZero() {
			t.inverted = l.Time
			c.report.Healed++
		}
	case rank < t.rank:
		c.fail(Reordered, k, fmt.Sprintf("r%d was applied after r%d", rank, t.rank))
	case rank == t.rank && !tied && (l.Digest != t.digest || l.RequestID != t.requestID):
		c.fail(Repeated, k, fmt.Sprintf("r%d was applied twice, as two different requests", rank))
	case rank == t.peak && !t.inverted.IsZero():
		if l.Time.Sub(t.inverted) > healing {
			c.fail(Reordered, k, fmt.Sprintf("an older state stood for %s", l.Time.Sub(t.inverted)))
		}
		t.inverted = time.Time{}
	}
}

func (c *checker) readObjects() {
	for i := range c.ev.Objects {
		o := &c.ev.Objects[i]
		dest, ours := c.owners[place(o.App, o.Account, o.Type)]
		if !ours {
			continue
		}
		c.report.Objects++
		m, ok := ParseMarker(o.Name)
		if !ok || m.Record >= len(c.ev.Plan.Records) {
			c.fail(Unattributed, key{}, "an object belongs to no record: "+o.String())
			continue
		}
		k := key{dest.app, m.Record}
		c.ends[k] = append(c.ends[k], o)
		if tenant := c.ev.Plan.Tenants[dest.tenant].ID; m.Tenant != tenant {
			c.fail(WrongTenant, k, "an object of tenant "+m.Tenant+" is in an account of "+tenant)
		}
	}
}

// judge holds every record's end against the plan.
func (c *checker) judge() {
	for i := range c.ev.Plan.Records {
		if c.acked[i] == 0 && c.sent[i] == nil {
			continue
		}
		c.report.Records++
		for _, app := range []string{"quickbooks", "hubspot"} {
			c.end(key{app, i})
		}
	}
}

func (c *checker) end(k key) {
	ends := c.ends[k]
	if t := c.tracks[k]; t != nil && !t.inverted.IsZero() {
		c.fail(Reordered, k, "an older state landed on a newer one and stayed")
	}
	if len(ends) > 1 {
		c.fail(Duplicated, k, fmt.Sprintf("%d objects", len(ends)))
		return
	}
	allowed := c.allowed(k.record)
	if len(ends) == 0 {
		for _, s := range allowed {
			if s == nil || s.Deleted {
				return // never made, or conflated away before it was
			}
		}
		c.fail(Lost, k, "no object; wanted "+describe(allowed))
		return
	}
	end := ends[0]
	got := State{
		Name:    strings.TrimSuffix(end.Name, " (deleted)"),
		Phone:   end.Phone,
		City:    end.City,
		Deleted: !end.Active,
	}
	kind := Stale
	for _, s := range allowed {
		switch {
		case s == nil:
			kind = Invented
		case s.Deleted && got.Deleted, *s == got:
			return
		case s.Deleted:
			kind = NotDeleted
		case got.Deleted:
			kind = Deleted
		case s.Name == got.Name:
			kind = Torn
		}
	}
	c.fail(kind, k, "wanted "+describe(allowed))
}

// allowed lists the states a record may end in: the truth if its last edit was
// acked, otherwise also those that were sent and may have arrived. nil is "not
// there at all".
func (c *checker) allowed(record int) []*State {
	r := &c.ev.Plan.Records[record]
	last := r.Edits[len(r.Edits)-1]
	if c.acked[record] == last.Rank {
		return []*State{&r.Truth}
	}
	var out []*State
	if c.acked[record] == 0 {
		out = append(out, nil)
	}
	for _, e := range r.Edits {
		if e.Rank < c.acked[record] || !c.sent[record][fmt.Sprintf("%d%s", e.Rank, e.Variant)] {
			continue
		}
		if e.Deleted {
			out = append(out, &State{Deleted: true})
			continue
		}
		s := c.ev.Plan.state(record, e.Rank, e.Variant)
		out = append(out, &s)
	}
	return out
}

func describe(states []*State) string {
	parts := make([]string, len(states))
	for i, s := range states {
		switch {
		case s == nil:
			parts[i] = "no object"
		case s.Deleted:
			parts[i] = "deleted"
		default:
			parts[i] = fmt.Sprintf("name %q phone %q city %q", s.Name, s.Phone, s.City)
		}
	}
	return strings.Join(parts, ", or ")
}
