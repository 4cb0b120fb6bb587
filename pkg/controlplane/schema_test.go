package controlplane_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
)

const published = "../../docs/config.schema.json"

func TestPublishedSchemaIsCurrent(t *testing.T) {
	want, err := controlplane.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(published)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("docs/config.schema.json is not what the code says (%v); run: go generate ./pkg/controlplane", err)
	}
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	file, err := os.Open(published)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	doc, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// instances are the documents of a YAML text as a JSON Schema sees them.
func instances(t *testing.T, text []byte) []any {
	t.Helper()
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []any
	for _, doc := range tree.Docs {
		if doc.Body == nil {
			continue
		}
		raw, err := yaml.YAMLToJSON([]byte(doc.Body.String()))
		if err != nil {
			t.Fatal(err)
		}
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, instance)
	}
	return out
}

func TestExampleFitsThePublishedSchema(t *testing.T) {
	schema := compile(t)
	files, err := filepath.Glob("../../examples/envoylogistics/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no example files: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, instance := range instances(t, text) {
			if err := schema.Validate(instance); err != nil {
				t.Errorf("%s, document %d: %v", file, i+1, err)
			}
		}
	}
}

func TestSchemaRefusesWhatTheDecoderRefuses(t *testing.T) {
	schema := compile(t)
	for name, text := range map[string]string{
		"unknown kind":   "kind: Tenand\nid: a\nslug: a\n",
		"unknown field":  "kind: Tenant\nid: a\nslug: a\nslugg: b\n",
		"missing field":  "kind: Tenant\nid: a\n",
		"inline secret":  "kind: Connection\ntenant: a\nname: b\napp: hubspot\nremote_account: c\nauth: {kind: token, token: abc}\n",
		"unknown entity": "kind: Route\ntenant: a\nentity: TMS_VENDORS\ntarget: b\n",
		"wrong type":     "kind: Tenant\nid: a\nslug: a\nlimits: {max_body_bytes: many}\n",
	} {
		_, problems := controlplane.Parse("x.yaml", []byte(text), os.LookupEnv)
		if len(problems) == 0 {
			t.Errorf("%s: the decoder takes it", name)
		}
		for _, instance := range instances(t, []byte(text)) {
			if schema.Validate(instance) == nil {
				t.Errorf("%s: the schema takes it", name)
			}
		}
	}
}
