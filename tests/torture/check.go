package torture

import (
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
	Misbilled    Kind = "billed wrongly"   // an invoice of another customer than its load's
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

	// What is read once all is quiet. Where nobody looked it is nil, and what it
	// would show is not judged.
	Desk   *Desk
	Views  []View
	Topics []Topic
	Tokens *Tokens
}

// destination is one account of one app that a tenant's records go to.
type destination struct {
	tenant int
	app    string
	object string
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
	byID      map[string]key    // "app/account/object/id"
	customers map[string]string // by "account/id": whose customer object it is
	children  map[int][]int     // of a load: its invoices
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
		customers: map[string]string{},
		children:  map[int][]int{},
		ends:      map[key][]*Object{},
		sent:      make([]map[string]bool, len(ev.Plan.Records)),
		acked:     make([]int, len(ev.Plan.Records)),
	}
	for i, t := range ev.Plan.Tenants {
		for _, d := range t.Destinations() {
			c.owners[place(d.App, d.Account, d.Object)] = destination{i, d.App, d.Object}
		}
	}
	for i := range ev.Plan.Records {
		if r := &ev.Plan.Records[i]; r.Role == Invoice {
			c.children[r.Parent] = append(c.children[r.Parent], i)
		}
	}
	c.readIntents()
	c.readLedger()
	c.readObjects()
	c.judge()
	c.waits()
	c.views()
	c.tokens()
	c.topics()
	c.report.Judged = c.judged()
	return c.report
}

func place(app, account, object string) string {
	return strings.ToLower(app + "/" + account + "/" + object)
}
