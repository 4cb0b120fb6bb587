package torture

import (
	"fmt"
	"math/rand/v2"
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
	Probe   bool    // sent by Probes, not by Messages
	Fields  []Field // without Id and SystemModstamp
}

// Name identifies an edit in the intent log.
func (e Edit) Name() string { return fmt.Sprintf("%d:%d%s", e.Record, e.Rank, e.Variant) }

// State is what a destination must show in the end: of an account the first
// six fields, of an invoice the next four.
type State struct {
	Name, Phone, Street, City, Zip, Region string

	Number string // DocNumber
	Total  string
	Lines  string // the lines' amounts, sorted
	BillTo string // the name of the customer that is billed, without its rank

	Deleted bool
}

// Role is what a record is for the destinations.
type Role int

// The roles.
const (
	Carrier  Role = iota // an account that is a vendor at QuickBooks and a company at HubSpot
	Customer             // an account that is a customer at QuickBooks
	Cargo                // a load: at no destination, but invoices take their customer from it
	Invoice              // a customer's invoice, at QuickBooks
)

// Coming is how the platform can learn of a record.
type Coming int

// The ways.
const (
	Told    Coming = iota // by webhooks; a parent can be fetched besides
	Late                  // by webhooks that come late, and until then the source does not have it
	Fetched               // no webhook ever: only the source has it
	Never                 // nobody has it: a reference to nothing
)

// Record is one source record with all its edits, oldest first.
type Record struct {
	Tenant int // index in Plan.Tenants
	Role   Role
	Coming Coming
	ID     string
	Parent int // of an invoice: its load, an index in Plan.Records
	Edits  []Edit
	// Truth is the record as Salesforce has it after all edits. Where edits share
	// a stamp only a fetch can tell it.
	Truth State
	// Partial: edits after the first carry the mark of the state and one field
	// more, so that a lost merge shows.
	Partial bool
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

// Object is the record's type in Salesforce.
func (r *Record) Object() string {
	switch r.Role {
	case Cargo:
		return "rtms__Load__c"
	case Invoice:
		return "rtms__CustomerInvoice__c"
	case Carrier, Customer:
	}
	return "Account"
}

// Apps are the destinations that get the record.
func (r *Record) Apps() []string {
	switch r.Role {
	case Carrier:
		return []string{"quickbooks", "hubspot"}
	case Customer, Invoice:
		return []string{"quickbooks"}
	case Cargo:
	}
	return nil
}

// Orphan reports an invoice that can never arrive.
func (p *Plan) Orphan(r *Record) bool {
	return r.Role == Invoice && p.Records[r.Parent].Coming == Never
}

// Plan is a load and its only right end.
type Plan struct {
	Seed    uint64
	Tenants []Tenant
	Records []Record
}

// Size says how many records of which kind a plan has. Shares are of the
// records of that kind.
type Size struct {
	Records     int     // over all tenants
	DeleteShare float64 // deleted after their last update
	// TieShare of the carriers get two edits with one stamp and different values
	// or, in turn, one save that arrives as two messages with different fields.
	TieShare     float64
	PartialShare float64 // edits that carry one field each
	// Documents: of ten records of a tenant five are carriers, one is a customer,
	// one a load, and three are invoices. Without it all are carriers.
	Documents bool
	// Probes gives the first carrier of each tenant one edit more, which Messages
	// leaves out and Probes sends.
	Probes bool
}

// epoch is when the first record of every plan was made: far enough back that
// no clock of the platform can be mistaken for a version.
var epoch = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

// NewPlan lays out the records: each is created and updated twice, some are
// deleted, some have ties. The same seed gives the same plan. Records of
// different tenants share their Salesforce ids, as orgs cloned from one another
// do, so that a key without its tenant shows.
func NewPlan(seed uint64, tenants []Tenant, size Size) *Plan {
	b := &builder{rng: rand.New(rand.NewPCG(seed, 1)), size: size, p: &Plan{Seed: seed, Tenants: tenants, Records: make([]Record, size.Records)}}
	for i := range b.p.Records {
		r := &b.p.Records[i]
		r.Tenant = i % len(tenants)
		if size.Documents {
			r.Role = roles[i/len(tenants)%len(roles)]
		}
		r.ID = recordID(r.Role, i/len(tenants))
	}
	for i := range b.p.Records {
		if b.p.Records[i].Role == Carrier {
			b.carrier(i)
		}
	}
	if size.Documents {
		b.documents()
	}
	return b.p
}

// builder makes a plan.
type builder struct {
	p    *Plan
	rng  *rand.Rand
	size Size
	ties int
}

func (b *builder) chance(share float64) bool { return b.rng.Float64() < share }

// clock gives a record's stamps.
func (b *builder) clock() func() time.Time {
	stamp := epoch.Add(time.Duration(b.rng.IntN(3600)) * time.Second)
	return func() time.Time {
		stamp = stamp.Add(time.Duration(1+b.rng.IntN(90)) * time.Second)
		return stamp
	}
}

func (b *builder) carrier(i int) {
	r := &b.p.Records[i]
	next := b.clock()
	state := b.p.state(i, 1, "")
	r.Edits = append(r.Edits, Edit{Record: i, Rank: 1, Stamp: next(), Fields: state.full()})
	probe := b.size.Probes && i < len(b.p.Tenants)
	switch {
	case probe:
		state = b.p.state(i, 2, "")
		r.Edits = append(r.Edits, Edit{Record: i, Rank: 2, Stamp: next(), Fields: state.full(), Probe: true})
	case b.chance(b.size.TieShare):
		r.Edits = append(r.Edits, b.p.tie(i, b.ties%2 == 0, next(), &state)...)
		b.ties++
	default:
		r.Partial = b.chance(b.size.PartialShare)
		last := 3
		if r.Partial {
			last = 9
		}
		for rank := 2; rank <= last; rank++ {
			fields := b.p.state(i, rank, "").full()
			if r.Partial {
				fields = b.p.state(i, rank, "").part(rank)
			}
			state.apply(fields)
			r.Edits = append(r.Edits, Edit{Record: i, Rank: rank, Stamp: next(), Fields: fields})
		}
		if b.chance(b.size.DeleteShare) {
			r.Edits = append(r.Edits, Edit{Record: i, Rank: last + 1, Stamp: next(), Deleted: true})
			state.Deleted = true
		}
	}
	r.Truth = state
}

// tie makes the two edits of rank 2. Either both set everything and the second
// is the truth, or each carries half of the fields and both are.
func (p *Plan) tie(record int, values bool, stamp time.Time, state *State) []Edit {
	a, b := p.state(record, 2, "a"), p.state(record, 2, "b")
	first := Edit{Record: record, Rank: 2, Variant: "a", Stamp: stamp}
	second := Edit{Record: record, Rank: 2, Variant: "b", Stamp: stamp}
	if values {
		first.Fields, second.Fields = a.full(), b.full()
	} else {
		first.Fields = []Field{{"Name", a.Name}}
		second.Fields = []Field{{"BillingCity", b.City}, {"Phone", b.Phone}}
	}
	state.apply(first.Fields)
	state.apply(second.Fields)
	return []Edit{first, second}
}

// state is a carrier or a customer after a full edit of that rank. Fields carry
// the rank, so a destination object made of two edits shows; the name carries
// all that the checker has to know of a ledger line.
func (p *Plan) state(record, rank int, variant string) State {
	r := &p.Records[record]
	role := "Carrier"
	if r.Role == Customer {
		role = "Customer"
	}
	upper := strings.ToUpper(variant)
	return State{
		Name:   fmt.Sprintf("%s %s %06d r%d%s", p.Tenants[r.Tenant].ID, role, record, rank, variant),
		Phone:  fmt.Sprintf("555-%06d-%d%s", record, rank, upper),
		Street: fmt.Sprintf("%d Main Street", rank),
		City:   fmt.Sprintf("Springfield %d%s", rank, upper),
		Zip:    fmt.Sprintf("%05d", 4000+rank),
		Region: "M" + string(rune('A'+rank%26)),
	}
}

// full is a carrier's state as a whole outbound message carries it: alphabetical,
// as in real captures. Both signs of a vendor are there (domain.md, finding 2).
func (s State) full() []Field {
	return append(s.address(), Field{"Name", s.Name}, Field{"Phone", s.Phone}, Field{"Type", "Vendor"}, Field{"rtms__TMS_Type__c", "Carrier"})
}

func (s State) address() []Field {
	return []Field{{"BillingCity", s.City}, {"BillingCountry", "US"}, {"BillingPostalCode", s.Zip}, {"BillingState", s.Region}, {"BillingStreet", s.Street}}
}

// part is a state as a partial edit carries it: the name, which tells the rank,
// and one field in turn.
func (s State) part(rank int) []Field {
	name := Field{"Name", s.Name}
	switch turn := []Field{{"BillingCity", s.City}, {"BillingPostalCode", s.Zip}, {"BillingState", s.Region}, {"BillingStreet", s.Street}, {"Phone", s.Phone}}; rank % 5 {
	case 4:
		return []Field{name, turn[4]}
	default:
		return []Field{turn[rank%5], name}
	}
}

// apply folds an edit's fields in.
func (s *State) apply(fields []Field) {
	for _, f := range fields {
		switch f.Name {
		case "Name":
			s.Name = f.Value
		case "Phone":
			s.Phone = f.Value
		case "BillingCity":
			s.City = f.Value
		case "BillingStreet":
			s.Street = f.Value
		case "BillingPostalCode":
			s.Zip = f.Value
		case "BillingState":
			s.Region = f.Value
		}
	}
}
