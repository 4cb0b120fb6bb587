package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// connectionJSON is one connection as `connection list` and `status` show it.
type connectionJSON struct {
	Tenant        record.TenantID           `json:"tenant"`
	Name          string                    `json:"name"`
	App           string                    `json:"app"`
	RemoteAccount string                    `json:"remote_account"`
	Auth          controlplane.AuthKind     `json:"auth"`
	Version       int64                     `json:"version"`
	State         string                    `json:"state"` // open, blocked, paused, down
	Since         *time.Time                `json:"since,omitempty"`
	Until         *time.Time                `json:"until,omitempty"`
	Code          string                    `json:"code,omitempty"`
	Rows          map[postgres.Status]int64 `json:"rows"`
}

func newConnectionListCommand(e *environment) *cobra.Command {
	var tenant string
	var out output
	c := &cobra.Command{
		Use:   "list",
		Short: "Show each connection: open, blocked, paused or down, and what stands before it",
		Args:  withArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return e.showConnections(c.Context(), out, tenant, "")
		},
	}
	c.Flags().StringVar(&tenant, "tenant", "", "of this tenant only; id or slug")
	out.addTo(c)
	return c
}

func newConnectionStatusCommand(e *environment) *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "status TENANT NAME",
		Short: "Show one connection: open, blocked, paused or down, and what stands before it",
		Args:  withArgs(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			return e.showConnections(c.Context(), out, args[0], args[1])
		},
	}
	out.addTo(c)
	return c
}

func (e *environment) showConnections(ctx context.Context, out output, tenant, name string) error {
	if err := out.check(); err != nil {
		return err
	}
	return e.withDB(ctx, func(db *postgres.DB) error {
		if name != "" {
			if _, err := findConnection(ctx, db, tenant, name); err != nil {
				return err
			}
		}
		tenants, err := tenantsOf(ctx, db, tenant)
		if err != nil {
			return err
		}
		list, err := connections(ctx, db, tenants, name)
		if err != nil {
			return err
		}
		rows := make([]table.Row, len(list))
		for i, c := range list {
			waits := c.Rows[postgres.StatusReady] + c.Rows[postgres.StatusSending] + c.Rows[postgres.StatusBackoff]
			rows[i] = table.Row{c.Tenant, c.Name, c.App, c.RemoteAccount, c.Auth, c.Version, c.said(), waits, c.Rows[postgres.StatusWaiting], c.Rows[postgres.StatusFailed], c.Rows[postgres.StatusDone]}
		}
		return out.print(e.out, list, table.Row{"tenant", "name", "app", "account", "auth", "version", "state", "to send", "waiting", "failed", "done"}, rows, "no connection is declared yet: fluxnex apply -f FILE")
	})
}

func (c *connectionJSON) said() string {
	switch c.State {
	case "blocked":
		return fmt.Sprintf("blocked since %s (%s): `fluxnex connection reauthorize`", clock(*c.Since), c.Code)
	case "paused":
		return fmt.Sprintf("paused until %s (%s)", clock(*c.Until), c.Code)
	case "down":
		return fmt.Sprintf("down since %s (%s), tried again at %s", clock(*c.Since), c.Code, clock(*c.Until))
	}
	return c.State
}

// connections are those of the tenants, all or the one of that name.
func connections(ctx context.Context, db *postgres.DB, tenants []record.TenantID, name string) ([]connectionJSON, error) {
	snapshot, err := currentSnapshot(ctx, db)
	if err != nil {
		return nil, err
	}
	lanes, err := db.Deliveries().Lanes(ctx)
	if err != nil {
		return nil, err
	}
	byKey := map[postgres.LaneKey]*postgres.LaneState{}
	for i := range lanes {
		byKey[lanes[i].LaneKey] = &lanes[i]
	}
	list := []connectionJSON{}
	for _, t := range tenants {
		for _, c := range snapshot.ConnectionsOf(t, "") {
			if name != "" && c.Name != name {
				continue
			}
			list = append(list, stateOf(c, byKey[postgres.LaneKey{Tenant: t, App: c.App, RemoteAccount: c.RemoteAccount}]))
		}
	}
	sortConnections(list)
	return list, nil
}

func stateOf(c *controlplane.Connection, lane *postgres.LaneState) connectionJSON {
	out := connectionJSON{
		Tenant: c.Tenant, Name: c.Name, App: c.App, RemoteAccount: c.RemoteAccount, Auth: c.Auth.Kind, Version: c.Version,
		State: "open", Rows: map[postgres.Status]int64{},
	}
	if lane == nil {
		return out
	}
	out.Rows = lane.Rows
	switch {
	case !lane.BlockedSince.IsZero():
		out.State, out.Code, out.Since = "blocked", lane.BlockedCode, &lane.BlockedSince
	case !lane.PausedUntil.IsZero():
		out.State, out.Code, out.Until = "paused", lane.PauseReason, &lane.PausedUntil
	case lane.Breaker.Openings > 0:
		until := time.Now().Add(lane.Breaker.Left)
		out.State, out.Code, out.Since, out.Until = "down", lane.Breaker.Code, &lane.Breaker.Since, &until
	}
	return out
}

func sortConnections(list []connectionJSON) {
	slices.SortFunc(list, func(a, b connectionJSON) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Name, b.Name))
	})
}
