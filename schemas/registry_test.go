package schemas_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/schemas"
	"github.com/fluxnex/fluxnex/tests/parts"
)

// TestRegistriesKeepOurRules holds what this package says of compatibility
// against registries that others wrote: twice opened is once registered, all
// apps share an id, an incompatible change is refused, another reader finds
// the schema.
func TestRegistriesKeepOurRules(t *testing.T) {
	parts.EachKafka(t, func(t *testing.T, c parts.Cluster) {
		registry, err := kafka.NewRegistry(kafka.Config{RegistryURL: c.RegistryURL})
		if err != nil {
			t.Fatal(err)
		}
		topics := record.Topics{Prefix: c.Prefix}
		apps := []string{"quickbooks", "hubspot"}
		first, err := schemas.Open(t.Context(), registry, topics, apps)
		if err != nil {
			t.Fatal(err)
		}
		second, err := schemas.Open(t.Context(), registry, topics, apps)
		if err != nil {
			t.Fatalf("opened again: %v", err)
		}
		want := record.OutboundCommand{TenantID: "envoy", RecordID: "revenova:1", Verb: record.VerbUpsert, Payload: []byte(`{"a":1}`)}
		a, err := first.Outbound.Append(nil, &want)
		if err != nil {
			t.Fatal(err)
		}
		b, err := second.Outbound.Append(nil, &want)
		if err != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("two processes write %x and %x (%v)", a, b, err)
		}
		text, err := schemas.Text("gateway-event")
		if err != nil {
			t.Fatal(err)
		}
		subject := topics.Gateway() + "-value"
		for name, change := range map[string][2]string{
			"retyped":            {`"name": "detail", "type": "string", "default": ""`, `"name": "detail", "type": "long", "default": 0`},
			"without a default":  {`{"name": "detail", "type": "string", "default": ""}`, `{"name": "detail", "type": "string", "default": ""}, {"name": "new", "type": "string"}`},
			"removed identifier": {`{"name": "tenant_id", "type": "string"},`, ``},
		} {
			next := strings.Replace(text, change[0], change[1], 1)
			if next == text {
				t.Fatalf("%s: the schema no longer has %s", name, change[0])
			}
			if _, err := registry.Register(t.Context(), subject, next); !errors.Is(err, schemas.ErrIncompatible) {
				t.Errorf("%s: the registry says %v, want a refusal", name, err)
			}
		}
		newer := strings.Replace(text, `{"name": "detail", "type": "string", "default": ""}`, `{"name": "detail", "type": "string", "default": ""}, {"name": "new", "type": "string", "default": ""}`, 1)
		id, err := registry.Register(t.Context(), subject, newer)
		if err != nil {
			t.Fatalf("a field with a default is refused: %v", err)
		}
		written, err := first.Gateway.Append(nil, &record.GatewayEvent{TenantID: "envoy", Detail: "d"})
		if err != nil {
			t.Fatal(err)
		}
		// The newer writer has one string more, after detail; version, payload
		// and config_version follow.
		tail := written[len(written)-3:]
		foreign := append(append(header(id), written[5:len(written)-3]...), append([]byte{2, 'x'}, tail...)...)
		got, err := second.Gateway.Decode(t.Context(), foreign)
		if err != nil || got.Detail != "d" {
			t.Errorf("a newer writer's value reads as %+v (%v)", got, err)
		}
		if _, err := second.Gateway.Decode(t.Context(), append(header(1<<30), 0)); err == nil || !strings.Contains(err.Error(), schemas.CodeUnknownSchema) {
			t.Errorf("an unknown id is %v, want %s", err, schemas.CodeUnknownSchema)
		}
	})
}
