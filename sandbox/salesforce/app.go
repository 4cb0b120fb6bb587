package salesforce

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/sandbox/call"
	"github.com/fluxnex/fluxnex/sandbox/limit"
	"github.com/fluxnex/fluxnex/sandbox/oauth"
)

// App is the API of all seeded orgs.
type App struct {
	orgs   map[string]*org
	grants *oauth.Registry
	mode   *limit.Switch
	custom limit.PerSecond
	clock  func() time.Time
	data   *regexp.Regexp
}

// New makes the API.
func New(orgs []Org, clock func() time.Time, mode *limit.Switch, policy oauth.Policy) *App {
	a := &App{orgs: map[string]*org{}, grants: oauth.New("salesforce", policy, clock), mode: mode, clock: clock, data: regexp.MustCompile(`^/services/data/v\d+\.\d+/(.+)$`)}
	for _, o := range orgs {
		if full := ID18(o.ID); full != "" {
			o.ID = full
		}
		a.orgs[o.ID] = newOrg(o)
	}
	return a
}

// Seed adds the grants that no earlier process left.
func (a *App) Seed(time.Time) error {
	for _, o := range a.orgs {
		for _, g := range o.Grants {
			g.Account = o.ID
			a.grants.Add(g)
		}
	}
	return nil
}

// Name is "salesforce".
func (a *App) Name() string { return "salesforce" }

// Grants are the tokens of all orgs.
func (a *App) Grants() *oauth.Registry { return a.grants }

const tokenPath = "/services/oauth2/token" //nolint:gosec // a path

// path is what follows the version.
func (a *App) path(r *http.Request) []string {
	m := a.data.FindStringSubmatch(r.URL.Path)
	if m == nil {
		return nil
	}
	return strings.Split(strings.Trim(m[1], "/"), "/")
}

// Describe reads sObject, id and operation from the address, the org from the token.
func (a *App) Describe(r *http.Request) call.Target {
	if r.URL.Path == tokenPath {
		return call.Target{Object: "token", Op: "refresh"}
	}
	var t call.Target
	if g, err := a.grants.Lookup(call.Bearer(r)); err == nil {
		t.Account, t.Client = g.Account, g.ClientID
		if o := a.orgs[g.Account]; o != nil {
			t.Tenant = o.Tenant
		}
	}
	p := a.path(r)
	switch {
	case len(p) >= 2 && p[0] == "sobjects":
		t.Object, t.Op = p[1], "read"
		if len(p) > 2 {
			t.ID = p[2]
		}
		if t.ID == "updated" || t.ID == "deleted" {
			t.Op, t.ID = t.ID, ""
		}
	case len(p) == 3 && p[0] == "composite" && p[1] == "sobjects":
		t.Object, t.Op = p[2], "retrieve"
	case len(p) >= 1:
		t.Op = strings.ToLower(p[0])
	}
	return t
}

type problem struct {
	Message   string   `json:"message"`
	ErrorCode string   `json:"errorCode"`
	Fields    []string `json:"fields,omitempty"`
}

func refuse(c *call.Call, status int, code, message string) {
	c.Refuse(status, code, []problem{{Message: message, ErrorCode: code}})
}

// Unauthorized is Salesforce's 401.
func (a *App) Unauthorized(c *call.Call) {
	refuse(c, http.StatusUnauthorized, "INVALID_SESSION_ID", "Session expired or invalid")
}

// RateLimited is Salesforce's way to say that the day's calls are spent: a 403.
func (a *App) RateLimited(c *call.Call, _ string, _ int) {
	refuse(c, http.StatusForbidden, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
}

// StaleWrite is Salesforce's row lock.
func (a *App) StaleWrite(c *call.Call) {
	refuse(c, http.StatusBadRequest, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")
}

// Fault200 is an error body under a 200.
func (a *App) Fault200(c *call.Call) {
	refuse(c, http.StatusOK, "UNKNOWN_EXCEPTION", "An unexpected error occurred.")
}

// Serve answers a call.
func (a *App) Serve(c *call.Call) {
	if c.Request.URL.Path == tokenPath {
		a.token(c)
		return
	}
	access, err := a.grants.Lookup(call.Bearer(c.Request))
	o := a.orgs[access.Account]
	if err != nil || !access.Expired.IsZero() || o == nil {
		a.Unauthorized(c)
		return
	}
	if !a.admit(c, o) {
		a.RateLimited(c, "", 0)
		return
	}
	p := a.path(c.Request)
	get, post := c.Request.Method == http.MethodGet, c.Request.Method == http.MethodPost
	switch {
	case len(p) == 3 && p[0] == "sobjects" && p[2] == "updated" && get:
		a.changes(c, o, p[1], false)
	case len(p) == 3 && p[0] == "sobjects" && p[2] == "deleted" && get:
		a.changes(c, o, p[1], true)
	case len(p) == 3 && p[0] == "sobjects" && get:
		a.one(c, o, p[1], p[2])
	case len(p) == 4 && p[0] == "sobjects" && get:
		a.byExternalID(c, o, p[1], p[2], p[3])
	case len(p) == 3 && p[0] == "composite" && p[1] == "sobjects" && post:
		a.retrieve(c, o, p[2])
	case len(p) == 2 && p[0] == "query" && get:
		a.more(c, o, p[1])
	case len(p) == 1 && (p[0] == "query" || p[0] == "queryAll") && get:
		a.query(c, o, p[0] == "queryAll")
	default:
		refuse(c, http.StatusNotFound, "NOT_FOUND", "The requested resource does not exist")
	}
}

func (a *App) admit(c *call.Call, o *org) bool {
	mode := a.mode.Get()
	if mode.Off {
		return true
	}
	if mode.PerSecond > 0 {
		_, ok := a.custom.Take(o.ID, mode.PerSecond, c.Now)
		return ok
	}
	used, ok := o.day.Take(c.Now)
	c.Header().Set("Sforce-Limit-Info", "api-usage="+strconv.Itoa(used)+"/"+strconv.Itoa(o.day.Max()))
	return ok
}

func version(r *http.Request) string { return strings.Split(r.URL.Path, "/")[3] }

// unknownField finds a field that the declared layout lacks.
func (o *org) unknownField(sobject string, fields []string) string {
	layout := o.layouts[strings.ToLower(sobject)]
	if layout == nil {
		return ""
	}
	for _, f := range fields {
		if !layout[strings.ToLower(f)] {
			return f
		}
	}
	return ""
}

// pick writes the asked fields as REST shows them, absent ones as null.
func (o *org) pick(c *call.Call, r *record, asked []string) map[string]any {
	out := map[string]any{"attributes": map[string]any{"type": r.sobject, "url": "/services/data/" + version(c.Request) + "/sobjects/" + r.sobject + "/" + r.id}}
	if asked == nil {
		for n, v := range r.fields {
			out[n] = restValue(v)
		}
		return out
	}
	for _, want := range asked {
		name, value := want, any(nil)
		if v, ok := r.fields[want]; ok {
			value = v
		} else {
			for n, v := range r.fields { // names do not depend on case
				if strings.EqualFold(n, want) {
					name, value = n, v
				}
			}
		}
		out[name] = restValue(value)
	}
	return out
}

func (a *App) one(c *call.Call, o *org, sobject, id string) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	name := o.names[strings.ToLower(sobject)]
	if name == "" {
		refuse(c, http.StatusNotFound, "NOT_FOUND", "The requested resource does not exist")
		return
	}
	full := ID18(id)
	if full == "" {
		refuse(c, http.StatusBadRequest, "MALFORMED_ID", "malformed id "+id)
		return
	}
	asked := fieldList(c.Request.URL.Query().Get("fields"))
	if f := o.unknownField(name, asked); f != "" {
		refuse(c, http.StatusBadRequest, "INVALID_FIELD", "No such column '"+f+"' on sobject of type "+name)
		return
	}
	r := o.find(name, full)
	switch {
	case r == nil:
		refuse(c, http.StatusNotFound, "NOT_FOUND", "The requested resource does not exist")
		return
	case r.deleted:
		refuse(c, http.StatusNotFound, "ENTITY_IS_DELETED", "entity is deleted")
		return
	}
	if c.Stale && r.prev != nil {
		r = r.prev
	}
	c.Line.ID, c.Line.After = r.id, r.text("SystemModstamp")
	c.Marker(&c.Line, r.fields)
	c.Reply(http.StatusOK, o.pick(c, r, asked))
}

func fieldList(s string) []string {
	if s == "" {
		return nil
	}
	var out []string
	for f := range strings.SplitSeq(s, ",") {
		out = append(out, strings.TrimSpace(f))
	}
	return out
}

// byExternalID answers 300 with a list where the value is not unique.
func (a *App) byExternalID(c *call.Call, o *org, sobject, field, value string) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	var found []*record
	for _, r := range o.records[strings.ToLower(sobject)] {
		if !r.deleted && r.text(field) == value {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 0:
		refuse(c, http.StatusNotFound, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: "+value)
	case 1:
		c.Reply(http.StatusOK, o.pick(c, found[0], fieldList(c.Request.URL.Query().Get("fields"))))
	default:
		var urls []string
		for _, r := range found {
			urls = append(urls, "/services/data/"+version(c.Request)+"/sobjects/"+r.sobject+"/"+r.id)
		}
		slices.Sort(urls)
		c.Reply(http.StatusMultipleChoices, urls)
	}
}

const mostRetrieved = 2000

// retrieve answers in the order of the ids, null for what is not there.
func (a *App) retrieve(c *call.Call, o *org, sobject string) {
	var in struct {
		IDs    []string `json:"ids"`
		Fields []string `json:"fields"`
	}
	if err := call.Decode(c.Body, &in); err != nil {
		refuse(c, http.StatusBadRequest, "JSON_PARSER_ERROR", err.Error())
		return
	}
	c.Line.IDs = in.IDs
	o.mu.RLock()
	defer o.mu.RUnlock()
	name := o.names[strings.ToLower(sobject)]
	switch {
	case name == "":
		refuse(c, http.StatusBadRequest, "INVALID_TYPE", "sObject type '"+sobject+"' is not supported.")
		return
	case len(in.IDs) == 0 || len(in.Fields) == 0:
		refuse(c, http.StatusBadRequest, "REQUIRED_FIELD_MISSING", "ids and fields are required")
		return
	case len(in.IDs) > mostRetrieved:
		refuse(c, http.StatusBadRequest, "EXCEEDED_ID_LIMIT", "record limit reached. cannot submit more than 2000 records into this call")
		return
	}
	if f := o.unknownField(name, in.Fields); f != "" {
		refuse(c, http.StatusBadRequest, "INVALID_FIELD", "No such column '"+f+"' on sobject of type "+name)
		return
	}
	out := make([]any, len(in.IDs))
	for i, id := range in.IDs {
		if ID18(id) == "" {
			refuse(c, http.StatusBadRequest, "MALFORMED_ID", "malformed id "+id)
			return
		}
		if r := o.find(name, id); r != nil && !r.deleted {
			if c.Stale && r.prev != nil {
				r = r.prev
			}
			out[i] = o.pick(c, r, append(slices.Clone(in.Fields), "Id"))
		}
	}
	c.Reply(http.StatusOK, out)
}

// changes serves updated and deleted.
func (a *App) changes(c *call.Call, o *org, sobject string, deleted bool) {
	q := c.Request.URL.Query()
	start, ok1 := parseTime(strings.ReplaceAll(q.Get("start"), " ", "+"))
	end, ok2 := parseTime(strings.ReplaceAll(q.Get("end"), " ", "+"))
	if !ok1 || !ok2 || end.Before(start) {
		refuse(c, http.StatusBadRequest, "INVALID_REPLICATION_DATE", "start and end must be dateTimes, start before end")
		return
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.names[strings.ToLower(sobject)] == "" {
		refuse(c, http.StatusNotFound, "NOT_FOUND", "The requested resource does not exist")
		return
	}
	var found []*record
	for _, r := range o.records[strings.ToLower(sobject)] {
		if r.deleted == deleted && !r.stamp.Before(start) && r.stamp.Before(end) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(x, y *record) int {
		if n := x.stamp.Compare(y.stamp); n != 0 {
			return n
		}
		return strings.Compare(x.id, y.id)
	})
	covered := restTime(end.Truncate(time.Minute))
	if deleted {
		rows := []any{}
		for _, r := range found {
			rows = append(rows, map[string]any{"id": r.id, "deletedDate": restTime(r.stamp)})
		}
		c.Reply(http.StatusOK, map[string]any{"deletedRecords": rows, "earliestDateAvailable": restTime(c.Now.AddDate(0, 0, -15).Truncate(time.Minute)), "latestDateCovered": covered})
		return
	}
	ids := []string{}
	for _, r := range found {
		ids = append(ids, r.id)
	}
	c.Reply(http.StatusOK, map[string]any{"ids": ids, "latestDateCovered": covered})
}
