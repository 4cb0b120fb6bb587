package controlplane_test

import (
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
)

func noEnvironment(string) (string, bool) { return "", false }

func TestProblemsSayWhereAndWhat(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"typo in a field": {
			"kind: Route\ntenant: envoy\nentity: TMS_VENDOR\ntraget: QB\n",
			`f.yaml:4:1: a Route has no field "traget"; did you mean "target"?`,
		},
		"missing field": {
			"kind: Route\ntenant: envoy\nentity: TMS_VENDOR\n",
			`f.yaml:1:1: target is required`,
		},
		"typo in a nested field": {
			"kind: Connection\ntenant: a\nname: b\napp: hubspot\nremote_account: c\nauth:\n  kind: token\n  tokn: {env: X}\n",
			`f.yaml:8:3: auth has no field "tokn"; did you mean "token"?`,
		},
		"unknown kind": {
			"kind: Rout\n",
			`f.yaml:1:7: there is no kind "Rout"; did you mean "Route"?`,
		},
		"no kind": {
			"tenant: envoy\n",
			`f.yaml:1:1: the object has no kind; expected one of: Tenant, Connection, Route, Mapping`,
		},
		"unknown entity": {
			"kind: Route\ntenant: envoy\nentity: TMS_VENDOOR\ntarget: QB\n",
			`f.yaml:3:9: entity: "TMS_VENDOOR" is not known; did you mean "TMS_VENDOR"?`,
		},
		"wrong type": {
			"kind: Tenant\nid: a\nslug: a\nlimits:\n  max_body_bytes: 1MiB\n",
			`f.yaml:5:19: limits.max_body_bytes: expected a whole number, found "1MiB"`,
		},
		"list for a text": {
			"kind: Tenant\nid: [a]\nslug: a\n",
			`f.yaml:2:5: id: expected a text, found a list`,
		},
		"written twice": {
			"kind: Tenant\nid: a\nid: b\nslug: a\n",
			`f.yaml:3:1: not valid YAML: mapping key "id" already defined at [2:1]`,
		},
		"inline secret": {
			"kind: Connection\ntenant: a\nname: b\napp: hubspot\nremote_account: c\nauth:\n  kind: token\n  token: pat-na1-planted\n",
			`f.yaml:8:10: auth.token: a secret is never written into a file; write {env: NAME} or {file: path} and put it there`,
		},
		"unset variable": {
			"kind: Connection\ntenant: a\nname: b\napp: hubspot\nremote_account: ${PORTAL}\n",
			`f.yaml:5:17: remote_account: the environment variable PORTAL is not set; set it, or give a default: ${PORTAL:-default}`,
		},
		"no YAML": {
			"kind: Tenant\n  id: a\n",
			`f.yaml:`,
		},
		"alias": {
			"kind: &k Tenant\nid: a\nslug: a\n",
			`f.yaml:`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := controlplane.Parse("f.yaml", []byte(c.text), noEnvironment)
			got := problems.Error()
			if !strings.HasPrefix(got, c.want) || strings.Contains(got, "planted") {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAllProblemsOfAFileAtOnce(t *testing.T) {
	text := "kind: Tenant\nid: a\nslg: a\n---\nkind: Route\ntenant: a\nentity: X\nwhen: 'true'\n"
	_, problems := controlplane.Parse("f.yaml", []byte(text), noEnvironment)
	for _, want := range []string{"f.yaml:3:1", "slug is required", "f.yaml:7:9", "target is required"} {
		if !strings.Contains(problems.Error(), want) {
			t.Errorf("%q is not among:\n%s", want, problems.Error())
		}
	}
}

func TestNumbersKeepTheirDigits(t *testing.T) {
	text := "kind: Connection\ntenant: a\nname: b\napp: quickbooks\nremote_account: 09130347798120106\n"
	objects, problems := controlplane.Parse("f.yaml", []byte(text), noEnvironment)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	c, ok := objects[0].Spec.(*controlplane.ConnectionSpec)
	if !ok || c.RemoteAccount != "09130347798120106" {
		t.Fatalf("got %#v", objects[0].Spec)
	}
}

func TestOnlyNamedFieldsAreExpanded(t *testing.T) {
	env := func(name string) (string, bool) { return "https://set", name == "URL" }
	text := "kind: Connection\ntenant: a\nname: ${URL}\napp: hubspot\nbase_url: ${URL}/x\nremote_account: ${PORTAL:-42}\n"
	objects, problems := controlplane.Parse("f.yaml", []byte(text), env)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	c, ok := objects[0].Spec.(*controlplane.ConnectionSpec)
	if !ok || c.Name != "${URL}" || c.BaseURL != "https://set/x" || c.RemoteAccount != "42" {
		t.Fatalf("got %#v", objects[0].Spec)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("kind: Tenant\nid: a\nslug: a\n")
	f.Add("kind: Connection\nauth: {token: {env: X}}\nsettings: {a: [1, {b: c}]}\n---\n[]")
	f.Add("kind: Route\n? a\n: b\n<<: *x\n")
	f.Add("- kind: !!binary x\n")
	f.Fuzz(func(_ *testing.T, text string) {
		_, problems := controlplane.Parse("f.yaml", []byte(text), noEnvironment)
		_ = problems.Error()
	})
}
