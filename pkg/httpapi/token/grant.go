package token

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/httpapi"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/secret"
)

// grant asks the token endpoint and returns what is to be stored.
func (a *authorizer) grant(ctx context.Context, stored map[string]Secret) (map[string]Secret, error) {
	form, basic, err := a.form(stored)
	if err != nil {
		return nil, err
	}
	tokenURL := a.c.Auth.TokenURL
	if tokenURL == "" && a.oauth != nil {
		tokenURL = a.oauth.TokenURL
	}
	u, err := url.Parse(tokenURL)
	if err != nil || u.Host == "" {
		return nil, a.refused("token_url", fmt.Errorf("connection %q has no usable token URL", a.c.Name))
	}
	base := u.Scheme + "://" + u.Host
	answer, err := a.s.client.Do(ctx, base, integration.Request{
		Method: http.MethodPost, Path: u.EscapedPath(), Query: u.RawQuery, ContentType: "application/x-www-form-urlencoded",
		Header: basic, Body: []byte(form.Encode()),
	}, nil)
	if err != nil {
		return nil, err
	}
	return a.read(answer)
}

// form builds the request of the connection's grant.
func (a *authorizer) form(stored map[string]Secret) (url.Values, http.Header, error) {
	need := func(field string) (string, error) {
		if s := stored[field]; s.Text != "" {
			return s.Text.Reveal(), nil
		}
		return "", a.missing(field)
	}
	auth := a.c.Auth
	form, header := url.Values{}, http.Header{"Accept": {"application/json"}}
	switch auth.Kind {
	case controlplane.AuthRefreshToken:
		refresh, err := need(FieldRefreshToken)
		if err != nil {
			return nil, nil, err
		}
		form.Set("grant_type", "refresh_token")
		form.Set("refresh_token", refresh)
	case controlplane.AuthClientCredentials:
		form.Set("grant_type", "client_credentials")
	case controlplane.AuthJWTBearer:
		key, err := need(FieldPrivateKey)
		if err != nil {
			return nil, nil, err
		}
		assertion, err := assertion(auth, key, a.s.clock())
		if err != nil {
			return nil, nil, a.refused("private_key", err)
		}
		form.Set("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
		form.Set("assertion", assertion)
		return form, header, nil
	case controlplane.AuthNone, controlplane.AuthStaticToken:
		return nil, nil, a.refused("auth_kind", fmt.Errorf("connection %q has no OAuth", a.c.Name))
	}
	clientSecret, err := need(FieldClientSecret)
	if err != nil {
		return nil, nil, err
	}
	if a.oauth != nil && a.oauth.BasicAuth {
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(auth.ClientID)+":"+url.QueryEscape(clientSecret))))
	} else {
		form.Set("client_id", auth.ClientID)
		form.Set("client_secret", clientSecret)
	}
	return form, header, nil
}

type tokenAnswer struct {
	AccessToken  string      `json:"access_token"`
	RefreshToken string      `json:"refresh_token"`
	ExpiresIn    json.Number `json:"expires_in"`
	Error        string      `json:"error"`
	Status       string      `json:"status"` // HubSpot's name for it: BAD_REFRESH_TOKEN
}

// read never puts the provider's text into an error: it may hold what was sent.
func (a *authorizer) read(answer integration.Answer) (map[string]Secret, error) {
	var t tokenAnswer
	parse := json.Unmarshal(answer.Body, &t)
	now := a.s.clock()
	switch {
	case answer.Status == http.StatusTooManyRequests:
		return nil, fault.Retry("token_rate_limit", httpapi.RetryAfter(answer.Header, now), errors.New("the token endpoint's rate limit"))
	case answer.Status >= 500:
		return nil, fault.Retry("token_endpoint", httpapi.RetryAfter(answer.Header, now), fmt.Errorf("the token endpoint answered %d", answer.Status))
	case answer.Status >= 400:
		code := t.Error
		if code == "" {
			code = t.Status
		}
		return nil, a.refused(label(code, answer.Status), fmt.Errorf("the token endpoint refused the credentials of connection %q with %d", a.c.Name, answer.Status))
	case parse != nil || t.AccessToken == "":
		return nil, fault.Retry("token_answer", 0, fmt.Errorf("the token endpoint answered %d without an access token", answer.Status))
	}
	life := defaultLife
	if n, err := t.ExpiresIn.Float64(); err == nil && n > 0 && n < 10*365*24*3600 {
		life = time.Duration(n * float64(time.Second))
	}
	slack := min(expirySlack, life/4)
	out := map[string]Secret{FieldAccessToken: {Text: secret.Secret(t.AccessToken), ExpiresAt: now.Add(life - slack)}}
	if a.c.Auth.Kind == controlplane.AuthRefreshToken && t.RefreshToken != "" {
		// Not rotated or not named: the old one stays.
		out[FieldRefreshToken] = Secret{Text: secret.Secret(t.RefreshToken)}
	}
	return out, nil
}

// label keeps what the provider calls its error, if that is a plain word.
func label(code string, status int) string {
	if len(code) > 40 {
		code = ""
	}
	for _, c := range code {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			code = ""
			break
		}
	}
	if code == "" {
		return fmt.Sprintf("token_%d", status)
	}
	return code
}

func (a *authorizer) refused(code string, err error) error {
	return &fault.Error{
		Class: fault.Auth, Code: code, Scope: fault.ScopeConnection, Err: err,
		Remedy: fmt.Sprintf("re-authorise connection %q: apply it with fresh credentials; what waits is then sent", a.c.Name),
	}
}

const assertionLife = 3 * time.Minute

// assertion is the signed claim of RFC 7523, RS256.
func assertion(auth controlplane.Auth, key string, now time.Time) (string, error) {
	private, err := privateKey(key)
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{"iss": auth.ClientID, "sub": auth.Subject, "aud": auth.Audience, "exp": now.Add(assertionLife).Unix()})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	return text + "." + encode(signature), nil
}

func privateKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the private key is not PEM")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the private key is neither PKCS#1 nor PKCS#8")
	}
	key, ok := any.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("the private key is not an RSA key")
	}
	return key, nil
}
