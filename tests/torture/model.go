package torture

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Tenant is one tenant's identity on both sides of the platform.
type Tenant struct {
	ID            string
	Slug          string
	Organization  string // Salesforce org, 18 characters
	Realm         string // QuickBooks company
	Portal        string // HubSpot portal
	WebhookKey    string // ?key= of outbound messages
	SigningSecret string // Standard Webhooks secret ("whsec_…") of JSON
}

// Field is one Salesforce field as text.
type Field struct{ Name, Value string }

// Edit is one save of a record: what Salesforce sends one notification for.
type Edit struct {
	Record  int    // index in Plan.Records
	Rank    int    // place of its stamp in the record's history, from 1
	Variant string // tells edits apart that share a stamp
	Stamp   time.Time
	Deleted bool
	Fields  []Field // without Id and SystemModstamp
}

// Name identifies an edit in the intent log.
func (e Edit) Name() string { return fmt.Sprintf("%d:%d%s", e.Record, e.Rank, e.Variant) }

// State is what a destination must show in the end.
type State struct {
	Name, Phone, City string
	Deleted           bool
}

// Record is one account with all its edits, oldest first.
type Record struct {
	Tenant int // index in Plan.Tenants
	ID     string
	Edits  []Edit
	// Truth is the record as Salesforce has it after all edits. Where edits share
	// a stamp only a fetch can tell it.
	Truth State
}

// Tied reports whether two edits of the record share a stamp.
func (r *Record) Tied() bool {
	for i := 1; i < len(r.Edits); i++ {
		if r.Edits[i].Rank == r.Edits[i-1].Rank {
			return true
		}
	}
	return false
}

// Plan is a load and its only right end.
type Plan struct {
	Seed    uint64
	Tenants []Tenant
	Records []Record
}

// Size says how many records of which kind a plan has.
type Size struct {
	Records     int     // over all tenants
	DeleteShare float64 // of the records, deleted after their last update
	// TieShare of the records get two edits with one stamp and different values
	// or, in turn, one save that arrives as two messages with different fields.
	TieShare float64
}

// epoch is when the first record of every plan was made: far enough back that
// no clock of the platform can be mistaken for a version.
var epoch = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

// NewPlan lays out the records: each is created and updated twice, some are
// deleted, some have ties. The same seed gives the same plan. Records of
// different tenants share their Salesforce ids, as orgs cloned from one another
// do, so that a key without its tenant shows.
func NewPlan(seed uint64, tenants []Tenant, size Size) *Plan {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := &Plan{Seed: seed, Tenants: tenants, Records: make([]Record, size.Records)}
	ties := 0
	for i := range p.Records {
		r := &p.Records[i]
		r.Tenant = i % len(tenants)
		r.ID = accountID(i / len(tenants))
		stamp := epoch.Add(time.Duration(rng.IntN(3600)) * time.Second)
		next := func() time.Time {
			stamp = stamp.Add(time.Duration(1+rng.IntN(90)) * time.Second)
			return stamp
		}
		state := p.state(i, 1, "")
		r.Edits = append(r.Edits, Edit{Record: i, Rank: 1, Stamp: next(), Fields: state.full()})
		if rng.Float64() < size.TieShare {
			r.Edits = append(r.Edits, p.tie(i, ties%2 == 0, next(), &state)...)
			ties++
		} else {
			for rank := 2; rank <= 3; rank++ {
				state = p.state(i, rank, "")
				r.Edits = append(r.Edits, Edit{Record: i, Rank: rank, Stamp: next(), Fields: state.full()})
			}
			if rng.Float64() < size.DeleteShare {
				r.Edits = append(r.Edits, Edit{Record: i, Rank: 4, Stamp: next(), Deleted: true})
				state.Deleted = true
			}
		}
		r.Truth = state
	}
	return p
}

// tie makes the two edits of rank 2. Either both set everything and the second
// is the truth, or each carries half of the fields and both are.
func (p *Plan) tie(record int, values bool, stamp time.Time, state *State) []Edit {
	a, b := p.state(record, 2, "a"), p.state(record, 2, "b")
	first := Edit{Record: record, Rank: 2, Variant: "a", Stamp: stamp}
	second := Edit{Record: record, Rank: 2, Variant: "b", Stamp: stamp}
	if values {
		first.Fields, second.Fields = a.full(), b.full()
		*state = b
		return []Edit{first, second}
	}
	first.Fields = []Field{{"Name", a.Name}}
	second.Fields = []Field{{"BillingCity", b.City}, {"Phone", b.Phone}}
	*state = State{Name: a.Name, Phone: b.Phone, City: b.City}
	return []Edit{first, second}
}

// state is a record after the edit of that rank. Every field carries the rank,
// so a destination object made of two edits shows; the name carries all that
// the checker has to know of a ledger line.
func (p *Plan) state(record, rank int, variant string) State {
	tenant := p.Tenants[record%len(p.Tenants)].ID
	return State{
		Name:  fmt.Sprintf("%s Carrier %06d r%d%s", tenant, record, rank, variant),
		Phone: fmt.Sprintf("555-%06d-%d%s", record, rank, strings.ToUpper(variant)),
		City:  fmt.Sprintf("Springfield %d%s", rank, strings.ToUpper(variant)),
	}
}

// full is a state as a whole outbound message carries it: alphabetical, as in
// real captures. Both signs of a vendor are there (domain.md, finding 2).
func (s State) full() []Field {
	return []Field{
		{"BillingCity", s.City},
		{"BillingCountry", "US"},
		{"BillingPostalCode", "04001"},
		{"BillingState", "ME"},
		{"BillingStreet", "1 Main Street"},
		{"Name", s.Name},
		{"Phone", s.Phone},
		{"Type", "Vendor"},
		{"rtms__TMS_Type__c", "Carrier"},
	}
}

// Marker is what the name of a destination's object tells.
type Marker struct {
	Tenant  string
	Record  int
	Rank    int
	Variant string
}

var markerForm = regexp.MustCompile(`^(\S+) Carrier (\d{6,}) r(\d+)([a-z]?)(?:\s.*)?$`)

// ParseMarker reads a name that state gave, whatever suffix a destination hung
// on it ("… (deleted)").
func ParseMarker(name string) (Marker, bool) {
	m := markerForm.FindStringSubmatch(name)
	if m == nil {
		return Marker{}, false
	}
	record, err := strconv.Atoi(m[2])
	if err != nil {
		return Marker{}, false
	}
	rank, err := strconv.Atoi(m[3])
	if err != nil {
		return Marker{}, false
	}
	return Marker{Tenant: m[1], Record: record, Rank: rank, Variant: m[4]}, true
}

// accountID is the 18 character id of the n-th account.
func accountID(n int) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	id := []byte("0015g0000000000")
	for i := len(id) - 1; n > 0; i-- {
		id[i] = digits[n%len(digits)]
		n /= len(digits)
	}
	return LongID(string(id))
}

// LongID adds Salesforce's three checksum characters to a 15 character id: per
// chunk of five, bit i is set where character i is an upper-case letter.
func LongID(id string) string {
	if len(id) != 15 {
		return id
	}
	const table = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
	out := []byte(id)
	for chunk := range 3 {
		bits := 0
		for i := range 5 {
			if c := id[chunk*5+i]; c >= 'A' && c <= 'Z' {
				bits |= 1 << i
			}
		}
		out = append(out, table[bits])
	}
	return string(out)
}
