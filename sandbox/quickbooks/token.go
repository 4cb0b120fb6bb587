package quickbooks

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/fluxnex/fluxnex/sandbox/call"
	"github.com/fluxnex/fluxnex/sandbox/oauth"
)

// refreshLife is about 100 days, as documented.
const refreshLife = 8_726_400

// token is Intuit's OAuth endpoint. The refresh token changes with every
// refresh; Intuit changes it about daily, so a client that copes here copes there.
func (a *App) token(c *call.Call) {
	form, err := url.ParseQuery(string(c.Body))
	client, secret, basic := c.Request.BasicAuth()
	if err != nil || !basic || c.Request.Method != http.MethodPost {
		c.Refuse(http.StatusUnauthorized, "invalid_client", map[string]any{"error": "invalid_client"})
		return
	}
	if form.Get("grant_type") != "refresh_token" {
		c.Refuse(http.StatusBadRequest, "unsupported_grant_type", map[string]any{"error": "unsupported_grant_type"})
		return
	}
	t, err := a.grants.Refresh(client, secret, form.Get("refresh_token"), c.Save)
	c.Line.Account = t.Account
	if r := a.realms[t.Account]; r != nil {
		c.Line.Tenant = r.Tenant
	}
	switch {
	case errors.Is(err, oauth.ErrClient):
		c.Refuse(http.StatusUnauthorized, "invalid_client", map[string]any{"error": "invalid_client"})
		return
	case errors.Is(err, oauth.ErrReused):
		// The caller sees invalid_grant; the ledger says that it was a reuse.
		c.Refuse(http.StatusBadRequest, "refresh_token_reused", map[string]any{"error": "invalid_grant", "error_description": "Incorrect or invalid refresh token"})
		return
	case err != nil:
		c.Refuse(http.StatusBadRequest, "invalid_grant", map[string]any{"error": "invalid_grant", "error_description": "Incorrect or invalid refresh token"})
		return
	}
	if t.Again {
		c.Line.Code = "refresh_within_grace"
	}
	c.Line.Applied = true
	c.Header().Set("Cache-Control", "no-cache, no-store")
	c.Reply(http.StatusOK, map[string]any{
		"token_type": "bearer", "access_token": t.Access, "expires_in": int(t.TTL.Seconds()),
		"refresh_token": t.Refresh, "x_refresh_token_expires_in": refreshLife,
	})
}
