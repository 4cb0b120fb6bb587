package main

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/fluxnex/fluxnex/examples"
	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/sandbox"
)

const (
	exampleOrganization = sandbox.ExampleOrg
	exampleRealm        = sandbox.ExampleRealm
)

// exampleEnvironment answers the variables that the example tenant's files
// name: the sandbox's accounts, and this data directory's webhook secrets.
func (d *devPlatform) exampleEnvironment(name string) (string, bool) {
	values := map[string]string{
		"ENVOY_SALESFORCE_URL":           d.sandbox,
		"ENVOY_QUICKBOOKS_URL":           d.sandbox,
		"ENVOY_HUBSPOT_URL":              d.sandbox,
		"ENVOY_SALESFORCE_CLIENT_ID":     sandbox.ExampleSalesforceClientID,
		"ENVOY_SALESFORCE_CLIENT_SECRET": sandbox.ExampleSalesforceClientSecret,
		"ENVOY_QUICKBOOKS_CLIENT_ID":     sandbox.ExampleQuickBooksClientID,
		"ENVOY_QUICKBOOKS_CLIENT_SECRET": sandbox.ExampleQuickBooksClientSecret,
		"ENVOY_QUICKBOOKS_REFRESH_TOKEN": sandbox.ExampleQuickBooksRefreshToken,
		"ENVOY_HUBSPOT_TOKEN":            sandbox.ExampleHubSpotPrivateToken,
		"ENVOY_REVENOVA_WEBHOOK_KEY":     d.secrets.WebhookKey,
		"ENVOY_REVENOVA_SIGNING_SECRET":  d.secrets.WebhookSigning,
	}
	v, ok := values[name]
	return v, ok
}

// loadExample applies the example tenant and says what changed.
func (d *devPlatform) loadExample(ctx context.Context) (string, error) {
	plane, closePlane, err := openPlane(ctx, d.cfg, d.exampleEnvironment)
	if err != nil {
		return "", err
	}
	defer closePlane()
	var objects []controlplane.Object
	files, err := fs.Glob(examples.Envoylogistics, "envoylogistics/*.yaml")
	if err != nil {
		return "", err
	}
	for _, file := range files {
		text, err := examples.Envoylogistics.ReadFile(file)
		if err != nil {
			return "", err
		}
		parsed, problems := controlplane.Parse(file, text, d.exampleEnvironment)
		if len(problems) > 0 {
			return "", problems
		}
		objects = append(objects, parsed...)
	}
	applied, err := plane.Apply(ctx, objects, "fluxnex demo")
	if err != nil {
		return "", err
	}
	if len(applied.Changes) == 0 {
		return "is configured as before", nil
	}
	return fmt.Sprintf("%d objects applied, configuration version %d", len(applied.Changes), applied.Version), nil
}
