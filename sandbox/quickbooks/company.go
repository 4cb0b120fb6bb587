package quickbooks

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fluxnex/fluxnex/sandbox/call"
	"github.com/fluxnex/fluxnex/sandbox/oauth"
)

// Company is a seeded company. Its zero preferences are those of a new US company.
type Company struct {
	Realm       string        `json:"realm"`
	Name        string        `json:"name"`
	Tenant      string        `json:"tenant"`
	Grants      []oauth.Grant `json:"grants"`
	Preferences Preferences   `json:"preferences"`
	// Objects are put there beside the usual accounts, items and terms, by entity.
	Objects map[string][]map[string]any `json:"objects,omitempty"`
}

// Preferences are the company settings that change what is refused.
type Preferences struct {
	// HomeCurrency is "USD" unless given.
	HomeCurrency string `json:"home_currency,omitempty"`
	// Multicurrency allows another CurrencyRef.
	Multicurrency bool `json:"multicurrency,omitempty"`
	// WarnDuplicateDocNumber refuses a number used before (6140). Off, as in
	// QuickBooks by default, duplicates are accepted silently.
	WarnDuplicateDocNumber bool `json:"warn_duplicate_doc_number,omitempty"`
	// ClosedThrough refuses transactions up to that date (6210).
	ClosedThrough string `json:"closed_through,omitempty"`
	// DuplicateName says how 6240 words its Detail: "id" (default), "null", "text".
	DuplicateName string `json:"duplicate_name,omitempty"`
	// CustomTxnNumbers leaves transactions without a number, if none is given.
	CustomTxnNumbers bool `json:"custom_txn_numbers,omitempty"`
	// ForgetsRequestIDs makes a repeated write a second one, as it is at every API
	// without such a memory. How long QuickBooks' own lasts nobody has written down.
	ForgetsRequestIDs bool `json:"forgets_request_ids,omitempty"`
}

// object is one version of an object. It never changes: an update makes
// another one, so it can be read without a lock.
type object struct {
	kind    *entity
	id      string
	token   int
	fields  map[string]any
	raw     json.RawMessage
	updated time.Time
	deleted bool
	prev    *object // the version before, for reads that the script made stale
}

func (o *object) active() bool {
	a, ok := o.fields["Active"].(bool)
	return !ok || a
}

func (o *object) text(field string) string {
	s, _ := o.fields[field].(string)
	return s
}

type table struct {
	byID   map[string]*object
	lastID int
	number int // last automatic DocNumber
	docs   map[string]map[string]bool
}

// answer is what a request id remembers.
type answer struct {
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body"`
	ID     string          `json:"id"`
	After  string          `json:"after"`
}

// realm is one company's data under one lock. The lock is held for map look-ups,
// one merge and one encoding; decoding and checking happen outside.
type realm struct {
	Company
	mu       sync.RWMutex
	tables   map[string]*table // by entity name
	names    map[string]*object
	requests map[string]answer
	order    []string
	addrID   int
}

const requestsKept = 50_000

func newRealm(c Company) *realm {
	if c.Preferences.HomeCurrency == "" {
		c.Preferences.HomeCurrency = "USD"
	}
	r := &realm{Company: c, tables: map[string]*table{}, names: map[string]*object{}, requests: map[string]answer{}}
	for _, e := range entities() {
		r.tables[e.name] = &table{byID: map[string]*object{}, number: 1000, docs: map[string]map[string]bool{}}
	}
	return r
}

func nameKey(space, name string) string {
	return space + "/" + strings.ToLower(strings.Join(strings.Fields(name), " "))
}

func (r *realm) find(kind, id string) *object { return r.tables[kind].byID[id] }

// put makes o the version of its id; the caller holds the lock.
func (r *realm) put(o *object) {
	t := r.tables[o.kind.name]
	if old := t.byID[o.id]; old != nil {
		if o.kind.list() {
			if key := nameKey(o.kind.space, old.text(o.kind.nameField)); r.names[key] == old {
				delete(r.names, key)
			}
		}
		if ids := t.docs[old.text("DocNumber")]; ids != nil {
			delete(ids, o.id)
		}
		o.prev = old
		old.prev = nil // two versions are kept, no more
	}
	t.byID[o.id] = o
	if n, err := strconv.Atoi(o.id); err == nil && n > t.lastID {
		t.lastID = n
	}
	if o.deleted {
		return
	}
	if o.kind.list() {
		r.names[nameKey(o.kind.space, o.text(o.kind.nameField))] = o
	}
	if doc := o.text("DocNumber"); doc != "" {
		if t.docs[doc] == nil {
			t.docs[doc] = map[string]bool{}
		}
		t.docs[doc][o.id] = true
	}
}

func (r *realm) key(o *object) string {
	return "quickbooks/object/" + r.Realm + "/" + o.kind.path() + "/" + o.id
}

type saved struct {
	Token   int             `json:"token"`
	Raw     json.RawMessage `json:"raw"`
	Updated time.Time       `json:"updated"`
	Deleted bool            `json:"deleted,omitempty"`
}

func (o *object) saved() saved { return saved{o.token, o.raw, o.updated, o.deleted} }

// remember keeps the first answer of a request id; the caller holds the lock.
func (r *realm) remember(c *call.Call, id string, a answer) {
	if id == "" || r.Preferences.ForgetsRequestIDs {
		return
	}
	r.requests[id] = a
	r.order = append(r.order, id)
	if len(r.order) > requestsKept {
		delete(r.requests, r.order[0])
		r.order = r.order[1:]
	}
	c.Save("quickbooks/request/"+r.Realm+"/"+id, a)
}

// seed fills a company that has no objects yet.
func (r *realm) seed(now time.Time) error {
	usual := map[string][]map[string]any{
		"Account": {
			{"Name": "Services", "AccountType": "Income", "AccountSubType": "ServiceFeeIncome", "Classification": "Revenue"},
			{"Name": "Freight Income", "AccountType": "Income", "AccountSubType": "ServiceFeeIncome", "Classification": "Revenue"},
			{"Name": "Purchased Transportation", "AccountType": "Cost of Goods Sold", "AccountSubType": "OtherCostsOfServiceCos", "Classification": "Expense"},
			{"Name": "Freight Expense", "AccountType": "Expense", "AccountSubType": "OtherMiscellaneousServiceCost", "Classification": "Expense"},
			{"Name": "Accounts Payable (A/P)", "AccountType": "Accounts Payable", "AccountSubType": "AccountsPayable", "Classification": "Liability"},
			{"Name": "Accounts Receivable (A/R)", "AccountType": "Accounts Receivable", "AccountSubType": "AccountsReceivable", "Classification": "Asset"},
		},
		"Item": {
			{"Name": "Services", "Type": "Service", "IncomeAccountRef": map[string]any{"value": "1", "name": "Services"}},
			{"Name": "Freight", "Type": "Service", "IncomeAccountRef": map[string]any{"value": "2", "name": "Freight Income"}},
			{"Name": "Fuel Surcharge", "Type": "Service", "IncomeAccountRef": map[string]any{"value": "2", "name": "Freight Income"}},
			{"Name": "Accessorial", "Type": "Service", "IncomeAccountRef": map[string]any{"value": "2", "name": "Freight Income"}},
			{"Name": "Adjustment", "Type": "Service", "IncomeAccountRef": map[string]any{"value": "2", "name": "Freight Income"}},
		},
		"Term": {
			{"Name": "Due on receipt", "Type": "STANDARD", "DueDays": json.Number("0")},
			{"Name": "Net 15", "Type": "STANDARD", "DueDays": json.Number("15")},
			{"Name": "Net 30", "Type": "STANDARD", "DueDays": json.Number("30")},
			{"Name": "Net 60", "Type": "STANDARD", "DueDays": json.Number("60")},
		},
	}
	all := entities()
	for kind, objects := range r.Objects {
		if all[strings.ToLower(kind)] == nil {
			return fmt.Errorf("seed of company %s: no entity %q", r.Realm, kind)
		}
		usual[kind] = append(usual[kind], objects...)
	}
	for _, kind := range []string{"Account", "Term", "Item", "Employee", "Customer", "Vendor", "Invoice", "CreditMemo", "Bill", "VendorCredit"} {
		for _, fields := range usual[kind] {
			e := all[strings.ToLower(kind)]
			o, faults := r.create(e, maps.Clone(fields), now)
			if faults != nil {
				return fmt.Errorf("seed of company %s: %s %v: %s", r.Realm, kind, fields, faults[0].Detail)
			}
			r.put(o)
		}
	}
	return nil
}
