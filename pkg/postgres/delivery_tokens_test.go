package postgres

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/httpapi/token"
	"github.com/fluxnex/fluxnex/pkg/secret"
)

// tokensOf gives the vault of a connection with a refresh token, as two
// processes have it.
func tokensOf(t *testing.T) (*DB, *Tokens, *Tokens) {
	t.Helper()
	db := open(t)
	path := filepath.Join(t.TempDir(), "keyset.json")
	if err := secret.Create(path); err != nil {
		t.Fatal(err)
	}
	keys, err := secret.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	one, other := NewVault(NewControlPlane(db), keys).Tokens(), NewVault(NewControlPlane(db), keys).Tokens()
	_, err = db.pool.Exec(t.Context(), `
		WITH t AS (INSERT INTO tenant (id, slug, spec, version) VALUES ('envoy', 'envoy', '{}', 1) RETURNING id)
		INSERT INTO app_connection (tenant_id, name, app, remote_account, spec, version) SELECT id, 'QB', 'quickbooks', '1', '{}', 1 FROM t`)
	if err != nil {
		t.Fatal(err)
	}
	setSecret(t, db, one, token.FieldRefreshToken, "rt-0")
	return db, one, other
}

func setSecret(t *testing.T, db *DB, tokens *Tokens, field, text string) {
	t.Helper()
	sealed, err := tokens.vault.Seal("envoy", "QB", field, secret.Secret(text), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.pool.Exec(t.Context(), `INSERT INTO credential AS c (tenant_id, connection, field, ciphertext, declared) VALUES ('envoy', 'QB', $1, $2, $2)
		ON CONFLICT (tenant_id, connection, field) DO UPDATE SET ciphertext = EXCLUDED.ciphertext, version = c.version + 1`, field, sealed.Ciphertext)
	if err != nil {
		t.Fatal(err)
	}
}

func TestTokenRefreshesOfTwoProcessesDoNotOverlap(t *testing.T) {
	_, one, other := tokensOf(t)
	var inside, rotations atomic.Int64
	var wg sync.WaitGroup
	for i := range 6 {
		tokens := []*Tokens{one, other}[i%2]
		wg.Go(func() {
			err := tokens.Refresh(t.Context(), "envoy", "QB", func(_ context.Context, stored map[string]token.Secret) (map[string]token.Secret, error) {
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d refreshes at once", n)
				}
				defer inside.Add(-1)
				if got, want := stored[token.FieldRefreshToken].Text.Reveal(), fmt.Sprint("rt-", rotations.Load()); got != want {
					t.Errorf("a refresh saw %s, the newest is %s", got, want)
				}
				n := rotations.Add(1)
				return map[string]token.Secret{token.FieldRefreshToken: {Text: secret.Secret(fmt.Sprint("rt-", n))}, token.FieldAccessToken: {Text: "at", ExpiresAt: time.Now().Add(time.Hour)}}, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	stored, err := other.Secrets(t.Context(), "envoy", "QB")
	if err != nil || stored[token.FieldRefreshToken].Text != "rt-6" || stored[token.FieldAccessToken].ExpiresAt.IsZero() {
		t.Errorf("stored %v, %v; want rt-6 and an access token that expires", stored, err)
	}
}

// Somebody re-authorises while a refresh with the old token is under way.
func TestARefreshDoesNotOverwriteWhatWasApplied(t *testing.T) {
	db, tokens, _ := tokensOf(t)
	err := tokens.Refresh(t.Context(), "envoy", "QB", func(context.Context, map[string]token.Secret) (map[string]token.Secret, error) {
		setSecret(t, db, tokens, token.FieldRefreshToken, "applied")
		return map[string]token.Secret{token.FieldRefreshToken: {Text: "rotated from the old one"}}, nil
	})
	if !errors.Is(err, ErrCredentialsReplaced) {
		t.Errorf("got %v, want ErrCredentialsReplaced", err)
	}
	stored, err := tokens.Secrets(t.Context(), "envoy", "QB")
	if got := stored[token.FieldRefreshToken].Text.Reveal(); err != nil || got != "applied" {
		t.Errorf("stored %q, %v; want what was applied", got, err)
	}
}
