package controlplane

import (
	"fmt"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// Kind is what a declared object is.
type Kind string

const (
	KindTenant     Kind = "Tenant"
	KindConnection Kind = "Connection"
	KindRoute      Kind = "Route"
	KindMapping    Kind = "Mapping"
)

// Kinds lists the kinds in the order in which they depend on each other.
func Kinds() []Kind { return []Kind{KindTenant, KindConnection, KindRoute, KindMapping} }

// Key names a declared object. Name is the full name that people write:
// "envoy", "envoy/QB Logistics US", "envoy/TMS_VENDOR/QB Logistics US",
// "envoy/TMS_VENDOR/quickbooks".
type Key struct {
	Kind Kind
	Name string
}

// Tenant is the first part of the name.
func (k Key) Tenant() record.TenantID {
	tenant, _, _ := strings.Cut(k.Name, "/")
	return record.TenantID(tenant)
}

// String is "Route envoy/TMS_VENDOR/QB Logistics US".
func (k Key) String() string { return string(k.Kind) + " " + k.Name }

// Spec is the declared form of an object: what YAML files hold, what Postgres
// stores as JSON, and what `fluxnex get` shows. It never holds a secret.
type Spec interface {
	Key() Key
}

// The struct tags are the one description of the files: json names a field,
// doc explains it, and check holds "required", "expand" (${NAME} is replaced
// by the environment) and "enum=a|b". The decoder and the published JSON Schema
// both read them.

// TenantSpec declares a tenant.
type TenantSpec struct {
	Kind     Kind       `json:"kind" check:"required"`
	ID       string     `json:"id" check:"required" doc:"names the tenant for ever; never used again once erased"`
	Slug     string     `json:"slug" check:"required" doc:"in the webhook URL: /webhooks/{source}/{slug}"`
	Name     string     `json:"name,omitempty" doc:"for people"`
	Disabled bool       `json:"disabled,omitempty" doc:"webhooks answer 404 and nothing is delivered"`
	Limits   *LimitSpec `json:"limits,omitempty"`
}

// LimitSpec declares a tenant's limits.
type LimitSpec struct {
	WebhooksPerSecond float64 `json:"webhooks_per_second,omitempty" doc:"over all processes; 0 or absent: the platform's default"`
	MaxBodyBytes      int64   `json:"max_body_bytes,omitempty" doc:"of one webhook; 0 or absent: 1 MiB"`
}

// ConnectionSpec declares one account of one app.
type ConnectionSpec struct {
	Kind          Kind                 `json:"kind" check:"required"`
	Tenant        string               `json:"tenant" check:"required" doc:"a tenant's id"`
	Name          string               `json:"name" check:"required" doc:"what routes call it"`
	App           string               `json:"app" check:"required" doc:"revenova, quickbooks, hubspot"`
	BaseURL       string               `json:"base_url,omitempty" check:"expand" doc:"where the app's API is"`
	RemoteAccount string               `json:"remote_account" check:"required,expand" doc:"the account at the app: organization id, realm id, portal id; it never changes"`
	Auth          *AuthSpec            `json:"auth,omitempty" doc:"how calls to the app prove themselves"`
	Webhook       *WebhookSpec         `json:"webhook,omitempty" doc:"how the app proves itself to us"`
	Settings      map[string]any       `json:"settings,omitempty" doc:"the app's own settings"`
	Limits        *ConnectionLimitSpec `json:"limits,omitempty" doc:"lower than the app's documented limits"`
}

// AuthSpec declares how calls to an app prove themselves.
type AuthSpec struct {
	Kind         AuthKind   `json:"kind" check:"required,enum=none|token|refresh_token|client_credentials|jwt_bearer"`
	TokenURL     string     `json:"token_url,omitempty" check:"expand" doc:"absent: the app's own"`
	ClientID     string     `json:"client_id,omitempty" check:"expand"`
	Subject      string     `json:"subject,omitempty" check:"expand" doc:"jwt_bearer: the user"`
	Audience     string     `json:"audience,omitempty" check:"expand" doc:"jwt_bearer"`
	ClientSecret *SecretRef `json:"client_secret,omitempty"`
	RefreshToken *SecretRef `json:"refresh_token,omitempty"`
	Token        *SecretRef `json:"token,omitempty"`
	PrivateKey   *SecretRef `json:"private_key,omitempty" doc:"PEM, RSA"`
}

// secrets lists the declared secrets by the name of their stored field.
func (a *AuthSpec) secrets() map[string]*SecretRef {
	if a == nil {
		return nil
	}
	out := map[string]*SecretRef{}
	for field, ref := range map[string]*SecretRef{
		"client_secret": a.ClientSecret, "refresh_token": a.RefreshToken, "token": a.Token, "private_key": a.PrivateKey,
	} {
		if ref != nil {
			out[field] = ref
		}
	}
	return out
}

// WebhookSpec declares how senders to a connection prove themselves. Two of
// each are valid during a rotation.
type WebhookSpec struct {
	Secrets        []SecretRef `json:"secrets,omitempty" doc:"for ?key= or Basic; 256 bit, stored hashed"`
	SigningSecrets []SecretRef `json:"signing_secrets,omitempty" doc:"Standard Webhooks (whsec_…), stored encrypted"`
	Organization   string      `json:"organization,omitempty" check:"expand" doc:"the sender's organization id; absent: remote_account"`
}

// SecretRef says where a secret is read from when the object is applied; the
// secret itself is never written into a file.
type SecretRef struct {
	Env    string `json:"env,omitempty" doc:"an environment variable of the process that applies"`
	File   string `json:"file,omitempty" doc:"a file, relative to the one that names it"`
	SHA256 string `json:"sha256,omitempty" doc:"webhook secrets only: the hash, in hex, instead of the secret"`
}

func (r SecretRef) String() string {
	switch {
	case r.Env != "":
		return "environment variable " + r.Env
	case r.File != "":
		return "file " + r.File
	}
	return "hash"
}

// ConnectionLimitSpec declares limits of calls to an app.
type ConnectionLimitSpec struct {
	PerSecond float64 `json:"per_second,omitempty"`
	PerMinute int     `json:"per_minute,omitempty"`
	InFlight  int     `json:"in_flight,omitempty"`
}

// RouteSpec declares that a canonical entity goes to a target.
type RouteSpec struct {
	Kind   Kind   `json:"kind" check:"required"`
	Tenant string `json:"tenant" check:"required" doc:"a tenant's id"`
	Entity string `json:"entity" check:"required,enum=TMS_VENDOR|TMS_CUSTOMER|TMS_CONTACT|TMS_LOAD|TMS_INVOICE|TMS_BILL"`
	Target string `json:"target" check:"required" doc:"a connection's name"`
	When   string `json:"when,omitempty" doc:"CEL over entity and source; absent: always"`
}

// MappingSpec declares a tenant's overrides of an app's default mapping.
type MappingSpec struct {
	Kind     Kind              `json:"kind" check:"required"`
	Tenant   string            `json:"tenant" check:"required" doc:"a tenant's id"`
	Entity   string            `json:"entity" check:"required,enum=TMS_VENDOR|TMS_CUSTOMER|TMS_CONTACT|TMS_LOAD|TMS_INVOICE|TMS_BILL"`
	App      string            `json:"app" check:"required" doc:"quickbooks, hubspot"`
	Fields   map[string]string `json:"fields,omitempty" doc:"destination field (dotted) to CEL expression over entity and source"`
	Required []string          `json:"required,omitempty" doc:"destination fields that must not be empty"`
}

// Key of the tenant.
func (t *TenantSpec) Key() Key { return Key{KindTenant, t.ID} }

// Key of the connection.
func (c *ConnectionSpec) Key() Key { return Key{KindConnection, c.Tenant + "/" + c.Name} }

// Key of the route.
func (r *RouteSpec) Key() Key { return Key{KindRoute, r.Tenant + "/" + r.Entity + "/" + r.Target} }

// Key of the mapping.
func (m *MappingSpec) Key() Key { return Key{KindMapping, m.Tenant + "/" + m.Entity + "/" + m.App} }

func newSpec(k Kind) (Spec, bool) {
	switch k {
	case KindTenant:
		return &TenantSpec{Kind: k}, true
	case KindConnection:
		return &ConnectionSpec{Kind: k}, true
	case KindRoute:
		return &RouteSpec{Kind: k}, true
	case KindMapping:
		return &MappingSpec{Kind: k}, true
	}
	return nil, false
}

func (t *TenantSpec) model() Tenant {
	m := Tenant{ID: record.TenantID(t.ID), Slug: t.Slug, Name: t.Name, Disabled: t.Disabled}
	if t.Limits != nil {
		m.Limits = TenantLimits{WebhooksPerSecond: t.Limits.WebhooksPerSecond, MaxBodyBytes: t.Limits.MaxBodyBytes}
	}
	return m
}

func (c *ConnectionSpec) model(version int64) Connection {
	m := Connection{
		Tenant: record.TenantID(c.Tenant), Name: c.Name, App: c.App, BaseURL: c.BaseURL,
		RemoteAccount: c.RemoteAccount, Settings: c.Settings, Version: version,
	}
	if a := c.Auth; a != nil {
		m.Auth = Auth{Kind: a.Kind, TokenURL: a.TokenURL, ClientID: a.ClientID, Subject: a.Subject, Audience: a.Audience}
		m.Auth.Fields = sortedKeys(a.secrets())
	} else {
		m.Auth.Kind = AuthNone
	}
	if w := c.Webhook; w != nil {
		m.Webhook.Organization = w.Organization
		for _, s := range w.Secrets {
			m.Webhook.SecretHashes = append(m.Webhook.SecretHashes, s.SHA256)
		}
		for i := range w.SigningSecrets {
			m.Webhook.SigningSecrets = append(m.Webhook.SigningSecrets, signingField(i))
		}
	}
	if l := c.Limits; l != nil {
		m.Limits = ConnectionLimits{PerSecond: l.PerSecond, PerMinute: l.PerMinute, InFlight: l.InFlight}
	}
	return m
}

// signingField names the stored field of the i-th signing secret.
func signingField(i int) string { return fmt.Sprintf("webhook_signing_%d", i+1) }

func (r *RouteSpec) model() Route {
	return Route{Tenant: record.TenantID(r.Tenant), Entity: canonical.Entity(r.Entity), Target: r.Target, When: r.When}
}

func (m *MappingSpec) model(version int64) Mapping {
	return Mapping{
		Tenant: record.TenantID(m.Tenant), Entity: canonical.Entity(m.Entity), App: m.App,
		Fields: m.Fields, Required: m.Required, Version: version,
	}
}
