package torture

import (
	"fmt"
	"strings"
)

// The ways in which a view can differ from its topic (I7), and the topic be
// wrong itself.
const (
	ViewLacks  Kind = "view lacks a record"
	ViewDiffer Kind = "view shows another state"
	ViewGhost  Kind = "view has a record that its topic has not"
	ViewUnread Kind = "view not ready"

	WroteBack  Kind = "an older state written after a newer one" // I2
	WroteTwice Kind = "one state written twice"                  // I4
)

// View is one partition of a view beside the fold of its compacted topic, both
// by record key. The values are compared, not understood.
type View struct {
	Name      string
	Partition int32
	// Ready: it has a checkpoint, and is not being built.
	Ready bool
	// Loose: an entry too many does no harm.
	Loose bool
	Have  map[string]string
	Want  map[string]string
	// Astray are what is written into the topic out of turn: who reads it mends
	// most of it by the revision, so the destinations hardly show it.
	Astray []Astray
	States int // in the topic
}

// Astray is a committed state whose revision is not greater than that of its
// record's state before: a stage writes each revision once, in order.
type Astray struct {
	Key    string
	Offset int64
	Twice  bool   // the same revision again
	Says   string // both revisions
}

// Uses stands between a child and its parent in the names of dependents.
const Uses = " uses "

// views judges I7: what is in Redis is what the changelog says. The changelog
// itself counts for I2 and I4.
func (c *checker) views() {
	for i := range c.ev.Views {
		v := &c.ev.Views[i]
		place := fmt.Sprintf("%s partition %d", v.Name, v.Partition)
		c.report.States += v.States
		for _, a := range v.Astray {
			kind := WroteBack
			if a.Twice {
				kind = WroteTwice
			}
			c.failAt(kind, a.Key, fmt.Sprintf("%s offset %d: %s, %s", place, a.Offset, a.Key, a.Says))
		}
		if len(v.Want) > 0 && !v.Ready {
			c.fail(ViewUnread, key{}, place)
			continue
		}
		for k, want := range v.Want {
			have, ok := v.Have[k]
			switch {
			case !ok:
				c.failAt(ViewLacks, k, place+" lacks "+k)
			case have != want:
				c.failAt(ViewDiffer, k, fmt.Sprintf("%s: %s is %s, the topic says %s", place, k, have, want))
			}
			c.report.Viewed++
		}
		for k := range v.Have {
			if _, ok := v.Want[k]; !ok && !v.Loose {
				c.failAt(ViewGhost, k, place+" has "+k)
			}
		}
	}
	if c.ev.Views != nil && c.report.Viewed == 0 {
		c.nothing("I7", "the views' topics are empty")
	}
}

// failAt tells the history of the record that a key names, where it is one of
// the plan's.
func (c *checker) failAt(kind Kind, recordKey, what string) {
	recordKey, _, _ = strings.Cut(recordKey, Uses)
	for i := range c.ev.Plan.Records {
		r := &c.ev.Plan.Records[i]
		if c.ev.Plan.Tenants[r.Tenant].ID+"/revenova:"+r.ID == recordKey {
			c.fail(kind, key{"quickbooks", i}, what)
			return
		}
	}
	c.fail(kind, key{}, what)
}
