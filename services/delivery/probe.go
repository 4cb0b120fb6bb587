package delivery

import (
	"context"
	"fmt"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/httpapi"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

// plainCaller makes calls of a connection without lanes and limits.
type plainCaller struct {
	http    *httpapi.Client
	auth    httpapi.Authorizer
	base    string
	deliver integration.Deliverer
}

func (c *plainCaller) Call(ctx context.Context, req integration.Request) (integration.Answer, error) {
	answer, err := c.http.Do(ctx, c.base, req, c.auth)
	if err != nil {
		return answer, err
	}
	return answer, c.deliver.Classify(answer)
}

// Probe asks a destination, with one read, whether the credentials serve. The
// error is of class [fault.Auth] where they do not, or where they are of
// another account than the connection's.
func Probe(ctx context.Context, client *httpapi.Client, credentials Credentials, c *controlplane.Connection, d integration.Deliverer) error {
	caller := &plainCaller{http: client, auth: credentials.Authorizer(c, d.OAuth()), base: c.BaseURL, deliver: d}
	remote, err := d.Probe(ctx, caller, integration.Account{Remote: c.RemoteAccount, Settings: c.Settings})
	if err != nil {
		return err
	}
	return sameAccount(c, remote)
}

// sameAccount refuses another company's credentials: rows, references and
// destination ids belong to the account they were made in.
func sameAccount(c *controlplane.Connection, remote string) error {
	if remote == c.RemoteAccount {
		return nil
	}
	return &fault.Error{
		Class: fault.Auth, Code: "other_account", Scope: fault.ScopeConnection,
		Remedy: fmt.Sprintf("Use credentials of account %s; another account is another connection.", c.RemoteAccount),
		Err:    fmt.Errorf("the credentials belong to account %q, and connection %q to %q", remote, c.Name, c.RemoteAccount),
	}
}
