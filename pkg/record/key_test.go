package record

import (
	"errors"
	"testing"
)

func TestKeysOfDifferentRecordsDiffer(t *testing.T) {
	pairs := [][2]string{{"a/b", "c"}, {"a", "b/c"}, {"a%2Fb", "c"}, {"a", "b%2Fc"}, {"", "a/b/c"}, {"a/b/c", ""}}
	seen := map[Key][2]string{}
	for _, p := range pairs {
		k := KeyOf(TenantID(p[0]), ID(p[1]))
		if other, dup := seen[k]; dup {
			t.Errorf("%q and %q share the key %q", p, other, k)
		}
		seen[k] = p
	}
	for k, p := range seen {
		for _, q := range pairs {
			if k.Is(TenantID(q[0]), ID(q[1])) != (p == q) {
				t.Errorf("%q is the key of %q, and is taken for that of %q: %t", k, p, q, p != q)
			}
		}
	}
}

func TestParseRefusesOtherSpellings(t *testing.T) {
	for _, k := range []Key{"", "noslash", "a/b%", "a/b%2", "a/b%zz", "a/b%2f", "a/b%41", "a/b/c", "a\x00/b"} {
		if tenant, id, err := k.Parse(); !errors.Is(err, ErrKey) {
			t.Errorf("%q parsed as %q, %q, error %v", k, tenant, id, err)
		}
	}
}

func FuzzKey(f *testing.F) {
	f.Add("envoy", "revenova:0015g00000AbCdEAAV")
	f.Add("a/b", "c%2F\x00\r\n")
	f.Fuzz(func(t *testing.T, tenant, id string) {
		k := KeyOf(TenantID(tenant), ID(id))
		gotTenant, gotID, err := k.Parse()
		if err != nil || string(gotTenant) != tenant || string(gotID) != id {
			t.Errorf("%q, %q → %q → %q, %q, %v", tenant, id, k, gotTenant, gotID, err)
		}
		if plain := Key(tenant + "/" + id); !k.Is(TenantID(tenant), ID(id)) || plain.Is(TenantID(tenant), ID(id)) != (plain == k) {
			t.Errorf("%q, %q: is %q its key, and %q?", tenant, id, k, plain)
		}
	})
}

func TestIDParts(t *testing.T) {
	id := NewID("quickbooks", "Vendor:56")
	if id.App() != "quickbooks" || id.Local() != "Vendor:56" {
		t.Errorf("%q split into %q and %q", id, id.App(), id.Local())
	}
}

func TestRevisionsOrderByGenerationFirst(t *testing.T) {
	old, young := Revision{1, 900}, Revision{2, 3}
	if old.Compare(young) != -1 || young.Compare(old) != 1 || old.Compare(old) != 0 {
		t.Errorf("%v and %v compare as %d", old, young, old.Compare(young))
	}
}

func TestReplicaFindsFieldsByExactName(t *testing.T) {
	r := &Replica{Fields: []Field{{Name: "BillingCity", Value: "Reno"}, {Name: "Name", Value: "Acme"}}}
	if r.Text("Name") != "Acme" || r.Text("name") != "" || (*Replica)(nil).Text("Name") != "" {
		t.Errorf("Name %q, name %q", r.Text("Name"), r.Text("name"))
	}
}
