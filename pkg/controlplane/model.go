// Package controlplane is what an operator declares: tenants, connections,
// routes and mappings. They are written as YAML, validated whole, applied
// atomically, stored in Postgres under a version, and read by every service as
// an immutable [Snapshot].
package controlplane

import (
	"time"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// Tenant is one customer of the platform.
type Tenant struct {
	ID     record.TenantID // never used again once erased
	Slug   string          // in the webhook URL
	Name   string
	Limits TenantLimits
	// Disabled tenants answer 404 at the gateway and are not delivered for.
	Disabled bool
}

// TenantLimits protect the others.
type TenantLimits struct {
	WebhooksPerSecond float64 // 0 = the platform's default
	MaxBodyBytes      int64   // 0 = 1 MiB
}

// Connection is one account of one app.
type Connection struct {
	Tenant        record.TenantID
	Name          string // "QB Logistics US": the target_name of routes
	App           string
	BaseURL       string
	RemoteAccount string // realm id, portal id, organization id; never changed by re-authorising
	Auth          Auth
	Webhook       WebhookAuth
	Settings      map[string]any
	Limits        ConnectionLimits
	Version       int64 // bumped at each change
}

// AuthKind is how calls to the app prove themselves.
type AuthKind string

const (
	AuthNone              AuthKind = "none"
	AuthStaticToken       AuthKind = "token"              // Authorization: Bearer <token>
	AuthRefreshToken      AuthKind = "refresh_token"      // OAuth2 with a (rotating) refresh token
	AuthClientCredentials AuthKind = "client_credentials" // OAuth2
	AuthJWTBearer         AuthKind = "jwt_bearer"         // OAuth2, RS256 assertion (Salesforce)
)

// Auth has no secrets: these are envelope-encrypted in Postgres under
// (tenant, connection, field) and only delivery and fetcher can read them.
type Auth struct {
	Kind     AuthKind
	TokenURL string
	ClientID string
	Subject  string // JWT bearer: the user
	Audience string // JWT bearer
	// Fields lists the names of the stored secrets ("client_secret",
	// "refresh_token", "token", "private_key").
	Fields []string
}

// WebhookAuth is how senders to this connection prove themselves. Two of each
// are valid during a rotation.
type WebhookAuth struct {
	// SecretHashes are hex SHA-256 of ?key= or Basic secrets.
	SecretHashes []string
	// SigningSecrets are names of stored Standard Webhooks secrets; they have to
	// be readable to verify, so they are encrypted like credentials.
	SigningSecrets []string
	Organization   string // 18 characters; compared with the body's
}

// ConnectionLimits override the app's documented limits; 0 = documented.
type ConnectionLimits struct {
	PerSecond float64
	PerMinute int
	InFlight  int
}

// Route sends a canonical entity of a tenant to a target.
type Route struct {
	Tenant record.TenantID
	Entity canonical.Entity
	Target string // connection name
	When   string // CEL over entity and source; "" = always
}

// Mapping overrides fields of a destination's objects for a tenant.
type Mapping struct {
	Tenant   record.TenantID
	Entity   canonical.Entity
	App      string
	Fields   map[string]string // destination path → CEL expression
	Required []string          // destination paths that must not be empty
	Version  int64             // the snapshot version in which it last changed
}

// Snapshot is the whole control plane at one version. It is immutable and safe
// for concurrent use.
type Snapshot struct {
	Version int64
	At      time.Time

	tenants     map[record.TenantID]*Tenant
	slugs       map[string]*Tenant
	connections map[record.TenantID]map[string]*Connection
	routes      map[record.TenantID][]Route
	mappings    map[mappingKey]*Mapping
}

type mappingKey struct {
	tenant record.TenantID
	entity canonical.Entity
	app    string
}

// NewSnapshot indexes the objects; they must not be changed afterwards.
func NewSnapshot(version int64, at time.Time, tenants []Tenant, connections []Connection, routes []Route, mappings []Mapping) *Snapshot {
	s := &Snapshot{
		Version:     version,
		At:          at,
		tenants:     make(map[record.TenantID]*Tenant, len(tenants)),
		slugs:       make(map[string]*Tenant, len(tenants)),
		connections: make(map[record.TenantID]map[string]*Connection, len(tenants)),
		routes:      make(map[record.TenantID][]Route, len(tenants)),
		mappings:    make(map[mappingKey]*Mapping, len(mappings)),
	}
	for i := range tenants {
		t := &tenants[i]
		s.tenants[t.ID], s.slugs[t.Slug] = t, t
	}
	for i := range connections {
		c := &connections[i]
		if s.connections[c.Tenant] == nil {
			s.connections[c.Tenant] = map[string]*Connection{}
		}
		s.connections[c.Tenant][c.Name] = c
	}
	for _, r := range routes {
		s.routes[r.Tenant] = append(s.routes[r.Tenant], r)
	}
	for i := range mappings {
		m := &mappings[i]
		s.mappings[mappingKey{m.Tenant, m.Entity, m.App}] = m
	}
	return s
}

// Tenant finds a tenant by id.
func (s *Snapshot) Tenant(id record.TenantID) (*Tenant, bool) {
	t, ok := s.tenants[id]
	return t, ok
}

// Tenants lists all tenants in no order.
func (s *Snapshot) Tenants() []*Tenant {
	out := make([]*Tenant, 0, len(s.tenants))
	for _, t := range s.tenants {
		out = append(out, t)
	}
	return out
}

// TenantBySlug finds an enabled tenant by the slug in a webhook URL.
func (s *Snapshot) TenantBySlug(slug string) (*Tenant, bool) {
	t, ok := s.slugs[slug]
	if !ok || t.Disabled {
		return nil, false
	}
	return t, true
}

// Connection finds a tenant's connection by name.
func (s *Snapshot) Connection(t record.TenantID, name string) (*Connection, bool) {
	c, ok := s.connections[t][name]
	return c, ok
}

// ConnectionsOf lists a tenant's connections of one app ("" = all).
func (s *Snapshot) ConnectionsOf(t record.TenantID, app string) []*Connection {
	var out []*Connection
	for _, c := range s.connections[t] {
		if app == "" || c.App == app {
			out = append(out, c)
		}
	}
	return out
}

// Routes lists a tenant's routes; the slice must not be changed.
func (s *Snapshot) Routes(t record.TenantID) []Route { return s.routes[t] }

// Mapping finds a tenant's overrides for an entity at an app.
func (s *Snapshot) Mapping(t record.TenantID, e canonical.Entity, app string) (*Mapping, bool) {
	m, ok := s.mappings[mappingKey{t, e, app}]
	return m, ok
}
