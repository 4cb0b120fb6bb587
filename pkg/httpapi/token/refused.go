package token

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/secret"
)

// remember is what is stored of a refusal: its code and what was refused, for
// as long as a dead credential is not tried again.
func (a *authorizer) remember(stored map[string]Secret, f *fault.Error) map[string]Secret {
	return map[string]Secret{FieldRefused: {Text: secret.Secret(f.Code + " " + a.mark(stored)), ExpiresAt: a.s.clock().Add(settleTime)}}
}

// refusedBefore is another process's refusal, just now, of the same credential.
func (a *authorizer) refusedBefore(stored map[string]Secret) *fault.Error {
	have := stored[FieldRefused]
	code, mark, ok := strings.Cut(have.Text.Reveal(), " ")
	if !ok || mark != a.mark(stored) || !a.s.clock().Before(have.ExpiresAt) {
		return nil
	}
	return fault.Of(a.refused(code, fmt.Errorf("the token endpoint refused the credentials of connection %q a moment ago", a.c.Name)))
}

// mark tells credentials apart without saying them, and what was re-authorised
// from what it was before.
func (a *authorizer) mark(stored map[string]Secret) string {
	h := sha256.New()
	for _, field := range []string{FieldRefreshToken, FieldClientSecret, FieldPrivateKey} {
		sum := sha256.Sum256([]byte(stored[field].Text.Reveal()))
		h.Write(sum[:])
	}
	h.Write([]byte(strconv.FormatInt(a.c.Version, 10) + " " + a.c.Auth.ClientID))
	return hex.EncodeToString(h.Sum(nil)[:16])
}
