package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/fluxnex/fluxnex/pkg/secret"
)

const planted = "planted-a81f-token"

func TestSecretNeverPrints(t *testing.T) {
	s := secret.Secret(planted)
	type holder struct{ Token secret.Secret }
	var out bytes.Buffer
	for _, verb := range []string{"%s", "%v", "%+v", "%#v", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+" ", s)
		fmt.Fprintf(&out, verb+" ", holder{s})
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", slog.Any("token", s), slog.Any("holder", holder{s}))
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", slog.Any("token", s), slog.Any("holder", holder{s}))
	for _, encode := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		text, err := encode(map[string]any{"token": s, "holder": holder{s}, "list": []secret.Secret{s}})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
	}
	for _, form := range []string{planted, fmt.Sprintf("%x", planted), fmt.Sprintf("%X", planted)} {
		if strings.Contains(out.String(), form) {
			t.Fatalf("printed: %s", out.String())
		}
	}
	if s.Reveal() != planted {
		t.Fatalf("Reveal gave %q", s.Reveal())
	}
}

func keyring(t testing.TB) (*secret.Keyring, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyset.json")
	if err := secret.Create(path); err != nil {
		t.Fatal(err)
	}
	k, err := secret.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return k, path
}

func TestOnlyTheOwnerOpens(t *testing.T) {
	k, _ := keyring(t)
	owner := secret.Owner{Tenant: "envoy", Connection: "QB", Field: "token"}
	sealed, err := k.Encrypt(planted, owner)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte(planted)) {
		t.Fatal("the ciphertext shows the secret")
	}
	if got, err := k.Decrypt(sealed, owner); err != nil || got.Reveal() != planted {
		t.Fatalf("got %q, %v", got.Reveal(), err)
	}
	for _, other := range []secret.Owner{
		{Tenant: "other", Connection: "QB", Field: "token"},
		{Tenant: "envoy", Connection: "QB2", Field: "token"},
		{Tenant: "envoy", Connection: "QB", Field: "refresh_token"},
		{Tenant: "envoyQ", Connection: "B", Field: "token"},
		{},
	} {
		if got, err := k.Decrypt(sealed, other); !errors.Is(err, secret.ErrSealed) {
			t.Errorf("%+v opened it: %q, %v", other, got.Reveal(), err)
		}
	}
	another, _ := keyring(t)
	if _, err := another.Decrypt(sealed, owner); !errors.Is(err, secret.ErrSealed) {
		t.Errorf("another key set: %v", err)
	}
}

func TestAnyFlippedBitOrCutIsRefused(t *testing.T) {
	k, _ := keyring(t)
	owner := secret.Owner{Tenant: "envoy", Connection: "QB", Field: "token"}
	sealed, err := k.Encrypt(planted, owner)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(sealed) * 8 {
		changed := bytes.Clone(sealed)
		changed[i/8] ^= 1 << (i % 8)
		if got, err := k.Decrypt(changed, owner); !errors.Is(err, secret.ErrSealed) {
			t.Fatalf("bit %d flipped: %q, %v", i, got.Reveal(), err)
		}
	}
	for n := range sealed {
		if got, err := k.Decrypt(sealed[:n], owner); !errors.Is(err, secret.ErrSealed) {
			t.Fatalf("cut to %d bytes: %q, %v", n, got.Reveal(), err)
		}
	}
}

func TestRotationNeedsNoRestart(t *testing.T) {
	k, path := keyring(t)
	owner := secret.Owner{Tenant: "envoy", Connection: "QB", Field: "token"}
	old, err := k.Encrypt(planted, owner)
	if err != nil {
		t.Fatal(err)
	}
	if err := secret.Rotate(path); err != nil {
		t.Fatal(err)
	}
	// Another process has seen the rotation first; this one meets its ciphertext.
	other, err := secret.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := other.Encrypt(planted, owner)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Decrypt(fresh, owner); err != nil || got.Reveal() != planted {
		t.Fatalf("the running process could not open a value under the new key: %v", err)
	}
	if k.Newest(old) || !k.Newest(fresh) || k.Newest(nil) {
		t.Fatalf("Newest: old %v, fresh %v", k.Newest(old), k.Newest(fresh))
	}
	if _, err := k.Decrypt(old, owner); err != nil {
		t.Fatalf("old value during rotation: %v", err)
	}
	again, err := k.Encrypt(planted, owner)
	if err != nil {
		t.Fatal(err)
	}
	if err := secret.Prune(path); err != nil {
		t.Fatal(err)
	}
	pruned, err := secret.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pruned.Decrypt(again, owner); err != nil {
		t.Fatalf("re-encrypted value after the end of the rotation: %v", err)
	}
	if _, err := pruned.Decrypt(old, owner); !errors.Is(err, secret.ErrSealed) {
		t.Fatalf("the pruned key still opens values: %v", err)
	}
}

func TestKeySetFilesAreNeverOverwrittenOrQuoted(t *testing.T) {
	_, path := keyring(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := secret.Create(path); err == nil {
		t.Fatal("overwritten")
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Fatalf("the file changed: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte(`{"primaryKeyId":"`+planted+`"`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = secret.Open(path)
	if err == nil || strings.Contains(err.Error(), planted) {
		t.Fatalf("got %v", err)
	}
	if _, err := secret.Open(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "fluxnex keyset create") {
		t.Fatalf("a missing file has no remedy: %v", err)
	}
}

func FuzzDecrypt(f *testing.F) {
	k, _ := keyring(f)
	owner := secret.Owner{Tenant: "envoy", Connection: "QB", Field: "token"}
	sealed, err := k.Encrypt(planted, owner)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(nil))
	f.Add(sealed[:7])
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1, 2, 3})
	f.Add([]byte{0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = k.Newest(b)
		if got, err := k.Decrypt(b, owner); err == nil && !bytes.Equal(b, sealed) {
			t.Fatalf("opened %x as %q", b, got.Reveal())
		}
	})
}
