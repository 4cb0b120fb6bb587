package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fluxnex/fluxnex/integrations"
	"github.com/fluxnex/fluxnex/pkg/app"
	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/failpoint"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/httpapi"
	"github.com/fluxnex/fluxnex/pkg/httpapi/token"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/secret"
	"github.com/fluxnex/fluxnex/services/delivery"
)

// maxSecret bounds what is read as one secret.
const maxSecret = 64 << 10

// secretSources say where new secrets are read from; the secrets themselves are
// never on a command line, where others could see them.
type secretSources struct {
	env, file []string // FIELD=WHERE
	stdin     string   // FIELD
}

func newConnectionReauthorizeCommand(e *environment) *cobra.Command {
	var from secretSources
	c := &cobra.Command{
		Use:   "reauthorize TENANT NAME",
		Short: "Give a connection new credentials; what waits for them is then sent",
		Long: `The new credentials are tried first: those that the app refuses, and those of
another account than the connection's, are not stored. Delivery then makes one
call of its own and drains what waited, twice as fast each second, in order.`,
		Example: `  fluxnex connection reauthorize envoy "QB Logistics US" --env refresh_token=NEW_REFRESH_TOKEN
  pass show qb | fluxnex connection reauthorize envoy "QB Logistics US" --stdin refresh_token`,
		Args: withArgs(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			given, err := from.read(e)
			if err != nil {
				return &usageError{err}
			}
			return e.reauthorize(c.Context(), args[0], args[1], given)
		},
	}
	c.Flags().StringArrayVar(&from.env, "env", nil, "FIELD=VARIABLE: a secret from the environment (refresh_token, token, client_secret, private_key)")
	c.Flags().StringArrayVar(&from.file, "file", nil, "FIELD=PATH: a secret from a file")
	c.Flags().StringVar(&from.stdin, "stdin", "", "FIELD: a secret from standard input")
	return c
}

func (s *secretSources) read(e *environment) (map[string]secret.Secret, error) {
	out := map[string]secret.Secret{}
	add := func(field, text, where string) error {
		text = strings.TrimRight(text, "\r\n")
		if text == "" {
			return fmt.Errorf("%s is empty: nothing to use as %s", where, field)
		}
		if _, twice := out[field]; twice {
			return fmt.Errorf("%s is given twice", field)
		}
		out[field] = secret.Secret(text)
		return nil
	}
	for _, v := range s.env {
		field, name, ok := strings.Cut(v, "=")
		if !ok {
			return nil, fmt.Errorf("--env %s: expected FIELD=VARIABLE", v)
		}
		text, _ := e.lookup(name)
		if err := add(field, text, "the environment variable "+name); err != nil {
			return nil, err
		}
	}
	for _, v := range s.file {
		field, path, ok := strings.Cut(v, "=")
		if !ok {
			return nil, fmt.Errorf("--file %s: expected FIELD=PATH", v)
		}
		raw, err := os.ReadFile(path)
		if err == nil {
			err = add(field, string(raw), "the file "+path)
		}
		if err != nil {
			return nil, err
		}
	}
	if s.stdin != "" {
		raw, err := io.ReadAll(io.LimitReader(e.in, maxSecret))
		if err == nil {
			err = add(s.stdin, string(raw), "standard input")
		}
		if err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, errors.New("which new secret? give --env FIELD=VARIABLE, --file FIELD=PATH or --stdin FIELD")
	}
	return out, nil
}

const reauthorizeTimeout = 30 * time.Second

func (e *environment) reauthorize(ctx context.Context, tenant, name string, given map[string]secret.Secret) error {
	cfg, err := e.load(app.NeedPostgres, app.NeedKeyset)
	if err != nil {
		return err
	}
	plane, end, err := openPlane(ctx, cfg, e.lookup)
	if err != nil {
		return err
	}
	defer end()
	db, err := openPostgres(ctx, cfg, 2, "connection")
	if err != nil {
		return err
	}
	defer db.Close()
	c, err := findConnection(ctx, db, tenant, name)
	if err != nil {
		return err
	}
	for field := range given {
		if !slices.Contains(c.Auth.Fields, field) {
			return &usageError{fmt.Errorf("connection %q has no secret %q; it has %s", c.Name, field, strings.Join(c.Auth.Fields, ", "))}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, reauthorizeTimeout)
	defer cancel()
	current, err := tryCredentials(ctx, cfg, postgres.NewVault(postgres.NewControlPlane(db), plane.Keys), c, given)
	if err != nil {
		return fmt.Errorf("nothing was stored: %w", err)
	}
	failpoint.Hit("reauthorize-tried")
	key := controlplane.Key{Kind: controlplane.KindConnection, Name: string(c.Tenant) + "/" + c.Name}
	version, err := plane.Reauthorize(ctx, key, given, current, e.actor())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "connection %q of account %s is authorised again (configuration version %d); what waited is sent now, slowly at first\n", c.Name, c.RemoteAccount, version)
	return err
}

// tryCredentials makes one read with the connection's secrets, the given ones
// replaced, and returns what has become of them.
func tryCredentials(ctx context.Context, cfg app.Config, vault *postgres.Vault, c *controlplane.Connection, given map[string]secret.Secret) (map[string]secret.Secret, error) {
	stored, err := vault.Secrets(ctx, c.Tenant, c.Name)
	if err != nil {
		return nil, err
	}
	trial := map[string]secret.Secret{}
	for _, field := range c.Auth.Fields {
		if text, ok := stored[field]; ok {
			trial[field] = text
		}
		if text, ok := given[field]; ok {
			trial[field] = text
		}
	}
	client := httpapi.New(httpapi.Config{Allowed: cfg.AllowDial})
	defer client.Close()
	store := token.NewTrial(trial)
	source := token.New(client, store, nil, discardLogger(), time.Now)
	i, ok := integrations.Lookup(c.App)
	if !ok || i.Deliver == nil {
		// A source has nothing to probe with; its token endpoint tells as much.
		if _, err := source.Authorizer(c, nil).Authorize(ctx, map[string][]string{}); err != nil {
			return nil, withRemedy(err)
		}
		return store.Texts(), nil
	}
	if err := delivery.Probe(ctx, client, source, c, i.Deliver); err != nil {
		return nil, withRemedy(err)
	}
	return store.Texts(), nil
}

func withRemedy(err error) error {
	if f := fault.Of(err); f.Remedy != "" {
		return fmt.Errorf("%w. %s", err, f.Remedy)
	}
	return err
}
