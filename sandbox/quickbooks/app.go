package quickbooks

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/sandbox/call"
	"github.com/fluxnex/fluxnex/sandbox/ledger"
	"github.com/fluxnex/fluxnex/sandbox/limit"
	"github.com/fluxnex/fluxnex/sandbox/oauth"
)

// App is the API of all seeded companies.
type App struct {
	realms   map[string]*realm
	entities map[string]*entity // by path
	grants   *oauth.Registry
	mode     *limit.Switch

	second  *limit.Set // per realm and client
	minute  *limit.Set // per realm
	batches *limit.Set
	custom  limit.PerSecond
}

// New makes the API; [App.Restore] and then [App.Seed] follow.
func New(companies []Company, clock func() time.Time, mode *limit.Switch, policy oauth.Policy) *App {
	a := &App{
		realms: map[string]*realm{}, entities: entities(), mode: mode,
		grants: oauth.New("quickbooks", policy, clock),
		second: limit.NewSet(10, time.Second), minute: limit.NewSet(500, time.Minute), batches: limit.NewSet(40, time.Minute),
	}
	for _, c := range companies {
		a.realms[c.Realm] = newRealm(c)
	}
	return a
}

// Seed adds what no earlier process left.
func (a *App) Seed(now time.Time) error {
	for _, r := range a.realms {
		for _, g := range r.Grants {
			g.Account = r.Realm
			a.grants.Add(g)
		}
		if len(r.tables["Account"].byID) > 0 {
			continue
		}
		if err := r.seed(now); err != nil {
			return err
		}
	}
	return nil
}

// Name is "quickbooks".
func (a *App) Name() string { return "quickbooks" }

// Grants are the tokens of all companies.
func (a *App) Grants() *oauth.Registry { return a.grants }

const tokenPath = "/oauth2/v1/tokens/bearer" //nolint:gosec // a path

// Describe reads realm, entity, id and operation from the address.
func (a *App) Describe(r *http.Request) call.Target {
	if r.URL.Path == tokenPath {
		client, _, _ := r.BasicAuth()
		return call.Target{Object: "token", Op: "refresh", Client: client}
	}
	var t call.Target
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v3/company/"), "/")
	t.Account = parts[0]
	if realm := a.realms[t.Account]; realm != nil {
		t.Tenant = realm.Tenant
	}
	q := r.URL.Query()
	t.RequestID = q.Get("requestid")
	if len(parts) > 1 {
		t.Object = parts[1]
		if e := a.entities[strings.ToLower(parts[1])]; e != nil {
			t.Object = e.name
		}
	}
	if len(parts) > 2 {
		t.ID = parts[2]
	}
	switch {
	case t.Object == "query", t.Object == "batch", t.Object == "cdc":
		t.Op = t.Object
	case r.Method == http.MethodGet:
		t.Op = "read"
	case q.Get("operation") != "":
		t.Op = q.Get("operation")
	default:
		t.Op = "write" // create or update: the body tells
	}
	if g, err := a.grants.Lookup(call.Bearer(r)); err == nil {
		t.Client = g.ClientID
	}
	return t
}

// Unauthorized is QuickBooks' 401.
func (a *App) Unauthorized(c *call.Call) { tid(c); unauthorized(c, "Token revoked") }

// RateLimited is QuickBooks' 429.
func (a *App) RateLimited(c *call.Call, _ string, _ int) { tid(c); throttled(c) }

// StaleWrite is the refusal of an old SyncToken.
func (a *App) StaleWrite(c *call.Call) { tid(c); refuse(c, staleObject("Sandbox Bookkeeper")) }

// Fault200 is a Fault that arrives with 200.
func (a *App) Fault200(c *call.Call) {
	tid(c)
	c.Refuse(http.StatusOK, "6000", map[string]any{"Fault": validation([]fault{business("Please wait a few minutes and try again.")}), "time": stamp(c.Now)})
}

// Serve answers a call.
func (a *App) Serve(c *call.Call) {
	tid(c)
	if c.Request.URL.Path == tokenPath {
		a.token(c)
		return
	}
	r := a.realms[c.Line.Account]
	access, err := a.grants.Lookup(call.Bearer(c.Request))
	switch {
	case err != nil:
		unauthorized(c, "Token invalid")
		return
	case !access.Expired.IsZero():
		unauthorized(c, "Token expired")
		return
	case r == nil || access.Account != r.Realm:
		forbidden(c)
		return
	}
	if !a.admit(c, r.Realm, access.ClientID) {
		throttled(c)
		return
	}
	parts := strings.Split(strings.Trim(c.Request.URL.Path, "/"), "/")[3:]
	a.route(c, r, parts)
}

func (a *App) admit(c *call.Call, realm, client string) bool {
	mode := a.mode.Get()
	switch {
	case mode.Off:
		return true
	case mode.PerSecond > 0:
		_, ok := a.custom.Take(realm, mode.PerSecond, c.Now)
		return ok
	}
	if _, _, ok := a.second.Of(realm + "/" + client).Take(c.Now); !ok {
		return false
	}
	if _, _, ok := a.minute.Of(realm).Take(c.Now); !ok {
		return false
	}
	if c.Line.Op == "batch" {
		_, _, ok := a.batches.Of(realm + "/" + client).Take(c.Now)
		return ok
	}
	return true
}

func (a *App) route(c *call.Call, r *realm, parts []string) {
	post := c.Request.Method == http.MethodPost
	if len(parts) == 0 {
		refuse(c, unsupported("company"))
		return
	}
	q := c.Request.URL.Query()
	switch head := strings.ToLower(parts[0]); {
	case head == "query":
		text := q.Get("query")
		if post && text == "" {
			text = string(c.Body)
		}
		body, f := r.query(a.entities, text, c.Stale)
		if f != nil {
			refuse(c, *f)
			return
		}
		c.Reply(http.StatusOK, map[string]any{"QueryResponse": body, "time": stamp(c.Now)})
	case head == "batch" && post:
		a.batch(c, r)
	case head == "cdc":
		a.changes(c, r)
	case head == "companyinfo":
		c.Reply(http.StatusOK, map[string]any{"CompanyInfo": map[string]any{
			"Id": "1", "SyncToken": "0", "domain": "QBO", "sparse": false,
			"CompanyName": r.Name, "LegalName": r.Name, "Country": "US",
		}, "time": stamp(c.Now)})
	case a.entities[head] == nil:
		refuse(c, unsupported(parts[0]))
	case len(parts) == 2 && !post:
		a.read(c, r, a.entities[head], parts[1])
	case len(parts) == 1 && post:
		a.write(c, r, a.entities[head])
	default:
		refuse(c, unsupported(c.Request.Method+" "+parts[0]))
	}
}

func (a *App) read(c *call.Call, r *realm, e *entity, id string) {
	r.mu.RLock()
	o := r.find(e.name, id)
	r.mu.RUnlock()
	if o == nil || o.deleted {
		refuse(c, notFound())
		return
	}
	o = r.seen(o, c.Stale)
	c.Marker(&c.Line, o.fields)
	c.Line.After = strconv.Itoa(o.token)
	c.Reply(http.StatusOK, map[string]any{e.name: o.raw, "time": stamp(c.Now)})
}

// seen is the version a reader gets.
func (r *realm) seen(o *object, stale bool) *object {
	if !stale {
		return o
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if o.prev != nil {
		return o.prev
	}
	return o
}

func (a *App) write(c *call.Call, r *realm, e *entity) {
	var body map[string]any
	if err := call.Decode(c.Body, &body); err != nil || body == nil {
		refuse(c, malformed("Unexpected end or character of the JSON body"))
		return
	}
	if len(c.Line.RequestID) > 50 {
		refuse(c, tooLong("requestid", 50, len(c.Line.RequestID)))
		return
	}
	res := a.apply(c, &c.Line, r, e, c.Request.URL.Query().Get("operation"), body, c.Line.RequestID)
	if res.faults != nil {
		refuse(c, res.faults...)
		return
	}
	c.Reply(http.StatusOK, map[string]any{e.name: res.body, "time": stamp(c.Now)})
}

type result struct {
	faults []fault
	body   json.RawMessage
}

// apply does one write, of a call or of a batch item. Looking up the request
// id, checking the SyncToken, and the change are one step under the lock.
func (a *App) apply(c *call.Call, line *ledger.Entry, r *realm, e *entity, operation string, body map[string]any, request string) result {
	c.Marker(line, body)
	id, _ := body["Id"].(string)
	line.ID = id
	if operation == "" {
		operation = "create"
		if id != "" {
			operation = "update"
		}
	}
	line.Op = operation
	faults := e.validate(body)

	r.mu.Lock()
	defer r.mu.Unlock()
	if a, ok := r.requests[request]; ok && request != "" {
		line.Replayed, line.ID, line.After = true, a.ID, a.After
		return result{body: a.Body}
	}
	if faults != nil {
		return result{faults: faults}
	}
	old, faults := r.current(e, operation, id, body)
	if faults != nil {
		return result{faults: faults}
	}
	var next *object
	var answered json.RawMessage
	switch operation {
	case "create":
		next, faults = r.create(e, body, c.Now)
	case "update":
		if e.name == payment {
			return result{faults: []fault{unsupported("update of " + e.name)}}
		}
		next, faults = r.update(old, body, c.Now)
	case "delete":
		if e.list() {
			return result{faults: []fault{unsupported("delete of " + e.name)}}
		}
		faults = r.closed(old.fields, nil)
		next = &object{kind: e, id: old.id, token: old.token + 1, fields: old.fields, raw: old.raw, updated: c.Now, deleted: true}
		answered = call.Marshal(map[string]any{"status": "Deleted", "domain": "QBO", "Id": old.id})
	case "void":
		if !e.voidable {
			return result{faults: []fault{unsupported("void of " + e.name)}}
		}
		if faults = r.closed(old.fields, nil); faults == nil {
			next = r.void(old, c.Now)
		}
	default:
		return result{faults: []fault{unsupported(operation)}}
	}
	if faults != nil {
		return result{faults: faults}
	}
	before := ""
	if old != nil {
		before = strconv.Itoa(old.token)
	}
	r.put(next)
	if answered == nil {
		answered = next.raw
	}
	after := strconv.Itoa(next.token)
	c.Applied(line, next.id, before, after)
	c.Marker(line, next.fields)
	c.Save(r.key(next), next.saved())
	if e.name == payment {
		r.rebalance(c, next)
	}
	r.remember(c, request, answer{Status: http.StatusOK, Body: answered, ID: next.id, After: after})
	return result{body: answered}
}

// current finds the version that an operation works on and checks the token.
func (r *realm) current(e *entity, operation, id string, body map[string]any) (*object, []fault) {
	if operation == "create" {
		return nil, nil
	}
	if id == "" {
		return nil, []fault{missing("Id")}
	}
	if _, err := strconv.Atoi(id); err != nil {
		return nil, []fault{badID("Id", id)}
	}
	token, ok := body["SyncToken"].(string)
	if !ok {
		return nil, []fault{missing("SyncToken")}
	}
	old := r.find(e.name, id)
	if old == nil || old.deleted {
		return nil, []fault{notFound()}
	}
	if token != strconv.Itoa(old.token) {
		return nil, []fault{staleObject("Sandbox Bookkeeper")}
	}
	return old, nil
}
