package salesforce

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fluxnex/fluxnex/sandbox/call"
	"github.com/fluxnex/fluxnex/sandbox/limit"
	"github.com/fluxnex/fluxnex/sandbox/oauth"
)

// Org is a seeded organisation.
type Org struct {
	ID     string        `json:"id"` // 15 or 18 characters
	Name   string        `json:"name"`
	Tenant string        `json:"tenant"`
	Grants []oauth.Grant `json:"grants"`
	// PublicKey is the PEM of the certificate or key that signs JWT bearer
	// assertions; "" refuses them.
	PublicKey string `json:"public_key,omitempty"`
	// DailyLimit is the number of calls a day; 101,000 if 0.
	DailyLimit int `json:"daily_limit,omitempty"`
}

// record is one version of a record; it never changes.
type record struct {
	id      string
	sobject string
	fields  map[string]any // Id, IsDeleted and the system times included
	stamp   time.Time
	deleted bool
	prev    *record
}

func (r *record) text(field string) string {
	s, _ := r.fields[field].(string)
	return s
}

// org is one organisation's data under one lock.
type org struct {
	Org
	mu sync.RWMutex
	// records by lower-case sObject name, then 18-character id.
	records map[string]map[string]*record
	names   map[string]string          // lower-case sObject name → as written
	layouts map[string]map[string]bool // declared fields, if any
	cursors map[string]*cursor
	day     *limit.Day
}

type cursor struct {
	rows  []map[string]any
	total int
	batch int
	until time.Time
}

// known are the sObjects that exist before a record of theirs does.
func known() []string {
	return []string{
		"Account", "Contact", "Opportunity", "Lead", "User", "rtms__Load__c", "rtms__CustomerInvoice__c", "rtms__CarrierInvoice__c", "rtms__TransportationProfile__c",
		"rtms__CustomerInvoiceAccessorial__c", "rtms__CarrierInvoiceAccessorial__c", "rtms__CustomerInvoiceAdjustment__c", "rtms__CarrierInvoiceAdjustment__c",
		"rtms__CustomerInvoiceTax__c", "rtms__CustomerPayment__c", "rtms__CarrierPayment__c", "rtms__Stop__c",
	}
}

// system are the fields that every record has.
func system() []string {
	return []string{"Id", "IsDeleted", "CreatedDate", "LastModifiedDate", "SystemModstamp"}
}

func newOrg(s Org) *org {
	if s.DailyLimit == 0 {
		s.DailyLimit = 101_000
	}
	o := &org{
		Org: s, records: map[string]map[string]*record{}, names: map[string]string{}, layouts: map[string]map[string]bool{}, cursors: map[string]*cursor{},
		day: limit.NewDay(s.DailyLimit, time.UTC),
	}
	for _, n := range known() {
		o.names[strings.ToLower(n)] = n
	}
	return o
}

func (o *org) find(sobject, id string) *record { return o.records[strings.ToLower(sobject)][ID18(id)] }

// put makes r the version of its id; the caller holds the lock.
func (o *org) put(r *record) {
	low := strings.ToLower(r.sobject)
	if o.names[low] == "" {
		o.names[low] = r.sobject
	}
	if o.records[low] == nil {
		o.records[low] = map[string]*record{}
	}
	if old := o.records[low][r.id]; old != nil {
		r.prev = old
		old.prev = nil
	}
	o.records[low][r.id] = r
}

// outboundTime is how times are written in messages; REST writes another form.
func outboundTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func restTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000-0700") }

func parseTime(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999-0700"} {
		if len(s) >= len("2006-01-02T15:04:05Z") {
			if t, err := time.Parse(layout, s); err == nil {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// restValue writes a stored value as REST does: times as +0000 without a colon.
func restValue(v any) any {
	if s, ok := v.(string); ok {
		if t, ok := parseTime(s); ok {
			return restTime(t)
		}
	}
	return v
}

// Put creates or changes a record: the fields given, the others stay.
// SystemModstamp and LastModifiedDate are the clock's unless given.
func (a *App) Put(c *call.Call, account, sobject, id string, fields map[string]any) (json.RawMessage, error) {
	o, full := a.orgs[ID18(account)], ID18(id)
	if o == nil {
		return nil, fmt.Errorf("salesforce/%s: %w", account, call.ErrNone)
	}
	if full == "" {
		return nil, fmt.Errorf("id %q: want 15 characters, or 18 with their checksum", id)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	old := o.find(sobject, full)
	next := map[string]any{}
	if old != nil {
		next = maps.Clone(old.fields)
	}
	maps.Copy(next, fields)
	now := outboundTime(c.Now.Truncate(time.Second)) // Salesforce keeps whole seconds
	next["Id"], next["IsDeleted"] = full, false
	if old == nil && fields["CreatedDate"] == nil {
		next["CreatedDate"] = now
	}
	for _, pair := range [][2]string{{"SystemModstamp", "LastModifiedDate"}, {"LastModifiedDate", "SystemModstamp"}} {
		if fields[pair[0]] != nil {
			continue
		}
		if next[pair[0]] = now; fields[pair[1]] != nil {
			next[pair[0]] = fields[pair[1]]
		}
	}
	r := &record{id: full, sobject: sobject, fields: next}
	if r.stamp = stampOf(next); r.stamp.IsZero() {
		return nil, fmt.Errorf("SystemModstamp %v: want a time such as 2026-05-09T03:04:32.000Z", next["SystemModstamp"])
	}
	o.store(c, r, old)
	return call.Marshal(r.fields), nil
}

func stampOf(fields map[string]any) time.Time {
	s, _ := fields["SystemModstamp"].(string)
	t, _ := parseTime(s)
	return t
}

// store puts a version and writes it through; the caller holds the lock.
func (o *org) store(c *call.Call, r, old *record) {
	before := ""
	if old != nil {
		before = old.text("SystemModstamp")
	}
	o.put(r)
	c.Save("salesforce/record/"+o.ID+"/"+r.sobject+"/"+r.id, r.fields)
	c.Applied(&c.Line, r.id, before, r.text("SystemModstamp"))
	c.Marker(&c.Line, r.fields)
}

// Delete puts a record into the recycle bin; master is the winner of a merge.
func (a *App) Delete(c *call.Call, account, sobject, id, master string) error {
	o := a.orgs[ID18(account)]
	if o == nil {
		return fmt.Errorf("salesforce/%s: %w", account, call.ErrNone)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.remove(c, sobject, id, master)
}

func (o *org) remove(c *call.Call, sobject, id, master string) error {
	old := o.find(sobject, id)
	if old == nil || old.deleted {
		return fmt.Errorf("salesforce/%s/%s/%s: %w", o.ID, sobject, id, call.ErrNone)
	}
	next := maps.Clone(old.fields)
	now := c.Now.Truncate(time.Second)
	next["IsDeleted"], next["SystemModstamp"], next["LastModifiedDate"] = true, outboundTime(now), outboundTime(now)
	if master != "" {
		next["MasterRecordId"] = master
	}
	o.store(c, &record{id: old.id, sobject: old.sobject, fields: next, stamp: now, deleted: true}, old)
	return nil
}

// Merge deletes the losers in favour of the winner. Like Salesforce it tells nobody.
func (a *App) Merge(c *call.Call, account, sobject, winner string, losers []string) error {
	o := a.orgs[ID18(account)]
	if o == nil {
		return fmt.Errorf("salesforce/%s: %w", account, call.ErrNone)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	won := o.find(sobject, winner)
	if won == nil || won.deleted {
		return fmt.Errorf("salesforce/%s/%s/%s: %w", account, sobject, winner, call.ErrNone)
	}
	for _, l := range losers {
		if o.find(sobject, l) == nil {
			return fmt.Errorf("salesforce/%s/%s/%s: %w", account, sobject, l, call.ErrNone)
		}
	}
	for _, l := range losers {
		if err := o.remove(c, sobject, l, won.id); err != nil {
			return err
		}
	}
	next := maps.Clone(won.fields)
	now := c.Now.Truncate(time.Second)
	next["SystemModstamp"], next["LastModifiedDate"] = outboundTime(now), outboundTime(now)
	o.store(c, &record{id: won.id, sobject: won.sobject, fields: next, stamp: now}, won)
	c.Line.IDs = append([]string{won.id}, losers...)
	return nil
}

// Layout declares the fields of an sObject. From then on asking for another
// one is INVALID_FIELD; before, unknown fields are null.
func (a *App) Layout(c *call.Call, account, sobject string, fields []string) error {
	o := a.orgs[ID18(account)]
	if o == nil {
		return fmt.Errorf("salesforce/%s: %w", account, call.ErrNone)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.declare(sobject, fields)
	c.Save("salesforce/layout/"+o.ID+"/"+sobject, fields)
	return nil
}

func (o *org) declare(sobject string, fields []string) {
	low := strings.ToLower(sobject)
	layout := map[string]bool{}
	for _, f := range slices.Concat(fields, system(), []string{"MasterRecordId"}) {
		layout[strings.ToLower(f)] = true
	}
	if o.names[low] == "" {
		o.names[low] = sobject
	}
	o.layouts[low] = layout
}
