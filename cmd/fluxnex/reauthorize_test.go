package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/sandbox"
	"github.com/fluxnex/fluxnex/sandbox/hubspot"
	"github.com/fluxnex/fluxnex/sandbox/oauth"
	"github.com/fluxnex/fluxnex/sandbox/quickbooks"
)

// secondRealm is another company that the same client was connected to.
const secondRealm = "9130347798120999"

// atSandbox declares the example tenant at a sandbox with two companies.
func atSandbox(t *testing.T) *operator {
	t.Helper()
	seed := sandbox.ExampleSeed()
	seed.QuickBooks = append(seed.QuickBooks, quickbooks.Company{
		Realm: secondRealm, Name: "Another company", Tenant: "envoy",
		Grants: []oauth.Grant{{ClientID: sandbox.ExampleQuickBooksClientID, ClientSecret: sandbox.ExampleQuickBooksClientSecret, RefreshToken: "refresh-of-the-other"}},
	})
	seed.HubSpot = append(seed.HubSpot, hubspot.Portal{ID: "99887766", Name: "Another portal", Tenant: "envoy", Grants: []oauth.Grant{{ClientID: "private-app", AccessTokens: []string{"pat-of-the-other"}}}})
	s, err := sandbox.New(sandbox.Config{Limits: "off", Seed: &seed})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	o := newOperator(t)
	maps.Copy(o.env, map[string]string{
		"ENVOY_SALESFORCE_URL": server.URL, "ENVOY_QUICKBOOKS_URL": server.URL, "ENVOY_HUBSPOT_URL": server.URL,
		"ENVOY_QUICKBOOKS_CLIENT_SECRET": sandbox.ExampleQuickBooksClientSecret,
		"ENVOY_QUICKBOOKS_REFRESH_TOKEN": "lost",
		"FLUXNEX_ALLOW_DIAL":             strings.TrimPrefix(server.URL, "http://"),
		"SANDBOX":                        server.URL,
	})
	o.must("apply", "-f", exampleDir)
	return o
}

func TestReauthorizeTriesCredentialsBeforeItStoresThem(t *testing.T) {
	o := atSandbox(t)
	const name = "QB Logistics US"
	version := func() int64 {
		var list []connectionJSON
		if out := o.must("connection", "status", "envoylogistics", name, "-o", "json"); json.Unmarshal([]byte(out), &list) != nil || len(list) != 1 || list[0].State != "open" {
			t.Fatalf("connection status said:\n%s", out)
		}
		return list[0].Version
	}
	before := version()
	for what, c := range map[string]struct{ env, field, says string }{
		"refused by QuickBooks":      {"nobody-knows-this", "refresh_token", "nothing was stored"},
		"another company's":          {"refresh-of-the-other", "refresh_token", "does not cover this company"},
		"a field that it has not":    {"x", "token", "has client_secret, refresh_token"},
		"a variable that is not set": {"", "refresh_token", "is empty"},
	} {
		o.env["NEW"] = c.env
		if out, err := o.run("connection", "reauthorize", "envoy", name, "--env", c.field+"=NEW"); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
	if got := o.secret(name, "refresh_token"); got != "lost" || version() != before {
		t.Fatalf("a refused credential was stored: %q, version %d", got, version())
	}
	o.env["NEW"] = "pat-of-the-other"
	if out, err := o.run("connection", "reauthorize", "envoy", "HubSpot Marketing", "--env", "token=NEW"); err == nil || !strings.Contains(err.Error(), `belong to account "99887766"`) {
		t.Errorf("another portal's token: %v\n%s", err, out)
	}
	o.env["NEW"] = sandbox.ExampleQuickBooksRefreshToken
	if out := o.must("connection", "reauthorize", "envoy", name, "--env", "refresh_token=NEW"); !strings.Contains(out, "authorised again") || strings.Contains(out, sandbox.ExampleQuickBooksRefreshToken) {
		t.Errorf("reauthorize said %s", out)
	}
	// The trial rotated the token: what is stored is what QuickBooks knows now.
	if got := o.secret(name, "refresh_token"); got == "lost" || got == sandbox.ExampleQuickBooksRefreshToken || version() <= before {
		t.Errorf("stored is %q, version %d", got, version())
	}
	// Whoever applies the files with the token that was given changes nothing.
	o.env["ENVOY_QUICKBOOKS_REFRESH_TOKEN"] = sandbox.ExampleQuickBooksRefreshToken
	if out := o.must("diff", "-f", exampleDir); !strings.HasPrefix(out, "no difference") {
		t.Errorf("diff said:\n%s", out)
	}
	res, err := http.Get(o.env["SANDBOX"] + "/_sandbox/ledger?code=refresh_token_reused")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.ContentLength > 0 {
		t.Errorf("a rotated token was used again (%d bytes of ledger)", res.ContentLength)
	}
}
