package controlplane

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// maxBodyLimit is what fits into one message of the gateway topic.
const maxBodyLimit = 4 << 20

var (
	idPattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	slugPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Catalog is what the platform can do: objects are validated against it.
type Catalog struct {
	Apps []integration.Integration
	// CheckWhen compiles a route's condition, CheckMapping the fields of a
	// mapping against its app's objects; nil checks nothing.
	CheckWhen    func(e canonical.Entity, expression string) error
	CheckMapping func(m *Mapping, objects []integration.ObjectSchema) error
}

func (c Catalog) app(name string) *integration.Integration {
	for i := range c.Apps {
		if c.Apps[i].App == name {
			return &c.Apps[i]
		}
	}
	return nil
}

func (c Catalog) appNames(want func(*integration.Integration) bool) []string {
	var names []string
	for i := range c.Apps {
		if want(&c.Apps[i]) {
			names = append(names, c.Apps[i].App)
		}
	}
	return names
}

func anyApp(*integration.Integration) bool          { return true }
func isDestination(a *integration.Integration) bool { return a.Map != nil }

// validation is one pass over objects as they would be with what is stored.
type validation struct {
	catalog  Catalog
	before   map[Key]Spec
	after    map[Key]Spec
	problems Problems
}

func (c Catalog) validate(objects []Object, before map[Key]Spec, tombstones []string) Problems {
	v := &validation{catalog: c, before: before, after: maps.Clone(before)}
	for _, o := range objects {
		v.after[o.Spec.Key()] = o.Spec
	}
	for i := range objects {
		o := &objects[i]
		switch spec := o.Spec.(type) {
		case *TenantSpec:
			v.tenant(o, spec, tombstones)
		case *ConnectionSpec:
			v.connection(o, spec)
		case *RouteSpec:
			v.route(o, spec)
		case *MappingSpec:
			v.mapping(o, spec)
		}
	}
	return v.problems
}

func (v *validation) fail(o *Object, field, format string, args ...any) {
	v.problems = append(v.problems, o.problem(field, format, args...))
}

func (v *validation) names(kind Kind) []string {
	var names []string
	for key := range v.after {
		if key.Kind == kind {
			names = append(names, key.Name)
		}
	}
	slices.Sort(names)
	return names
}

func (v *validation) tenantExists(o *Object, tenant string) {
	if _, ok := v.after[Key{KindTenant, tenant}]; !ok {
		v.fail(o, "tenant", "tenant: there is no tenant %q%s", tenant, didYouMean(tenant, v.names(KindTenant)))
	}
}

func (v *validation) tenant(o *Object, t *TenantSpec, tombstones []string) {
	if !idPattern.MatchString(t.ID) {
		v.fail(o, "id", "id: %q must be lower-case letters, digits, - and _, at most 63", t.ID)
	}
	if !slugPattern.MatchString(t.Slug) {
		v.fail(o, "slug", "slug: %q must be lower-case letters, digits and -, at most 63", t.Slug)
	}
	if slices.Contains(tombstones, t.ID) {
		v.fail(o, "id", "id: the tenant %q was deleted, and ids are never used again; choose another", t.ID)
	}
	for key, spec := range v.after {
		if other, ok := spec.(*TenantSpec); ok && key != t.Key() && other.Slug == t.Slug {
			v.fail(o, "slug", "slug: %q is the tenant %q's; choose another", t.Slug, other.ID)
		}
	}
	if l := t.Limits; l != nil {
		if l.WebhooksPerSecond < 0 {
			v.fail(o, "limits.webhooks_per_second", "limits.webhooks_per_second: must not be negative")
		}
		if l.MaxBodyBytes < 0 || l.MaxBodyBytes > maxBodyLimit {
			v.fail(o, "limits.max_body_bytes", "limits.max_body_bytes: must be between 0 and %d", maxBodyLimit)
		}
	}
}

func (v *validation) connection(o *Object, c *ConnectionSpec) {
	v.tenantExists(o, c.Tenant)
	if strings.ContainsFunc(c.Name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '/' }) || len(c.Name) > 100 || strings.TrimSpace(c.Name) != c.Name {
		v.fail(o, "name", "name: at most 100 characters, none of them a slash, and no space at either end")
	}
	if before, ok := v.before[c.Key()].(*ConnectionSpec); ok {
		if before.App != c.App {
			v.fail(o, "app", "app: an existing connection's app never changes (it is %s); declare a new connection", before.App)
		}
		if before.RemoteAccount != c.RemoteAccount {
			v.fail(o, "remote_account", "remote_account: an existing connection stays with its account %s, whose records it knows; declare a new connection for %s", before.RemoteAccount, c.RemoteAccount)
		}
	}
	app := v.catalog.app(c.App)
	if app == nil {
		v.fail(o, "app", "app: there is no app %q%s", c.App, didYouMean(c.App, v.catalog.appNames(anyApp)))
		return
	}
	calls := app.Deliver != nil || app.Fetch != nil
	if calls && c.BaseURL == "" {
		v.fail(o, "base_url", "base_url is required: %s is called there", c.App)
	}
	v.address(o, "base_url", c.BaseURL)
	v.auth(o, c.Auth, app)
	v.webhook(o, c.Webhook, app)
	for name := range c.Settings {
		if lower := strings.ToLower(name); strings.Contains(lower, "secret") || strings.Contains(lower, "password") || strings.Contains(lower, "token") {
			v.fail(o, "settings."+name, "settings.%s: settings are not encrypted; secrets belong under auth, as {env: NAME} or {file: path}", name)
		}
	}
	if l := c.Limits; l != nil && (l.PerSecond < 0 || l.PerMinute < 0 || l.InFlight < 0) {
		v.fail(o, "limits", "limits: must not be negative")
	}
}

func (v *validation) address(o *Object, field, text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		v.fail(o, field, "%s: expected https://host[:port][/path]", field)
		return
	}
	if u.User != nil {
		v.fail(o, field, "%s: an address holds no user and no password; secrets belong under auth, as {env: NAME} or {file: path}", field)
	}
}

func (v *validation) auth(o *Object, a *AuthSpec, app *integration.Integration) {
	if a == nil {
		if app.Deliver != nil {
			v.fail(o, "auth", "auth is required: %s does not take calls without it (say kind: none if yours does)", app.App)
		}
		return
	}
	v.address(o, "auth.token_url", a.TokenURL)
	needs := map[AuthKind][]string{
		AuthStaticToken:       {"token"},
		AuthRefreshToken:      {"client_id", "client_secret", "refresh_token"},
		AuthClientCredentials: {"client_id", "client_secret"},
		AuthJWTBearer:         {"client_id", "subject", "private_key"},
	}[a.Kind]
	has := map[string]bool{"client_id": a.ClientID != "", "subject": a.Subject != ""}
	secrets := a.secrets()
	for field, ref := range secrets {
		has[field] = true
		v.reference(o, "auth."+field, *ref, false)
		if !slices.Contains(needs, field) {
			v.fail(o, "auth."+field, "auth.%s: kind %s does not use it", field, a.Kind)
		}
	}
	for _, field := range needs {
		if !has[field] {
			v.fail(o, "auth", "auth.%s is required for kind %s", field, a.Kind)
		}
	}
}

func (v *validation) reference(o *Object, path string, ref SecretRef, hashable bool) {
	if ref.SHA256 != "" {
		if !hashable {
			v.fail(o, path, "%s: only webhook secrets are declared by their hash; write {env: NAME} or {file: path}", path)
		} else if !hashPattern.MatchString(ref.SHA256) {
			v.fail(o, path, "%s.sha256: expected 64 hex digits", path)
		}
	}
	if ref.Env != "" && ref.File != "" || ref == (SecretRef{}) {
		v.fail(o, path, "%s: write either {env: NAME} or {file: path}", path)
	}
}

func (v *validation) webhook(o *Object, w *WebhookSpec, app *integration.Integration) {
	if w == nil {
		return
	}
	if app.Webhook == nil {
		v.fail(o, "webhook", "webhook: %s sends no webhooks", app.App)
	}
	for i, ref := range w.Secrets {
		v.reference(o, fmt.Sprintf("webhook.secrets.%d", i), ref, true)
	}
	for i, ref := range w.SigningSecrets {
		v.reference(o, fmt.Sprintf("webhook.signing_secrets.%d", i), ref, false)
	}
	const inRotation = 2
	if len(w.Secrets) > inRotation || len(w.SigningSecrets) > inRotation {
		v.fail(o, "webhook", "webhook: at most two secrets of each kind, the new one and the old one of a rotation")
	}
}

// supports reports whether an app takes an entity.
func supports(app *integration.Integration, e canonical.Entity) bool {
	return app.Map != nil && app.Map.Of(e) != ""
}

func supported(app *integration.Integration) []string {
	var names []string
	for _, e := range canonical.All() {
		if supports(app, e) {
			names = append(names, string(e))
		}
	}
	return names
}

func (v *validation) entityOf(o *Object, app *integration.Integration, entity string) bool {
	if supports(app, canonical.Entity(entity)) {
		return true
	}
	v.fail(o, "entity", "entity: %s does not take %s; it takes %s", app.App, entity, strings.Join(supported(app), ", "))
	return false
}

func (v *validation) route(o *Object, r *RouteSpec) {
	v.tenantExists(o, r.Tenant)
	target, ok := v.after[Key{KindConnection, r.Tenant + "/" + r.Target}].(*ConnectionSpec)
	if !ok {
		var names []string
		for _, name := range v.names(KindConnection) {
			if local, mine := strings.CutPrefix(name, r.Tenant+"/"); mine {
				names = append(names, local)
			}
		}
		v.fail(o, "target", "target: the tenant has no connection %q%s", r.Target, didYouMean(r.Target, names))
	} else if app := v.catalog.app(target.App); app != nil {
		v.entityOf(o, app, r.Entity)
	}
	if r.When != "" && v.catalog.CheckWhen != nil {
		if err := v.catalog.CheckWhen(canonical.Entity(r.Entity), r.When); err != nil {
			v.fail(o, "when", "when: %s", err)
		}
	}
}

func (v *validation) mapping(o *Object, m *MappingSpec) {
	v.tenantExists(o, m.Tenant)
	app := v.catalog.app(m.App)
	if app == nil || !isDestination(app) {
		v.fail(o, "app", "app: there is no destination app %q%s", m.App, didYouMean(m.App, v.catalog.appNames(isDestination)))
		return
	}
	if !v.entityOf(o, app, m.Entity) {
		return
	}
	if v.catalog.CheckMapping == nil {
		return
	}
	// One field at a time, so that each problem is told where it is.
	check := func(where string, fields map[string]string, required []string) {
		one := Mapping{Tenant: record.TenantID(m.Tenant), Entity: canonical.Entity(m.Entity), App: m.App, Fields: fields, Required: required}
		if err := v.catalog.CheckMapping(&one, app.Map.Describe()); err != nil {
			v.fail(o, where, "%s", err)
		}
	}
	for _, path := range sortedKeys(m.Fields) {
		check("fields."+path, map[string]string{path: m.Fields[path]}, nil)
	}
	for i, path := range m.Required {
		check(fmt.Sprintf("required.%d", i), nil, []string{path})
	}
}
