package torture

import (
	"fmt"
	"strings"
	"time"
)

// write takes one applied write into its key's history.
func (c *checker) write(dest destination, line int) {
	l := &c.ev.Ledger[line]
	id := strings.Join([]string{l.App, l.Account, l.Object, l.ID}, "/")
	m, named := c.ev.Plan.Wrote(l)
	k, known := c.byID[id]
	switch {
	case named:
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
		rank, variant = c.last(k.record), ""
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
	c.order(k, t, l, rank, variant, c.ev.Plan.composed(record))
}

func (c *checker) last(record int) int {
	edits := c.ev.Plan.Records[record].Edits
	return edits[len(edits)-1].Rank
}

// composed reports whether one state of a record can rightly be two contents:
// fields that come one by one and out of order, or a parent that changes.
func (p *Plan) composed(r *Record) bool { return r.Tied() || r.Partial || r.Role == Invoice }

// order holds the write against the newest one before it.
func (c *checker) order(k key, t *track, l *Line, rank int, variant string, composed bool) {
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
	case rank == t.rank && !composed && (l.Digest != t.digest || l.RequestID != t.requestID):
		c.fail(Repeated, k, fmt.Sprintf("r%d was applied twice, as two different requests", rank))
	case rank == t.rank && composed && l.Digest == t.digest && l.RequestID != t.requestID:
		c.fail(Repeated, k, fmt.Sprintf("one body with r%d was applied twice, as two different requests", rank))
	case rank == t.peak && !t.inverted.IsZero():
		if l.Time.Sub(t.inverted) > healing {
			c.fail(Reordered, k, fmt.Sprintf("an older state stood for %s", l.Time.Sub(t.inverted)))
		}
		t.inverted = time.Time{}
	}
}
