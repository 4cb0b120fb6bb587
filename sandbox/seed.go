package sandbox

import (
	"github.com/fluxnex/fluxnex/sandbox/hubspot"
	"github.com/fluxnex/fluxnex/sandbox/oauth"
	"github.com/fluxnex/fluxnex/sandbox/quickbooks"
	"github.com/fluxnex/fluxnex/sandbox/salesforce"
)

// Seed is which accounts exist, and who may call for them.
type Seed struct {
	QuickBooks []quickbooks.Company `json:"quickbooks"`
	HubSpot    []hubspot.Portal     `json:"hubspot"`
	Salesforce []salesforce.Org     `json:"salesforce"`
}

// The example tenant's accounts. The secrets open nothing but a sandbox.
const (
	ExampleTenant = "envoy"

	ExampleRealm                  = "9130347798120106"
	ExampleQuickBooksClientID     = "sandbox-quickbooks-client"
	ExampleQuickBooksClientSecret = "sandbox-quickbooks-secret"
	ExampleQuickBooksRefreshToken = "sandbox-quickbooks-refresh-token"

	ExamplePortal              = "44556677"
	ExampleHubSpotPrivateToken = "pat-na1-sandbox-hubspot-private-app-token" //nolint:gosec // sandbox only
	ExampleHubSpotClientID     = "sandbox-hubspot-client"
	ExampleHubSpotClientSecret = "sandbox-hubspot-secret"        //nolint:gosec // sandbox only
	ExampleHubSpotRefreshToken = "sandbox-hubspot-refresh-token" //nolint:gosec // sandbox only

	ExampleOrg                    = "00D5g000004XyZzEAK"
	ExampleSalesforceClientID     = "sandbox-salesforce-client"
	ExampleSalesforceClientSecret = "sandbox-salesforce-secret"
	ExampleSalesforceRefreshToken = "sandbox-salesforce-refresh-token"
)

// ExampleSeed is the example tenant: one QuickBooks company, one HubSpot
// portal (with a private app and an OAuth app), one Revenova org.
func ExampleSeed() Seed {
	return Seed{
		QuickBooks: []quickbooks.Company{{
			Realm: ExampleRealm, Name: "QB Logistics US", Tenant: ExampleTenant,
			Grants: []oauth.Grant{{ClientID: ExampleQuickBooksClientID, ClientSecret: ExampleQuickBooksClientSecret, RefreshToken: ExampleQuickBooksRefreshToken}},
		}},
		HubSpot: []hubspot.Portal{{
			ID: ExamplePortal, Name: "Envoy Marketing", Tenant: ExampleTenant,
			Grants: []oauth.Grant{
				{ClientID: "private-app", AccessTokens: []string{ExampleHubSpotPrivateToken}},
				{ClientID: ExampleHubSpotClientID, ClientSecret: ExampleHubSpotClientSecret, RefreshToken: ExampleHubSpotRefreshToken},
			},
		}},
		Salesforce: []salesforce.Org{{
			ID: ExampleOrg, Name: "Envoy Logistics Revenova", Tenant: ExampleTenant,
			Grants: []oauth.Grant{{ClientID: ExampleSalesforceClientID, ClientSecret: ExampleSalesforceClientSecret, RefreshToken: ExampleSalesforceRefreshToken}},
		}},
	}
}
