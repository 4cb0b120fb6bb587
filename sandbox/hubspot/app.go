package hubspot

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/sandbox/call"
	"github.com/fluxnex/fluxnex/sandbox/limit"
	"github.com/fluxnex/fluxnex/sandbox/oauth"
)

// App is the API of all seeded portals.
type App struct {
	portals map[string]*portal
	kinds   map[string]*kind // by singular, plural and type id
	grants  *oauth.Registry
	mode    *limit.Switch
	custom  limit.PerSecond
}

// New makes the API. Search shows changes only after lag.
func New(portals []Portal, clock func() time.Time, mode *limit.Switch, policy oauth.Policy, lag time.Duration) *App {
	a := &App{portals: map[string]*portal{}, kinds: map[string]*kind{}, grants: oauth.New("hubspot", policy, clock), mode: mode}
	all := kinds()
	for _, k := range all {
		a.kinds[k.singular], a.kinds[k.plural], a.kinds[k.typeID] = k, k, k
	}
	for _, s := range portals {
		p := newPortal(s, lag)
		for _, k := range all {
			p.properties[k], p.objects[k], p.unique[k] = builtin(k), map[int64]*object{}, map[string]int64{}
		}
		a.portals[s.ID] = p
	}
	return a
}

// Seed adds the grants that no earlier process left.
func (a *App) Seed(time.Time) error {
	for _, p := range a.portals {
		for _, g := range p.Grants {
			g.Account = p.ID
			a.grants.Add(g)
		}
	}
	return nil
}

// Name is "hubspot".
func (a *App) Name() string { return "hubspot" }

// Grants are the tokens of all portals.
func (a *App) Grants() *oauth.Registry { return a.grants }

const tokenPath = "/oauth/v1/token" //nolint:gosec // a path

// Describe reads type, id and operation from the address, the portal from the token.
func (a *App) Describe(r *http.Request) call.Target {
	if r.URL.Path == tokenPath {
		return call.Target{Object: "token", Op: "refresh"}
	}
	var t call.Target
	if g, err := a.grants.Lookup(call.Bearer(r)); err == nil {
		t.Account, t.Client = g.Account, g.ClientID
		if p := a.portals[g.Account]; p != nil {
			t.Tenant = p.Tenant
		}
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/") // crm v3 objects companies …
	if len(parts) < 4 || parts[0] != "crm" {
		t.Object, t.Op = parts[0], "read"
		return t
	}
	t.Object, t.Op = parts[3], map[string]string{http.MethodGet: "read", http.MethodPost: "create", http.MethodPatch: "update", http.MethodDelete: "archive", http.MethodPut: "update"}[r.Method]
	if k := a.kinds[parts[3]]; k != nil {
		t.Object = k.plural
	}
	rest := parts[4:]
	switch {
	case parts[2] == "properties":
		t.Object, t.Op = t.Object+" properties", "properties"
	case strings.Contains(r.URL.Path, "/associations/"):
		t.Op, t.ID = "associate", rest[0]
	case len(rest) == 2 && rest[0] == "batch":
		t.Op = rest[1]
	case len(rest) == 1 && (rest[0] == "search" || rest[0] == "merge"):
		t.Op = rest[0]
	case len(rest) == 1:
		t.ID = rest[0]
	case r.Method == http.MethodGet:
		t.Op = "list"
	}
	return t
}

// Serve answers a call.
func (a *App) Serve(c *call.Call) {
	path := c.Request.URL.Path
	if path == tokenPath {
		a.token(c)
		return
	}
	access, err := a.grants.Lookup(call.Bearer(c.Request))
	p := a.portals[access.Account]
	switch {
	case err != nil || p == nil:
		a.Unauthorized(c)
		return
	case !access.Expired.IsZero():
		a.expired(c, access.Expired)
		return
	}
	if !a.admit(c, p, access.Private) {
		return
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case path == "/account-info/v3/details" && c.Request.Method == http.MethodGet:
		id, _ := strconv.ParseInt(p.ID, 10, 64)
		c.Reply(http.StatusOK, map[string]any{
			"portalId": id, "accountType": "STANDARD", "timeZone": "US/Eastern", "companyCurrency": "USD", "additionalCurrencies": []string{},
			"utcOffset": "-05:00", "utcOffsetMilliseconds": -18_000_000, "uiDomain": "app.hubspot.com", "dataHostingLocation": "na1",
		})
	case strings.HasPrefix(path, "/oauth/v1/access-tokens/"):
		id, _ := strconv.ParseInt(p.ID, 10, 64)
		c.Reply(http.StatusOK, map[string]any{"hub_id": id, "hub_domain": p.Name, "app_id": 1, "token_type": "access", "scopes": []string{"crm.objects.companies.write"}})
	case len(parts) >= 4 && parts[0] == "crm" && a.kinds[parts[3]] != nil:
		k, rest := a.kinds[parts[3]], parts[4:]
		switch {
		case parts[1] == "v3" && parts[2] == "properties":
			a.definitions(c, p, k, rest)
		case parts[1] == "v3" && parts[2] == "objects":
			a.objects(c, p, k, rest)
		case parts[1] == "v4" && parts[2] == "objects":
			a.associations(c, p, k, rest)
		default:
			notFound().on(c)
		}
	default:
		notFound().on(c)
	}
}

// admit counts the call and sets the limit headers, which search does not have.
func (a *App) admit(c *call.Call, p *portal, private bool) bool {
	mode := a.mode.Get()
	switch {
	case mode.Off:
		return true
	case mode.PerSecond > 0:
		if _, ok := a.custom.Take(p.ID, mode.PerSecond, c.Now); !ok {
			a.RateLimited(c, "SECONDLY", 0)
			return false
		}
		return true
	}
	if c.Line.Op == "search" {
		if _, _, ok := p.search.Take(c.Now); !ok {
			a.RateLimited(c, "search", 0)
			return false
		}
		return true
	}
	window := p.oauthTen
	if private {
		window = p.tenSeconds
	}
	remaining, _, ok := window.Take(c.Now)
	h := c.Header()
	h.Set("X-HubSpot-RateLimit-Max", strconv.Itoa(window.Max()))
	h.Set("X-HubSpot-RateLimit-Remaining", strconv.Itoa(remaining))
	h.Set("X-HubSpot-RateLimit-Interval-Milliseconds", "10000")
	if !ok {
		a.RateLimited(c, "TEN_SECONDLY_ROLLING", 0)
		return false
	}
	used, ok := p.daily.Take(c.Now)
	if private {
		h.Set("X-HubSpot-RateLimit-Daily", strconv.Itoa(p.daily.Max()))
		h.Set("X-HubSpot-RateLimit-Daily-Remaining", strconv.Itoa(p.daily.Max()-used))
	}
	if !ok {
		a.RateLimited(c, "DAILY", 0)
	}
	return ok
}

// token is HubSpot's OAuth endpoint; its refresh token stays the same.
func (a *App) token(c *call.Call) {
	form, err := url.ParseQuery(string(c.Body))
	refuse := func(status, oauthError, message string) {
		c.Refuse(http.StatusBadRequest, status, map[string]any{"error": oauthError, "error_description": message, "status": status, "message": message})
	}
	if err != nil || form.Get("grant_type") != "refresh_token" {
		refuse("BAD_GRANT_TYPE", "unsupported_grant_type", "missing or unknown grant type")
		return
	}
	c.Line.Client = form.Get("client_id")
	t, err := a.grants.Refresh(form.Get("client_id"), form.Get("client_secret"), form.Get("refresh_token"), c.Save)
	switch {
	case errors.Is(err, oauth.ErrClient):
		refuse("BAD_CLIENT_ID", "invalid_client", "missing or invalid client id or secret")
		return
	case err != nil:
		refuse("BAD_REFRESH_TOKEN", "invalid_grant", "refresh token is invalid, expired or revoked")
		return
	}
	c.Line.Account, c.Line.Applied = t.Account, true
	if p := a.portals[t.Account]; p != nil {
		c.Line.Tenant = p.Tenant
	}
	hub, _ := strconv.ParseInt(t.Account, 10, 64)
	c.Reply(http.StatusOK, map[string]any{"token_type": "bearer", "refresh_token": t.Refresh, "access_token": t.Access, "expires_in": int(t.TTL.Seconds()), "hub_id": hub})
}

// shown is an object in an answer.
type shown struct {
	ID         string             `json:"id"`
	Properties map[string]*string `json:"properties"`
	CreatedAt  string             `json:"createdAt"`
	UpdatedAt  string             `json:"updatedAt"`
	Archived   bool               `json:"archived"`
	URL        string             `json:"url,omitempty"`
	New        *bool              `json:"new,omitempty"`
	TraceID    string             `json:"objectWriteTraceId,omitempty"`
	MergedInto string             `json:"merged_into,omitempty"` // of the sandbox's own view
}

// show picks the asked properties; nil asks for all that are set.
func (p *portal) show(k *kind, o *object, asked []string) *shown {
	id := strconv.FormatInt(o.id, 10)
	s := &shown{
		ID: id, Properties: map[string]*string{}, CreatedAt: wire(o.created), UpdatedAt: wire(o.updated), Archived: o.archived,
		URL: "https://app.hubspot.com/contacts/" + p.ID + "/record/" + k.typeID + "/" + id,
	}
	if asked == nil {
		for n, v := range o.props {
			s.Properties[n] = &v
		}
		return s
	}
	for _, n := range asked {
		if v, ok := o.props[n]; ok {
			s.Properties[n] = &v
		} else if p.properties[k][n] != nil {
			s.Properties[n] = nil
		}
	}
	return s
}

// askedFor are the default properties of a read and those it names.
func askedFor(k *kind, names []string) []string {
	out := append([]string(nil), k.defaults...)
	for _, n := range names {
		if n = strings.ToLower(strings.TrimSpace(n)); n != "" {
			out = append(out, n)
		}
	}
	return out
}

type body struct {
	Properties   map[string]any    `json:"properties"`
	Associations []json.RawMessage `json:"associations"`
	TraceID      string            `json:"objectWriteTraceId"`
	ID           string            `json:"id"`
	IDProperty   string            `json:"idProperty"`
}
