package e2e_test

import (
	"fmt"
	"strings"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// The targets of every tenant.
const (
	booksTarget = "QB Logistics US"
	crmTarget   = "HubSpot Marketing"
)

// unlimited is what volume tests declare for their destinations, beside a
// sandbox without limits.
const unlimited = "limits: {per_second: 5000, per_minute: 300000, in_flight: 256}\n"

// configuration declares all tenants: a Revenova org, a QuickBooks company, a
// HubSpot portal, and vendors going to both.
func (p *platform) configuration() string {
	var b strings.Builder
	for _, t := range p.tenants {
		b.WriteString(p.declare(t))
	}
	return b.String()
}

func (p *platform) declare(t torture.Tenant) string {
	return fmt.Sprintf(`---
kind: Tenant
id: %[1]s
slug: %[2]s
name: %[2]s
limits:
  webhooks_per_second: 5000
---
kind: Connection
tenant: %[1]s
name: Revenova
app: revenova
base_url: %[3]s
remote_account: %[4]s
auth:
  kind: client_credentials
  token_url: %[3]s/services/oauth2/token
  client_id: sf-client-%[1]s
  client_secret: {env: E2E_SECRET}
webhook:
  secrets:
    - {env: E2E_KEY_%[1]s}
  signing_secrets:
    - {env: E2E_SIGNING_%[1]s}
---
kind: Connection
tenant: %[1]s
name: %[7]s
app: quickbooks
base_url: %[3]s
remote_account: "%[5]s"
auth:
  kind: refresh_token
  token_url: %[3]s/oauth2/v1/tokens/bearer
  client_id: qb-client-%[1]s
  client_secret: {env: E2E_SECRET}
  refresh_token: {env: E2E_REFRESH_%[1]s}
%[9]s---
kind: Connection
tenant: %[1]s
name: %[8]s
app: hubspot
base_url: %[3]s
remote_account: "%[6]s"
auth:
  kind: token
  token: {env: E2E_TOKEN_%[1]s}
%[9]s---
kind: Route
tenant: %[1]s
entity: TMS_VENDOR
target: %[7]s
---
kind: Route
tenant: %[1]s
entity: TMS_VENDOR
target: %[8]s
`, t.ID, t.Slug, p.sandbox.web, t.Organization, t.Realm, t.Portal, booksTarget, crmTarget, p.limits)
}
