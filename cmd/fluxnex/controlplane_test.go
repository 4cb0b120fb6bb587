package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/secret"
	"github.com/fluxnex/fluxnex/tests/parts"
)

const exampleDir = "../../examples/envoylogistics"

// operator is somebody at a shell with an environment and an empty database.
type operator struct {
	t   *testing.T
	env map[string]string
	db  *postgres.DB
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	url := parts.Postgres(t)
	db, err := postgres.Open(t.Context(), url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := postgres.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	keyset := filepath.Join(t.TempDir(), "keyset.json")
	if err := secret.Create(keyset); err != nil {
		t.Fatal(err)
	}
	return &operator{t: t, db: db, env: map[string]string{
		"FLUXNEX_POSTGRES_URL":           url,
		"FLUXNEX_KEYSET_FILE":            keyset,
		"FLUXNEX_ACTOR":                  "jane",
		"ENVOY_REVENOVA_WEBHOOK_KEY":     strings.Repeat("a1b2c3d4", 8),
		"ENVOY_REVENOVA_SIGNING_SECRET":  "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)),
		"ENVOY_SALESFORCE_CLIENT_SECRET": "planted-sf-secret",
		"ENVOY_QUICKBOOKS_CLIENT_SECRET": "planted-qb-secret",
		"ENVOY_QUICKBOOKS_REFRESH_TOKEN": "planted-refresh-1",
		"ENVOY_HUBSPOT_TOKEN":            "planted-hs-token",
	}}
}

// run is one command line; what it printed and its error.
func (o *operator) run(args ...string) (string, error) {
	o.t.Helper()
	var out bytes.Buffer
	e := &environment{lookup: func(name string) (string, bool) { v, ok := o.env[name]; return v, ok }, in: strings.NewReader(""), out: &out, err: &out}
	root := newRootCommand(e)
	root.SetArgs(args)
	err := root.ExecuteContext(o.t.Context())
	return out.String(), err
}

func (o *operator) must(args ...string) string {
	o.t.Helper()
	out, err := o.run(args...)
	if err != nil {
		o.t.Fatalf("fluxnex %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (o *operator) vault() *postgres.Vault {
	o.t.Helper()
	keys, err := secret.Open(o.env["FLUXNEX_KEYSET_FILE"])
	if err != nil {
		o.t.Fatal(err)
	}
	return postgres.NewVault(postgres.NewControlPlane(o.db), keys)
}

func TestExampleTenantIsAppliedShownAndAppliedAgain(t *testing.T) {
	o := newOperator(t)
	out := o.must("apply", "-f", exampleDir)
	if !strings.Contains(out, "created   Connection envoy/QB Logistics US (secrets: client_secret, refresh_token)") || !strings.Contains(out, "configuration version 1") {
		t.Errorf("apply said:\n%s", out)
	}
	// Again, and by somebody who has none of the secrets: nothing changes.
	for name := range o.env {
		if strings.HasPrefix(name, "ENVOY_") {
			delete(o.env, name)
		}
	}
	if out := o.must("diff", "-f", exampleDir); !strings.HasPrefix(out, "no difference in 14 objects") {
		t.Errorf("diff after apply said:\n%s", out)
	}
	// What get prints can be applied again.
	shown := o.must("get", "-o", "yaml")
	if strings.Contains(shown, "planted") {
		t.Fatalf("get shows a secret:\n%s", shown)
	}
	file := filepath.Join(t.TempDir(), "got.yaml")
	if err := os.WriteFile(file, []byte(shown), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := o.must("diff", "-f", file); !strings.HasPrefix(out, "no difference in 14 objects") {
		t.Errorf("diff of what get printed said:\n%s", out)
	}
	if out := o.must("get"); !strings.Contains(out, "envoy/TMS_VENDOR/HubSpot Marketing") {
		t.Errorf("get said:\n%s", out)
	}
	var list []struct{ Spec map[string]any }
	if out := o.must("get", "connections", "-o", "json"); json.Unmarshal([]byte(out), &list) != nil || len(list) != 3 {
		t.Errorf("get connections -o json said:\n%s", out)
	}
	if _, err := postgres.NewControlPlane(o.db).VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRefreshedTokenSurvivesApplyingTheSameFile(t *testing.T) {
	o := newOperator(t)
	o.must("apply", "-f", exampleDir)
	vault, plane := o.vault(), postgres.NewControlPlane(o.db)
	const name = "QB Logistics US"
	rotated, err := vault.Seal("envoy", name, "refresh_token", "planted-refresh-2", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	err = plane.RefreshCredentials(t.Context(), "envoy", name, func(_ context.Context, _ []postgres.Credential) ([]postgres.Credential, error) {
		return []postgres.Credential{rotated}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	o.must("apply", "-f", exampleDir)
	if got := o.secret(name, "refresh_token"); got != "planted-refresh-2" {
		t.Fatalf("the rotated refresh token was replaced by %q", got)
	}
	// A new one in the file is somebody re-authorising.
	o.env["ENVOY_QUICKBOOKS_REFRESH_TOKEN"] = "planted-refresh-3"
	if out := o.must("apply", "-f", exampleDir); !strings.Contains(out, "changed   Connection envoy/QB Logistics US (secrets: refresh_token)") {
		t.Errorf("apply said:\n%s", out)
	}
	if got := o.secret(name, "refresh_token"); got != "planted-refresh-3" {
		t.Fatalf("the new refresh token was not taken: %q", got)
	}
}

func (o *operator) secret(connection, field string) string {
	o.t.Helper()
	all, err := o.vault().Secrets(o.t.Context(), "envoy", connection)
	if err != nil {
		o.t.Fatal(err)
	}
	return all[field].Reveal()
}

func TestWrongFilesChangeNothing(t *testing.T) {
	o := newOperator(t)
	o.must("apply", "-f", exampleDir)
	for name, c := range map[string]struct{ text, want string }{
		"target": {
			"kind: Route\ntenant: envoy\nentity: TMS_VENDOR\ntarget: QB Logistic US\n",
			`:4:1: target: the tenant has no connection "QB Logistic US"; did you mean "QB Logistics US"?`,
		},
		"entity": {
			"kind: Route\ntenant: envoy\nentity: TMS_LOAD\ntarget: QB Logistics US\n",
			`:3:1: entity: quickbooks does not take TMS_LOAD; it takes `,
		},
		"condition": {
			"kind: Route\ntenant: envoy\nentity: TMS_VENDOR\ntarget: QB Logistics US\nwhen: entity.nam == ''\n",
			`:5:1: when: `,
		},
		"mapping": {
			"kind: Mapping\ntenant: envoy\nentity: TMS_VENDOR\napp: quickbooks\nfields:\n  DisplayNam: entity.name\n",
			`:6:3: mapping of TMS_VENDOR to quickbooks: fields.DisplayNam: `,
		},
		"account": {
			"kind: Connection\ntenant: envoy\nname: HubSpot Marketing\napp: hubspot\nbase_url: http://127.0.0.1:1\nremote_account: 1\nauth: {kind: token, token: {env: ENVOY_HUBSPOT_TOKEN}}\n",
			`:6:1: remote_account: an existing connection stays with its account 44556677`,
		},
		"slug": {"kind: Tenant\nid: other\nslug: envoylogistics\n", `:3:1: slug: "envoylogistics" is the tenant "envoy"'s; choose another`},
		"secret": {
			"kind: Connection\ntenant: envoy\nname: New\napp: hubspot\nbase_url: http://127.0.0.1:1\nremote_account: 1\nauth: {kind: token, token: {env: NOT_SET}}\n",
			`:7:21: auth.token: environment variable NOT_SET is not set, and no such secret is stored yet`,
		},
		"weak": {
			"kind: Connection\ntenant: envoy\nname: New\napp: revenova\nbase_url: http://127.0.0.1:1\nremote_account: 1\nwebhook: {secrets: [{env: FLUXNEX_ACTOR}]}\n",
			`it needs 256 random bits: openssl rand -hex 32`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "f.yaml")
			// The good half of the file must not be applied either.
			text := "kind: Tenant\nid: t-" + name + "\nslug: t-" + name + "\n"
			if err := os.WriteFile(file, []byte(c.text+"---\n"+text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := o.run("apply", "-f", file)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got  %v\nwant %s", err, c.want)
			}
		})
	}
	if out := o.must("get", "tenants"); strings.Contains(out, "t-") {
		t.Errorf("a part of a wrong file was applied:\n%s", out)
	}
}

func TestTwoTenantsShareARealm(t *testing.T) {
	o := newOperator(t)
	o.must("apply", "-f", exampleDir)
	file := filepath.Join(t.TempDir(), "f.yaml")
	text := "kind: Tenant\nid: other\nslug: other\n---\nkind: Connection\ntenant: other\nname: Books\napp: quickbooks\nbase_url: http://127.0.0.1:1\nremote_account: \"9130347798120106\"\nauth: {kind: token, token: {env: ENVOY_HUBSPOT_TOKEN}}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o.must("apply", "-f", file)
}

func TestDeleteKeepsWhatIsNeededAndRetiresTenantIDs(t *testing.T) {
	o := newOperator(t)
	o.must("apply", "-f", exampleDir)
	if _, err := o.run("delete", "connection", "envoy/QB Logistics US"); err == nil || !strings.Contains(err.Error(), "still needed by Route envoy/TMS_") {
		t.Fatalf("got %v", err)
	}
	if _, err := o.run("delete", "connection", "envoy/QB Logistic US"); err == nil || !strings.Contains(err.Error(), `did you mean "envoy/QB Logistics US"?`) {
		t.Fatalf("got %v", err)
	}
	plane := postgres.NewControlPlane(o.db)
	for _, kind := range []controlplane.Kind{controlplane.KindMapping, controlplane.KindRoute, controlplane.KindConnection, controlplane.KindTenant} {
		stored, err := plane.LoadConfig(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range stored.Objects {
			if object.Key.Kind == kind {
				o.must("delete", string(kind), object.Key.Name)
			}
		}
	}
	if _, err := o.run("apply", "-f", exampleDir); err == nil || !strings.Contains(err.Error(), "ids are never used again") {
		t.Fatalf("a deleted tenant's id was taken again: %v", err)
	}
	if n, err := plane.VerifyAudit(t.Context()); err != nil || n != 28 {
		t.Errorf("%d audit entries, %v; 14 creations and 14 deletions were made", n, err)
	}
}

func TestKeySetIsRotatedWhileServicesRun(t *testing.T) {
	o := newOperator(t)
	o.must("apply", "-f", exampleDir)
	running := o.vault()
	o.must("keyset", "rotate")
	if out := o.must("keyset", "reencrypt", "--prune"); !strings.Contains(out, "5 credentials encrypted again") {
		t.Errorf("reencrypt said:\n%s", out)
	}
	all, err := running.Secrets(t.Context(), "envoy", "HubSpot Marketing")
	if err != nil || all["token"].Reveal() != "planted-hs-token" {
		t.Errorf("a service that runs since before reads %q, %v", all["token"].Reveal(), err)
	}
	if out := o.must("diff", "-f", exampleDir); !strings.HasPrefix(out, "no difference") {
		t.Errorf("diff said:\n%s", out)
	}
}
