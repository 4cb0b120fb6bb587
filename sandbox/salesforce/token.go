package salesforce

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/sandbox/call"
	"github.com/fluxnex/fluxnex/sandbox/oauth"
)

// token is the OAuth endpoint: refresh token, client credentials, JWT bearer.
func (a *App) token(c *call.Call) {
	form, err := url.ParseQuery(string(c.Body))
	refused := func(code, text string) {
		c.Refuse(http.StatusBadRequest, code, map[string]string{"error": code, "error_description": text})
	}
	if err != nil {
		refused("invalid_request", "malformed form")
		return
	}
	client, secret := form.Get("client_id"), form.Get("client_secret")
	if user, password, ok := c.Request.BasicAuth(); ok {
		client, secret = user, password
	}
	c.Line.Client = client
	var t oauth.Tokens
	switch form.Get("grant_type") {
	case "refresh_token":
		t, err = a.grants.Refresh(client, secret, form.Get("refresh_token"), c.Save)
		if err != nil && !errors.Is(err, oauth.ErrClient) {
			refused("invalid_grant", "expired access/refresh token")
			return
		}
	case "client_credentials":
		c.Line.Op = "client_credentials"
		var account string
		if account, err = a.grants.Client(client, &secret); err == nil {
			t, err = a.grants.Issue(account, client, c.Save)
		}
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		c.Line.Op = "jwt_bearer"
		var why string
		if t, why, err = a.assertion(c, form.Get("assertion")); why != "" {
			refused("invalid_grant", why)
			return
		}
	default:
		refused("unsupported_grant_type", "grant type not supported")
		return
	}
	if err != nil {
		refused("invalid_client_id", "client identifier invalid")
		return
	}
	c.Line.Account, c.Line.Applied = t.Account, true
	if o := a.orgs[t.Account]; o != nil {
		c.Line.Tenant = o.Tenant
	}
	instance := "http://" + c.Request.Host
	if c.Request.TLS != nil {
		instance = "https://" + c.Request.Host
	}
	// No refresh token and no expires_in: that is how Salesforce answers.
	c.Reply(http.StatusOK, map[string]any{
		"access_token": t.Access, "instance_url": instance, "id": instance + "/id/" + t.Account + "/0055g000000SandAAA",
		"issued_at": strconv.FormatInt(c.Now.UnixMilli(), 10), "signature": "c2FuZGJveA==", "token_type": "Bearer",
	})
}

// assertion checks a JWT: RS256 by the org's key, the client as issuer, a
// Salesforce login host as audience, and an end within three minutes.
func (a *App) assertion(c *call.Call, jwt string) (oauth.Tokens, string, error) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return oauth.Tokens{}, "invalid assertion", nil
	}
	var head struct{ Alg string }
	var claims struct {
		Iss, Sub string
		Aud      any
		Exp      float64
	}
	for i, v := range []any{&head, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(raw, v) != nil {
			return oauth.Tokens{}, "invalid assertion", nil //nolint:nilerr // the refusal is the answer
		}
	}
	account, err := a.grants.Client(claims.Iss, nil)
	if err != nil {
		return oauth.Tokens{}, "", err
	}
	c.Line.Client = claims.Iss
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || head.Alg != "RS256" || !signed(a.orgs[account].PublicKey, parts[0]+"."+parts[1], signature) {
		return oauth.Tokens{}, "invalid assertion", nil //nolint:nilerr // the refusal is the answer
	}
	end := time.UnixMilli(int64(claims.Exp * 1000))
	if !c.Now.Before(end) || end.Sub(c.Now) > 3*time.Minute {
		return oauth.Tokens{}, "invalid assertion: exp must be within 3 minutes", nil
	}
	audience := false
	for _, aud := range audiences(claims.Aud) {
		u, err := url.Parse(aud)
		audience = audience || (err == nil && (u.Host == "login.salesforce.com" || u.Host == "test.salesforce.com" || u.Host == c.Request.Host))
	}
	if !audience || claims.Sub == "" {
		return oauth.Tokens{}, "audience is invalid", nil
	}
	t, err := a.grants.Issue(account, claims.Iss, c.Save)
	return t, "", err
}

func audiences(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, one := range v {
			s, _ := one.(string)
			out = append(out, s)
		}
		return out
	}
	return nil
}

func signed(key, text string, signature []byte) bool {
	block, _ := pem.Decode([]byte(key))
	if block == nil {
		return false
	}
	var public any
	var err error
	if block.Type == "CERTIFICATE" {
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			public = cert.PublicKey
		}
	} else {
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	}
	pub, ok := public.(*rsa.PublicKey)
	sum := sha256.Sum256([]byte(text))
	return err == nil && ok && rsa.VerifyPKCS1v15(pub, crypto.SHA256, sum[:], signature) == nil
}
