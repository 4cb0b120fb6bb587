package postgres

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/secret"
)

func tenantChange(id string) controlplane.Change {
	return controlplane.Change{
		Action: controlplane.ActionCreate, Key: controlplane.Key{Kind: controlplane.KindTenant, Name: id},
		After: fmt.Appendf(nil, `{"kind":"Tenant","id":%q,"slug":%q}`, id, id),
	}
}

func connectionChange(tenant, name string) controlplane.Change {
	return controlplane.Change{
		Action: controlplane.ActionCreate, Key: controlplane.Key{Kind: controlplane.KindConnection, Name: tenant + "/" + name},
		After: fmt.Appendf(nil, `{"kind":"Connection","tenant":%q,"name":%q,"app":"quickbooks","remote_account":"9130"}`, tenant, name),
	}
}

func commit(t *testing.T, p *ControlPlane, c controlplane.Commit) int64 {
	t.Helper()
	version, err := p.CommitConfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func TestOfTwoCommitsForOneVersionOneWins(t *testing.T) {
	p := NewControlPlane(open(t))
	var won, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			_, err := p.CommitConfig(context.Background(), controlplane.Commit{Actor: "jane", Changes: []controlplane.Change{tenantChange(fmt.Sprintf("t%d", i))}})
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, controlplane.ErrChanged):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	stored, err := p.LoadConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if won.Load() != 1 || refused.Load() != 7 || stored.Version != 1 || len(stored.Objects) != 1 {
		t.Errorf("%d won, %d refused, version %d with %d objects", won.Load(), refused.Load(), stored.Version, len(stored.Objects))
	}
}

func TestCommitIsWholeOrNotAtAll(t *testing.T) {
	p := NewControlPlane(open(t))
	_, err := p.CommitConfig(t.Context(), controlplane.Commit{Actor: "jane", Changes: []controlplane.Change{tenantChange("a"), connectionChange("nobody", "QB")}})
	if err == nil {
		t.Fatal("a connection of no tenant was stored")
	}
	stored, err := p.LoadConfig(t.Context())
	if err != nil || stored.Version != 0 || len(stored.Objects) != 0 {
		t.Errorf("version %d with %d objects, %v", stored.Version, len(stored.Objects), err)
	}
	if n, err := p.VerifyAudit(t.Context()); n != 0 || err != nil {
		t.Errorf("%d audit entries, %v", n, err)
	}
}

func TestErasedTenantIDIsNeverTakenAgain(t *testing.T) {
	p := NewControlPlane(open(t))
	commit(t, p, controlplane.Commit{Actor: "jane", Changes: []controlplane.Change{tenantChange("a")}})
	key := tenantChange("a").Key
	commit(t, p, controlplane.Commit{Base: 1, Actor: "jane", Changes: []controlplane.Change{{Action: controlplane.ActionDelete, Key: key, Before: []byte("{}")}}})
	_, err := p.CommitConfig(t.Context(), controlplane.Commit{Base: 2, Actor: "jane", Changes: []controlplane.Change{tenantChange("a")}})
	if err == nil || !strings.Contains(err.Error(), "never used again") {
		t.Errorf("got %v", err)
	}
}

func TestAuditTellsWhatWasTamperedWith(t *testing.T) {
	db := open(t)
	p := NewControlPlane(db)
	var changes []controlplane.Change
	for i := range 5 {
		changes = append(changes, tenantChange(fmt.Sprintf("t%d", i)))
	}
	commit(t, p, controlplane.Commit{Actor: "jane", Changes: changes})
	if n, err := p.VerifyAudit(t.Context()); n != 5 || err != nil {
		t.Fatalf("%d entries, %v", n, err)
	}
	for _, statement := range []string{"UPDATE audit SET actor = 'bob'", "DELETE FROM audit", "TRUNCATE audit"} {
		if _, err := db.pool.Exec(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	// Somebody who owns the tables can switch the trigger off; the chain shows it.
	for statement, want := range map[string]string{
		"UPDATE audit SET actor = 'bob' WHERE seq = 3": "audit entry 3 was changed",
		"DELETE FROM audit WHERE seq = 2":              "entry 2 is missing",
		"DELETE FROM audit WHERE seq = 5":              "ends at entry 4, but 5 were written",
	} {
		tx, err := db.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "ALTER TABLE audit DISABLE TRIGGER ALL; CREATE TABLE keep AS TABLE audit; "+statement); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := p.VerifyAudit(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", statement, err, want)
		}
		if _, err := db.pool.Exec(t.Context(), "DELETE FROM audit; INSERT INTO audit TABLE keep; DROP TABLE keep"); err != nil {
			t.Fatal(err)
		}
	}
}

func keyring(t *testing.T) (*secret.Keyring, string) {
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

// sealed is a declared secret of the connection envoy/QB.
func sealed(t *testing.T, keys *secret.Keyring, field string, text secret.Secret) controlplane.SealedSecret {
	t.Helper()
	s := controlplane.SealedSecret{Connection: connectionChange("envoy", "QB").Key, Field: field}
	var err error
	if s.Ciphertext, err = keys.Encrypt(text, secret.Owner{Tenant: "envoy", Connection: "QB", Field: field}); err != nil {
		t.Fatal(err)
	}
	if s.Declared, err = keys.Encrypt(text, secret.Owner{Tenant: "envoy", Connection: "QB", Field: controlplane.DeclaredField(field)}); err != nil {
		t.Fatal(err)
	}
	return s
}

func withConnection(t *testing.T, keys *secret.Keyring) *ControlPlane {
	t.Helper()
	p := NewControlPlane(open(t))
	commit(t, p, controlplane.Commit{
		Actor: "jane", Changes: []controlplane.Change{tenantChange("envoy"), connectionChange("envoy", "QB")},
		Secrets: []controlplane.SealedSecret{sealed(t, keys, "refresh_token", "planted-0")},
	})
	return p
}

func TestWrongKeySetIsRefusedAtStart(t *testing.T) {
	p := NewControlPlane(open(t))
	right, _ := keyring(t)
	wrong, _ := keyring(t)
	for range 2 {
		if err := p.CheckKeyset(t.Context(), right); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.CheckKeyset(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), "FLUXNEX_KEYSET_FILE") {
		t.Errorf("got %v", err)
	}
}

func TestRotatedKeySetNeedsNoDowntime(t *testing.T) {
	keys, path := keyring(t)
	p := withConnection(t, keys)
	if err := p.CheckKeyset(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	read := func(k *secret.Keyring) string {
		t.Helper()
		all, err := NewVault(p, k).Secrets(t.Context(), "envoy", "QB")
		if err != nil {
			t.Fatal(err)
		}
		return all["refresh_token"].Reveal()
	}
	if err := secret.Rotate(path); err != nil {
		t.Fatal(err)
	}
	fresh, err := secret.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := p.Reencrypt(t.Context(), fresh); n != 1 || err != nil {
		t.Fatalf("%d re-encrypted, %v", n, err)
	}
	if got := read(keys); got != "planted-0" {
		t.Errorf("the process that runs since before reads %q", got)
	}
	if err := secret.Prune(path); err != nil {
		t.Fatal(err)
	}
	pruned, err := secret.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.CheckKeyset(t.Context(), pruned); err != nil {
		t.Error(err)
	}
	if got := read(pruned); got != "planted-0" {
		t.Errorf("without the old key: %q", got)
	}
	if n, err := p.Reencrypt(t.Context(), pruned); n != 0 || err != nil {
		t.Errorf("a second run re-encrypted %d, %v", n, err)
	}
}

func TestOneRefreshAtATimeAndNoTokenIsLost(t *testing.T) {
	keys, _ := keyring(t)
	p := withConnection(t, keys)
	v := NewVault(p, keys)
	var at, calls atomic.Int32
	provider := "planted-0" // what the token endpoint takes next
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			err := p.RefreshCredentials(context.Background(), "envoy", "QB", func(ctx context.Context, stored []Credential) ([]Credential, error) {
				if at.Add(1) > 1 {
					t.Error("two refreshes at once")
				}
				defer at.Add(-1)
				token, err := v.Open("envoy", "QB", stored[0])
				if err != nil {
					return nil, err
				}
				if token.Reveal() != provider {
					t.Errorf("sent %s, the provider is at %s", token.Reveal(), provider)
				}
				provider = fmt.Sprintf("planted-%d", calls.Add(1))
				next, err := v.Seal("envoy", "QB", "refresh_token", secret.Secret(provider), time.Time{})
				return []Credential{next}, err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	all, err := v.Secrets(t.Context(), "envoy", "QB")
	if err != nil || all["refresh_token"].Reveal() != "planted-6" {
		t.Errorf("stored %q, %v", all["refresh_token"].Reveal(), err)
	}
}

func TestCallerThatGivesUpDoesNotLoseARotatedToken(t *testing.T) {
	keys, _ := keyring(t)
	p := withConnection(t, keys)
	v := NewVault(p, keys)
	ctx, giveUp := context.WithCancel(t.Context())
	err := p.RefreshCredentials(ctx, "envoy", "QB", func(context.Context, []Credential) ([]Credential, error) {
		giveUp() // the provider has rotated already
		next, err := v.Seal("envoy", "QB", "refresh_token", "planted-1", time.Time{})
		return []Credential{next}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	all, err := v.Secrets(t.Context(), "envoy", "QB")
	if err != nil || all["refresh_token"].Reveal() != "planted-1" {
		t.Errorf("stored %q, %v", all["refresh_token"].Reveal(), err)
	}
	// The lock was given back with it.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := p.RefreshCredentials(ctx, "envoy", "QB", func(context.Context, []Credential) ([]Credential, error) { return nil, nil }); err != nil {
		t.Error(err)
	}
}

func TestCiphertextOfAnotherTenantDoesNotOpen(t *testing.T) {
	keys, _ := keyring(t)
	p := withConnection(t, keys)
	commit(t, p, controlplane.Commit{Base: 1, Actor: "jane", Changes: []controlplane.Change{tenantChange("mallory"), connectionChange("mallory", "QB")}})
	_, err := p.db.pool.Exec(t.Context(), "INSERT INTO credential (tenant_id, connection, field, ciphertext) SELECT 'mallory', connection, field, ciphertext FROM credential")
	if err != nil {
		t.Fatal(err)
	}
	if all, err := NewVault(p, keys).Secrets(t.Context(), "mallory", "QB"); !errors.Is(err, secret.ErrSealed) {
		t.Errorf("opened %q, %v", all["refresh_token"].Reveal(), err)
	}
	var dump string
	if err := p.db.pool.QueryRow(t.Context(), "SELECT string_agg(encode(ciphertext, 'escape') || encode(coalesce(declared, ''), 'escape'), '') FROM credential").Scan(&dump); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(dump, "planted") {
		t.Error("the table shows a secret")
	}
}
