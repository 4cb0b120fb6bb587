package hubspot

import (
	"testing"

	"github.com/fluxnex/fluxnex/pkg/record"
)

func TestAnObjectIsReadAsItIs(t *testing.T) {
	o, err := replicator{}.Observe("rest", "application/json", []byte(`{"id":"512","properties":{"name":"Acme","zip":"04001","phone":null},"createdAt":"2026-03-02T09:00:00Z","updatedAt":"2026-03-02T09:00:01.5Z","archived":false}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]record.Field{}
	for _, f := range o.Fields {
		got[f.Name] = f
	}
	if got["zip"].Value != "04001" || got["phone"].Kind != record.KindNull || got["name"].Value != "Acme" || got["id"].Value != "512" || len(got) != 7 {
		t.Errorf("fields %+v", o.Fields)
	}
	if o.Version != "2026-03-02T09:00:01.500Z" || o.Deleted || o.Complete {
		t.Errorf("observation %+v", o)
	}
	for _, bad := range []string{`null`, `{}`, `{"id":"1","properties":[]}`, `x`} {
		if _, err := (replicator{}).Observe("rest", "", []byte(bad), nil); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}
