package gateway

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
)

// directory is what a request has to look up, prepared once for each snapshot.
type directory struct {
	snapshot  *controlplane.Snapshot
	endpoints map[address]*endpoint
}

type address struct{ source, slug string }

// endpoint is one tenant's webhook of one source app.
type endpoint struct {
	tenant      *controlplane.Tenant
	connections []*sender
	bodyBytes   int64
	perSecond   float64
}

// sender is a connection as somebody who may send.
type sender struct {
	connection   *controlplane.Connection
	hashes       [][sha256.Size]byte
	organization string
}

// lookup is nil for an unknown source, an unknown or disabled tenant, and a
// tenant without a connection to the source: nobody outside can tell them apart.
func (g *Gateway) lookup(source, slug string) *endpoint {
	snapshot := g.deps.Config()
	if snapshot == nil {
		return nil
	}
	d := g.dir.Load()
	if d == nil || d.snapshot != snapshot {
		// Two requests may both prepare it; the results are equal.
		d = prepare(snapshot, g.deps)
		g.dir.Store(d)
	}
	return d.endpoints[address{source, slug}]
}

func prepare(snapshot *controlplane.Snapshot, deps Deps) *directory {
	d := &directory{snapshot: snapshot, endpoints: map[address]*endpoint{}}
	for _, tenant := range snapshot.Tenants() {
		if tenant.Disabled {
			continue
		}
		for source := range deps.Webhooks {
			connections := snapshot.ConnectionsOf(tenant.ID, source)
			if len(connections) == 0 {
				continue
			}
			e := &endpoint{tenant: tenant, bodyBytes: tenant.Limits.MaxBodyBytes, perSecond: tenant.Limits.WebhooksPerSecond}
			if e.bodyBytes <= 0 {
				e.bodyBytes = defaultBodyBytes
			}
			if e.perSecond <= 0 {
				e.perSecond = defaultWebhooksPerSecond
			}
			for _, c := range connections {
				e.connections = append(e.connections, newSender(c))
			}
			d.endpoints[address{source, tenant.Slug}] = e
		}
	}
	return d
}

func newSender(c *controlplane.Connection) *sender {
	s := &sender{connection: c, organization: c.Webhook.Organization}
	if s.organization == "" {
		s.organization = c.RemoteAccount
	}
	for _, text := range c.Webhook.SecretHashes {
		// A hash that is none matches nothing: closed, not open.
		if raw, err := hex.DecodeString(text); err == nil && len(raw) == sha256.Size {
			s.hashes = append(s.hashes, [sha256.Size]byte(raw))
		}
	}
	return s
}
