package interop

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/httpapi"
	"github.com/fluxnex/fluxnex/pkg/httpapi/token"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/secret"
	"github.com/fluxnex/fluxnex/sandbox"
)

// store keeps the secrets of the one connection, for the one test.
type store map[string]token.Secret

func (s store) Secrets(context.Context, record.TenantID, string) (map[string]token.Secret, error) {
	return maps.Clone(s), nil
}

func (s store) Refresh(ctx context.Context, _ record.TenantID, _ string, fn func(context.Context, map[string]token.Secret) (map[string]token.Secret, error)) error {
	replaced, err := fn(ctx, maps.Clone(s))
	maps.Copy(s, replaced)
	return err
}

// TestSalesforceJWTBearer: a connection without a secret of its own is let in by
// what it signs, whatever form its key has; a key that Salesforce does not know
// needs a person, who is told which connection.
func TestSalesforceJWTBearer(t *testing.T) {
	known, stranger := newKey(t), newKey(t)
	public, err := x509.MarshalPKIXPublicKey(&known.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	seed := sandbox.ExampleSeed()
	org := &seed.Salesforce[0]
	grant := org.Grants[0]
	grant.ClientID, grant.ClientSecret, grant.RefreshToken = "jwt-client", "", ""
	org.PublicKey, org.Grants = inPEM("PUBLIC KEY", public), append(org.Grants, grant)
	url := start(t, &seed)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(known)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ key, refused string }{
		"PKCS#1":                 {key: inPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(known))},
		"PKCS#8":                 {key: inPEM("PRIVATE KEY", pkcs8)},
		"a key of somebody else": {key: inPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(stranger)), refused: "invalid_grant"},
		"no key":                 {key: "not PEM", refused: "private_key"},
	} {
		t.Run(name, func(t *testing.T) {
			client := httpapi.New(httpapi.Config{Allowed: []string{strings.TrimPrefix(url, "http://")}})
			t.Cleanup(client.Close)
			source := token.New(client, store{token.FieldPrivateKey: {Text: secret.Secret(c.key)}}, nil, slog.New(slog.DiscardHandler), time.Now)
			connection := &controlplane.Connection{
				Tenant: "envoy", Name: "Revenova", App: "revenova", BaseURL: url, Version: 1,
				Auth: controlplane.Auth{
					Kind: controlplane.AuthJWTBearer, TokenURL: url + "/services/oauth2/token",
					ClientID: "jwt-client", Subject: "integration@example.com", Audience: "https://login.salesforce.com",
				},
			}
			a, err := client.Do(t.Context(), connection.BaseURL, integration.Request{Method: http.MethodGet, Path: "/services/data/v61.0/query", Query: "q=SELECT+Id+FROM+Account+LIMIT+1"}, source.Authorizer(connection, nil))
			if c.refused == "" {
				if err != nil || a.Status != http.StatusOK {
					t.Errorf("answered %d %s, %v", a.Status, a.Body, err)
				}
				return
			}
			if f := fault.Of(err); f == nil || f.Class != fault.Auth || f.Code != c.refused || !strings.Contains(f.Remedy, "Revenova") {
				t.Errorf("refused with %+v, want %s and a remedy that names the connection", f, c.refused)
			}
		})
	}
}

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func inPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
