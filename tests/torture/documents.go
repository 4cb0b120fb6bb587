package torture

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// roles are dealt to a tenant's records in turn.
var roles = []Role{Carrier, Carrier, Customer, Cargo, Invoice, Carrier, Invoice, Carrier, Invoice, Carrier}

// Shares of the loads, and of what follows from them for invoices.
const (
	fetchedShare  = 0.10 // never told, only the source has it
	lateShare     = 0.10
	neverShare    = 0.01
	rebilledShare = 0.20 // get another bill-to
)

// documents makes customers, loads and invoices: every invoice takes its
// customer from its load.
func (b *builder) documents() {
	customers, loads := make([][]int, len(b.p.Tenants)), make([][]int, len(b.p.Tenants))
	nowhere := 0
	for i := range b.p.Records {
		r := &b.p.Records[i]
		switch r.Role {
		case Customer:
			// Every third is known to the source alone, and billed by loads like it.
			if len(customers[r.Tenant])%3 == 2 {
				r.Coming = Fetched
			}
			customers[r.Tenant] = append(customers[r.Tenant], i)
			b.customer(i)
		case Cargo:
			// At least one of a plan with loads leads nowhere: otherwise nothing is
			// seen of failing.
			r.Coming = b.coming(nowhere == 0 && len(loads[r.Tenant]) == 3)
			if r.Coming == Never {
				nowhere++
			}
			loads[r.Tenant] = append(loads[r.Tenant], i)
		case Carrier, Invoice:
		}
	}
	for tenant, of := range loads {
		for _, i := range of {
			b.load(i, customers[tenant])
		}
	}
	waiting := map[int]int{} // invoices of loads that are nowhere
	for i := range b.p.Records {
		if r := &b.p.Records[i]; r.Role == Invoice {
			r.Parent = b.parent(loads[r.Tenant], waiting)
			b.invoice(i)
		}
	}
}

// parent is one of a tenant's loads: its first load and customer come before its
// first invoice. Loads that are nowhere get some invoices for sure, more than
// are deleted: what fails for want of a load must be seen.
func (b *builder) parent(loads []int, waiting map[int]int) int {
	const enough = 3
	for _, load := range loads {
		if b.p.Records[load].Coming == Never && waiting[load] < enough {
			waiting[load]++
			return load
		}
	}
	return loads[b.rng.IntN(len(loads))]
}

func (b *builder) coming(never bool) Coming {
	switch d := b.rng.Float64(); {
	case never || d < neverShare:
		return Never
	case d < neverShare+fetchedShare:
		return Fetched
	case d < neverShare+fetchedShare+lateShare:
		return Late
	}
	return Told
}

func (b *builder) customer(i int) {
	r := &b.p.Records[i]
	next := b.clock()
	last := 3
	if r.Coming == Fetched {
		last = 1
	}
	for rank := 1; rank <= last; rank++ {
		r.Truth = b.p.state(i, rank, "")
		fields := append(r.Truth.address(), Field{"Name", r.Truth.Name}, Field{"Phone", r.Truth.Phone}, Field{"rtms__TMS_Type__c", "Customer"})
		r.Edits = append(r.Edits, Edit{Record: i, Rank: rank, Stamp: next(), Fields: fields})
	}
}

// load is billed to a customer, and then perhaps to another. One that is not
// told of has the customers that nobody is told of.
func (b *builder) load(i int, customers []int) {
	r := &b.p.Records[i]
	if r.Coming == Never {
		return
	}
	choose := func() int {
		fit := slices.DeleteFunc(slices.Clone(customers), func(c int) bool {
			return (b.p.Records[c].Coming == Fetched) != (r.Coming == Fetched)
		})
		if len(fit) == 0 {
			fit = customers
		}
		return fit[b.rng.IntN(len(fit))]
	}
	next := b.clock()
	last := 1
	if r.Coming != Fetched && b.chance(rebilledShare) {
		last = 2
	}
	for rank := 1; rank <= last; rank++ {
		customer := choose()
		r.Truth.BillTo = b.p.billTo(customer)
		id := b.p.Records[customer].ID
		r.Edits = append(r.Edits, Edit{Record: i, Rank: rank, Stamp: next(), Fields: []Field{
			{"Name", fmt.Sprintf("L-%06d", i)}, {"rtms__Bill_To__c", id}, {"rtms__Customer__c", id}, {"rtms__Load_Status__c", "Delivered"},
		}})
	}
}

// billTo names a customer whatever its state.
func (p *Plan) billTo(customer int) string {
	name, _, _ := strings.Cut(p.state(customer, 0, "").Name, " r0")
	return name
}

func (b *builder) invoice(i int) {
	r := &b.p.Records[i]
	next := b.clock()
	r.Partial = b.chance(b.size.PartialShare)
	last := 3
	if r.Partial {
		last = 9
	}
	var fuel, extra int
	for rank := 1; rank <= last; rank++ {
		if !r.Partial || rank == 1 || rank%2 == 0 {
			fuel = 100*rank + 25
		}
		if !r.Partial || rank == 1 || rank%2 == 1 {
			extra = 100*rank + 50
		}
		total := invoiceTotal(i, rank)
		net := total - fuel - extra
		fields := []Field{{"Name", b.p.invoiceNumber(i)}}
		if !r.Partial || rank == 1 || rank%2 == 1 {
			fields = append(fields, Field{"rtms__Accessorial_Charges__c", cents(extra)})
		}
		if !r.Partial || rank == 1 || rank%2 == 0 {
			fields = append(fields, Field{"rtms__Fuel_Surcharge__c", cents(fuel)})
		}
		if !r.Partial || rank == 1 {
			fields = append(fields, Field{"rtms__Invoice_Date__c", "2026-03-01"}, Field{"rtms__Invoice_Status__c", "Approved"}, Field{"rtms__Load__c", b.p.Records[r.Parent].ID})
		}
		fields = append(fields, Field{"rtms__Invoice_Total__c", cents(total)}, Field{"rtms__Net_Line_Haul__c", cents(net)})
		slices.SortFunc(fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
		r.Edits = append(r.Edits, Edit{Record: i, Rank: rank, Stamp: next(), Fields: fields})
		r.Truth = State{Number: b.p.invoiceNumber(i), Total: cents(total), Lines: amounts(net, fuel, extra), BillTo: b.p.Records[r.Parent].Truth.BillTo}
	}
	if !b.p.Orphan(r) && b.chance(b.size.DeleteShare) {
		r.Edits = append(r.Edits, Edit{Record: i, Rank: last + 1, Stamp: next(), Deleted: true})
		r.Truth.Deleted = true
	}
}

func (p *Plan) invoiceNumber(record int) string {
	return fmt.Sprintf("%s-I%06d", p.Tenants[p.Records[record].Tenant].ID, record)
}

// invoiceTotal, in cents, tells the record and the rank.
func invoiceTotal(record, rank int) int { return ((record+1)*100 + rank) * 100 }

// ParseTotal reads a total that invoiceTotal made.
func ParseTotal(s string) (record, rank int, ok bool) {
	f, err := strconv.ParseFloat(s, 64)
	n := int(f)
	if err != nil || float64(n) != f || n < 100 || n%100 == 0 {
		return 0, 0, false
	}
	return n/100 - 1, n % 100, true
}

func cents(n int) string { return fmt.Sprintf("%d.%02d", n/100, n%100) }

// amounts are lines in an order that says nothing.
func amounts(lines ...int) string {
	slices.Sort(lines)
	out := make([]string, len(lines))
	for i, n := range lines {
		out[i] = cents(n)
	}
	return strings.Join(out, " + ")
}
