package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fluxnex/fluxnex/integrations"
	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

func newConnectionCommand(e *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "connection",
		Short: "What can be done with one connection",
		Args:  withArgs(cobra.NoArgs),
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newConnectionListCommand(e), newConnectionStatusCommand(e), newConnectionReauthorizeCommand(e), newConnectionPollCommand(e))
	return c
}

func newConnectionPollCommand(e *environment) *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "poll TENANT NAME",
		Short: "Ask a source for deletes and merges now, and for whatever waits to be fetched",
		Long: `Salesforce announces neither deletes nor merges, so the fetcher asks for them
every 15 minutes. This asks now, and tries fetches again that a used-up quota
or a dead credential had put off.`,
		Example: `  fluxnex connection poll envoylogistics Revenova`,
		Args:    withArgs(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			return e.withDB(c.Context(), func(db *postgres.DB) error {
				connection, err := findConnection(c.Context(), db, args[0], args[1])
				if err != nil {
					return err
				}
				if app, ok := integrations.Lookup(connection.App); !ok || app.Poll == nil {
					return &usageError{fmt.Errorf("%s announces its removals itself: there is nothing to poll at %q", connection.App, connection.Name)}
				}
				ctx, cancel := context.WithTimeout(c.Context(), timeout)
				defer cancel()
				state, err := poll(ctx, db.Fetches(), connection)
				switch {
				case ctx.Err() != nil && c.Context().Err() == nil:
					return fmt.Errorf("no fetcher has polled %q within %s: is one running? The poll stays asked for", connection.Name, timeout)
				case err != nil:
					return err
				case state.Code != "":
					return fmt.Errorf("%q could not be polled: %s", connection.Name, state.Detail)
				}
				_, err = fmt.Fprintf(e.out, "polled %s: %d removals that were not known\n", connection.Name, state.Found)
				return err
			})
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait for the answer")
	return c
}

// poll asks for a poll and waits for what it comes to.
func poll(ctx context.Context, fetches *postgres.Fetches, connection *controlplane.Connection) (postgres.PollState, error) {
	seq, err := fetches.AskPoll(ctx, connection.Tenant, connection.App, connection.Name)
	if err != nil {
		return postgres.PollState{}, err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		state, err := fetches.Polled(ctx, connection.Tenant, connection.Name)
		if err != nil || state.Done >= seq {
			return state, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return state, ctx.Err()
		}
	}
}

// findConnection finds a tenant's connection by name; the tenant by id or slug.
func findConnection(ctx context.Context, db *postgres.DB, tenant, name string) (*controlplane.Connection, error) {
	id, err := tenantID(ctx, db, tenant)
	if err != nil {
		return nil, err
	}
	snapshot, err := currentSnapshot(ctx, db)
	if err != nil {
		return nil, err
	}
	c, ok := snapshot.Connection(id, name)
	if !ok {
		return nil, &notFoundError{fmt.Sprintf("tenant %s has no connection %q: `fluxnex get connections` lists them", id, name)}
	}
	return c, nil
}

func currentSnapshot(ctx context.Context, db *postgres.DB) (*controlplane.Snapshot, error) {
	stored, err := postgres.NewControlPlane(db).LoadConfig(ctx)
	if err != nil {
		return nil, err
	}
	return stored.Snapshot()
}

// tenantsOf are one tenant by id or slug, or all where the name is "".
func tenantsOf(ctx context.Context, db *postgres.DB, name string) ([]record.TenantID, error) {
	if name != "" {
		id, err := tenantID(ctx, db, name)
		return []record.TenantID{id}, err
	}
	snapshot, err := currentSnapshot(ctx, db)
	if err != nil {
		return nil, err
	}
	var out []record.TenantID
	for _, t := range snapshot.Tenants() {
		out = append(out, t.ID)
	}
	return out, nil
}
