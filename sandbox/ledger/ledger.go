package ledger

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Entry is one line. Applied and Replied are independent: a reset after the
// change is applied and not replied, a refused call replied and not applied.
type Entry struct {
	// Seq follows the order in which changes were applied: for one object,
	// greater Seq means greater version.
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	Tenant  string    `json:"tenant,omitempty"`
	App     string    `json:"app"`
	Account string    `json:"account,omitempty"`
	Object  string    `json:"object,omitempty"`
	ID      string    `json:"id,omitempty"`
	// IDs are what a call for many objects asked for.
	IDs    []string `json:"ids,omitempty"`
	Op     string   `json:"op,omitempty"`
	Method string   `json:"method"`
	Path   string   `json:"path"`
	// RequestID is QuickBooks' requestid or HubSpot's objectWriteTraceId.
	RequestID string `json:"request_id,omitempty"`
	// Before and After are QuickBooks' SyncToken, HubSpot's count of changes,
	// Salesforce's SystemModstamp. Before is empty for a create.
	Before  string `json:"version_before,omitempty"`
	After   string `json:"version_after,omitempty"`
	Applied bool   `json:"applied"`
	// Replayed: the answer came from the memory of request ids.
	Replayed bool   `json:"replayed,omitempty"`
	Replied  bool   `json:"replied"`
	Status   int    `json:"status"`
	Code     string `json:"code,omitempty"`
	// Digest is the SHA-256 of the request body, first 16 hex digits.
	Digest string `json:"digest,omitempty"`
	Marker string `json:"marker,omitempty"`
	// Connection is the caller's end of the TCP connection.
	Connection string `json:"connection,omitempty"`
	Client     string `json:"client,omitempty"`
	// Fault is the id of the rule that hit this call.
	Fault string `json:"fault,omitempty"`
	// PartOf is the Seq of the batch call that this line belongs to.
	PartOf uint64 `json:"part_of,omitempty"`
}

// Filter selects lines; a zero field selects all.
type Filter struct {
	Since, PartOf                                                                uint64
	Tenant, App, Account, Object, ID, Op, Method, RequestID, Marker, Code, Fault string
	Applied, Replied                                                             *bool
	Limit                                                                        int
}

func (f Filter) holds(e *Entry) bool {
	text := func(want, got string) bool { return want == "" || want == got }
	return e.Seq > f.Since && (f.PartOf == 0 || f.PartOf == e.PartOf) &&
		text(f.Tenant, e.Tenant) && text(f.App, e.App) && text(f.Account, e.Account) &&
		text(f.Object, e.Object) && text(f.ID, e.ID) && text(f.Op, e.Op) && text(f.Method, e.Method) &&
		text(f.RequestID, e.RequestID) && text(f.Marker, e.Marker) && text(f.Code, e.Code) && text(f.Fault, e.Fault) &&
		(f.Applied == nil || *f.Applied == e.Applied) && (f.Replied == nil || *f.Replied == e.Replied)
}

// Ledger holds the lines in memory. Its zero value is empty and ready.
type Ledger struct {
	seq     atomic.Uint64
	mu      sync.RWMutex
	entries []Entry
}

// Next hands out a sequence number. Whoever applies a change takes it while
// the object is locked, so that numbers and versions agree.
func (l *Ledger) Next() uint64 { return l.seq.Add(1) }

// Append adds settled lines. They may come slightly out of order; readers sort.
func (l *Ledger) Append(entries ...Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, entries...)
}

// Restore replaces the lines with those of an earlier process and goes on
// numbering after them.
func (l *Ledger) Restore(entries []Entry, last uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = entries
	for i := range entries {
		last = max(last, entries[i].Seq)
	}
	l.seq.Store(last)
}

// Clear drops all lines; numbering goes on.
func (l *Ledger) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = nil
}

// Select returns the matching lines by Seq.
func (l *Ledger) Select(f Filter) []Entry {
	l.mu.RLock()
	var out []Entry
	for i := range l.entries {
		if f.holds(&l.entries[i]) {
			out = append(out, l.entries[i])
		}
	}
	l.mu.RUnlock()
	slices.SortFunc(out, func(a, b Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	if f.Limit > 0 && len(out) > f.Limit {
		out = out[:f.Limit]
	}
	return out
}

// Len is the number of lines held.
func (l *Ledger) Len() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.entries)
}
