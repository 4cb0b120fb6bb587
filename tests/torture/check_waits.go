package torture

import (
	"fmt"
	"strings"
	"time"
)

// The ways in which waiting can go wrong (I6).
const (
	StillWaiting Kind = "still waiting"                 // nothing waits for ever
	Silent       Kind = "failed in silence"             // nobody was told
	ToldTwice    Kind = "told twice"                    // one problem, two notifications
	FalseAlarm   Kind = "told of a record that is well" // a notification that did not close
)

// Waiting is one row of `fluxnex waiting -o json`.
type Waiting struct {
	Tenant   string    `json:"tenant"`
	RecordID string    `json:"record_id"`
	Layer    string    `json:"layer"`
	WaitsFor string    `json:"waits_for"`
	Since    time.Time `json:"since"`
	Code     string    `json:"code"`
	Why      string    `json:"why"`
}

// Notice is a notification: a row of `fluxnex notifications -o json`, or a
// message of the topic.
type Notice struct {
	Tenant      string    `json:"tenant"`
	RecordID    string    `json:"record_id"`
	Audience    string    `json:"audience"`
	Stage       string    `json:"stage"`
	Class       string    `json:"class"`
	Code        string    `json:"code"`
	Target      string    `json:"target"`
	Object      string    `json:"object"`
	Message     string    `json:"message"`
	Fingerprint string    `json:"fingerprint"`
	Resolved    time.Time `json:"resolved,omitzero"`
	// Of the topic alone: the gateway offset that caused it, and when it was made.
	Offset int64     `json:"-"`
	At     time.Time `json:"-"`
}

func (n *Notice) String() string {
	state := "open"
	switch {
	case !n.At.IsZero():
		state = "told " + n.At.Format("15:04:05.000")
	case !n.Resolved.IsZero():
		state = "closed " + n.Resolved.Format("15:04:05.000")
	}
	return fmt.Sprintf("notification of %s for %s: %s %s %s %s %q", n.Stage, n.Audience, state, n.Code, n.Target, n.Object, n.Message)
}

// Desk is what people see.
type Desk struct {
	Waiting []Waiting
	Notices []Notice // those that are open
	// Told are the messages of the notification topic, without those that only
	// close others.
	Told []Notice
	// Revoked are the connections whose credentials were made invalid (I12).
	Revoked []Revocation
}

// Revocation is one credential's end.
type Revocation struct {
	Tenant string
	Target string
	At     time.Time
}

// problem is what may be told once.
type problem struct {
	tenant, record, stage, target, fingerprint string
	offset                                     int64
}

// waits judges I6 and I12.
func (c *checker) waits() {
	desk := c.ev.Desk
	if desk == nil {
		return
	}
	byID := map[string]int{}
	for i := range c.ev.Plan.Records {
		r := &c.ev.Plan.Records[i]
		byID[c.ev.Plan.Tenants[r.Tenant].ID+"/revenova:"+r.ID] = i
	}
	at := func(tenant, id string) (key, bool) {
		i, ok := byID[tenant+"/"+id]
		return key{"quickbooks", i}, ok
	}
	c.stillWaiting(desk, at)
	open := map[int][]*Notice{}
	for i := range desk.Notices {
		n := &desk.Notices[i]
		k, ours := at(n.Tenant, n.RecordID)
		if !ours || !n.Resolved.IsZero() || n.Audience != "customer" {
			continue
		}
		open[k.record] = append(open[k.record], n)
		if r := &c.ev.Plan.Records[k.record]; !c.ev.Plan.Orphan(r) {
			c.fail(FalseAlarm, k, n.String())
		}
	}
	for i := range c.ev.Plan.Records {
		if c.acked[i] == 0 || !c.ev.Plan.Orphan(&c.ev.Plan.Records[i]) {
			continue
		}
		c.report.Orphans++
		switch k := (key{"quickbooks", i}); {
		case len(open[i]) == 0:
			c.fail(Silent, k, "it can never arrive, and no notification is open")
		case len(open[i]) > 1:
			c.fail(ToldTwice, k, fmt.Sprintf("%s; %s", open[i][0], open[i][1]))
		}
	}
	c.toldOnce(desk, at)
	c.credentials(desk)
	if len(c.children) > 0 && c.report.Orphans == 0 {
		c.nothing("I6", "no invoice of the load can never arrive")
	}
	if len(desk.Told) == 0 && c.report.Orphans > 0 {
		c.nothing("I6", "the notification topic is empty")
	}
}

func (c *checker) stillWaiting(desk *Desk, at func(tenant, id string) (key, bool)) {
	for _, w := range desk.Waiting {
		what := fmt.Sprintf("%s %s waits in %s for %s since %s: %s %s", w.Tenant, w.RecordID, w.Layer, w.WaitsFor, w.Since.Format("15:04:05"), w.Code, w.Why)
		k, ours := at(w.Tenant, w.RecordID)
		if !ours {
			k = key{}
		}
		c.fail(StillWaiting, k, what)
	}
}

// toldOnce: a stage tells of one state of one record in the transaction that
// makes it, so it can tell only once.
func (c *checker) toldOnce(desk *Desk, at func(tenant, id string) (key, bool)) {
	told := map[problem]*Notice{}
	for i := range desk.Told {
		n := &desk.Told[i]
		if n.Stage != "normalizer" && n.Stage != "router" {
			continue // the others publish what their database holds, perhaps again
		}
		p := problem{n.Tenant, n.RecordID, n.Stage, n.Target + "/" + n.Object, n.Fingerprint, n.Offset}
		if first := told[p]; first != nil {
			k, ours := at(n.Tenant, n.RecordID)
			if !ours {
				k = key{}
			}
			c.fail(ToldTwice, k, fmt.Sprintf("gateway offset %d, at %s and at %s: %s", n.Offset, first.At.Format("15:04:05.000"), n.At.Format("15:04:05.000"), n))
			continue
		}
		told[p] = n
	}
	c.report.Told = len(told)
}

// The ways in which a dead credential can be told of wrongly (I12).
const (
	DeadSilent Kind = "dead credential, nobody told"
	DeadTwice  Kind = "dead credential told twice"
	DeadFalse  Kind = "credential told of as dead that is not"
)

// credentials judges I12: one notification for each credential that died.
func (c *checker) credentials(desk *Desk) {
	type connection struct{ tenant, target string }
	revoked, told := map[connection]int{}, map[connection][]string{}
	for _, r := range desk.Revoked {
		revoked[connection{r.Tenant, r.Target}]++
	}
	seen := map[string]bool{}
	for i := range desk.Told {
		n := &desk.Told[i]
		// Published again it is the same message, from the same moment.
		once := strings.Join([]string{n.Tenant, n.Target, n.Code, n.Fingerprint, n.At.String()}, "|")
		if n.RecordID != "" || n.Class != "auth" || seen[once] {
			continue
		}
		seen[once] = true
		of := connection{n.Tenant, n.Target}
		told[of] = append(told[of], fmt.Sprintf("%s %s %q", n.At.Format("15:04:05.000"), n.Code, n.Message))
	}
	for of, times := range revoked {
		switch n := len(told[of]); {
		case n < times:
			c.fail(DeadSilent, key{}, fmt.Sprintf("%s %s: revoked %d times, told %d times: %v", of.tenant, of.target, times, n, told[of]))
		case n > times:
			c.fail(DeadTwice, key{}, fmt.Sprintf("%s %s: revoked %d times, told %d times: %v", of.tenant, of.target, times, n, told[of]))
		}
	}
	for of, messages := range told {
		if revoked[of] == 0 {
			c.fail(DeadFalse, key{}, fmt.Sprintf("%s %s: %v", of.tenant, of.target, messages))
		}
	}
	c.report.Revoked = len(desk.Revoked)
}
