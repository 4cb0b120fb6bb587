package rig

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// The targets of every tenant.
const (
	booksTarget = "QB Logistics US"
	crmTarget   = "HubSpot Marketing"
)

const clientSecret = "torture-client-secret"

func refreshToken(t torture.Tenant) string { return "refresh-" + t.ID }

func privateToken(t torture.Tenant) string { return "pat-" + t.ID }

// newTenants are n tenants with secrets and accounts of their own.
func newTenants(n int) ([]torture.Tenant, error) {
	out := make([]torture.Tenant, n)
	for i := range out {
		key, signing := make([]byte, 32), make([]byte, 32)
		for _, b := range [][]byte{key, signing} {
			if _, err := rand.Read(b); err != nil {
				return nil, err
			}
		}
		out[i] = torture.Tenant{
			ID:            fmt.Sprintf("t%d", i+1),
			Slug:          fmt.Sprintf("tenant-%d", i+1),
			Organization:  torture.LongID(fmt.Sprintf("00D5g0000%06d", i+1)),
			Realm:         fmt.Sprintf("91303477981%05d", i+1),
			Portal:        fmt.Sprintf("4455%04d", i+1),
			WebhookKey:    hex.EncodeToString(key),
			SigningSecret: "whsec_" + base64.StdEncoding.EncodeToString(signing),
		}
	}
	return out, nil
}

// secrets puts what the declarations refer to into the environment.
func (r *Rig) secrets() {
	r.env = append(r.env, "TORTURE_SECRET="+clientSecret)
	for _, t := range r.tenants {
		r.env = append(r.env,
			"TORTURE_KEY_"+t.ID+"="+t.WebhookKey,
			"TORTURE_SIGNING_"+t.ID+"="+t.SigningSecret,
			"TORTURE_REFRESH_"+t.ID+"="+refreshToken(t),
			"TORTURE_TOKEN_"+t.ID+"="+privateToken(t))
	}
}

// declarations are all tenants: a Revenova org, a QuickBooks company, a HubSpot
// portal, vendors going to both, customers and invoices to QuickBooks.
func (r *Rig) declarations() string {
	var b strings.Builder
	for _, t := range r.tenants {
		fmt.Fprintf(&b, `---
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
  client_secret: {env: TORTURE_SECRET}
webhook:
  secrets:
    - {env: TORTURE_KEY_%[1]s}
  signing_secrets:
    - {env: TORTURE_SIGNING_%[1]s}
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
  client_secret: {env: TORTURE_SECRET}
  refresh_token: {env: TORTURE_REFRESH_%[1]s}
settings:
  home_currency: USD
  item_ref: {default: "1"}
  expense_account_ref: "3"
limits: {per_second: 5000, per_minute: 300000, in_flight: 256}
---
kind: Connection
tenant: %[1]s
name: %[8]s
app: hubspot
base_url: %[3]s
remote_account: "%[6]s"
auth:
  kind: token
  token: {env: TORTURE_TOKEN_%[1]s}
limits: {per_second: 5000, per_minute: 300000, in_flight: 256}
---
kind: Route
tenant: %[1]s
entity: TMS_VENDOR
target: %[7]s
---
kind: Route
tenant: %[1]s
entity: TMS_CUSTOMER
target: %[7]s
---
kind: Route
tenant: %[1]s
entity: TMS_INVOICE
target: %[7]s
---
kind: Route
tenant: %[1]s
entity: TMS_VENDOR
target: %[8]s
`, t.ID, t.Slug, r.outside, t.Organization, t.Realm, t.Portal, booksTarget, crmTarget)
	}
	return b.String()
}

// sandboxSeed writes the tenants' accounts, and who may call for them, into the
// file that the sandbox is started with.
func (r *Rig) sandboxSeed() (string, error) {
	type grant struct {
		ClientID     string   `json:"client_id"`
		ClientSecret string   `json:"client_secret,omitempty"`
		RefreshToken string   `json:"refresh_token,omitempty"`
		AccessTokens []string `json:"access_tokens,omitempty"`
		NoGrace      bool     `json:"no_grace,omitempty"`
	}
	type account struct {
		ID     string  `json:"id,omitempty"`
		Realm  string  `json:"realm,omitempty"`
		Name   string  `json:"name"`
		Tenant string  `json:"tenant"`
		Grants []grant `json:"grants"`

		Preferences map[string]bool `json:"preferences,omitempty"`
	}
	var seed struct {
		QuickBooks []account `json:"quickbooks"`
		HubSpot    []account `json:"hubspot"`
		Salesforce []account `json:"salesforce"`
	}
	for _, n := range r.tenants {
		company := account{Realm: n.Realm, Name: booksTarget, Tenant: n.ID, Grants: []grant{{
			ClientID: "qb-client-" + n.ID, ClientSecret: clientSecret, RefreshToken: refreshToken(n), NoGrace: r.cfg.asked(endingTokens),
		}}}
		if r.cfg.asked(lostAnswers) {
			company.Preferences = map[string]bool{"forgets_request_ids": true}
		}
		seed.QuickBooks = append(seed.QuickBooks, company)
		seed.HubSpot = append(seed.HubSpot, account{ID: n.Portal, Name: crmTarget, Tenant: n.ID, Grants: []grant{{ClientID: "private-app", AccessTokens: []string{privateToken(n)}}}})
		seed.Salesforce = append(seed.Salesforce, account{ID: n.Organization, Name: n.Slug, Tenant: n.ID, Grants: []grant{{ClientID: "sf-client-" + n.ID, ClientSecret: clientSecret}}})
	}
	b, err := json.Marshal(seed)
	if err != nil {
		return "", err
	}
	path := filepath.Join(r.dir, "accounts.json")
	return path, os.WriteFile(path, b, 0o600)
}
