package main

import (
	"context"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/fluxnex/fluxnex/pkg/app"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// withDB loads the configuration and opens PostgreSQL for one command.
func (e *environment) withDB(ctx context.Context, use func(*postgres.DB) error) error {
	cfg, err := e.load(app.NeedPostgres)
	if err != nil {
		return err
	}
	db, err := openPostgres(ctx, cfg, 2, "tool")
	if err != nil {
		return err
	}
	defer db.Close()
	return use(db)
}

func newNotificationsCommand(e *environment) *cobra.Command {
	var out output
	var tenant, audience string
	var all bool
	c := &cobra.Command{
		Use:   "notifications",
		Short: "What stopped, and what to do about it",
		Args:  withArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			return e.withDB(c.Context(), func(db *postgres.DB) error {
				filter := postgres.NoticeFilter{Audience: record.Audience(audience), Resolved: all}
				if tenant != "" {
					id, err := tenantID(c.Context(), db, tenant)
					if err != nil {
						return err
					}
					filter.Tenant = id
				}
				list, err := db.Deliveries().Notices(c.Context(), filter)
				if err != nil {
					return err
				}
				rows := make([]table.Row, len(list))
				for i, n := range list {
					state := "open"
					if !n.Resolved.IsZero() {
						state = "resolved"
					}
					rows[i] = table.Row{clock(n.Last), n.Tenant, n.Audience, state, n.RecordID, n.Target, n.Code, n.Message, n.Remedy, n.Seen}
				}
				header := table.Row{"last seen", "tenant", "for", "state", "record", "target", "code", "message", "what to do", "seen"}
				return out.print(e.out, list, header, rows, "no notifications: nothing needs a person")
			})
		},
	}
	out.addTo(c)
	c.Flags().StringVar(&tenant, "tenant", "", "only this tenant (id or slug)")
	c.Flags().StringVar(&audience, "audience", "", "only for customer or support")
	c.Flags().BoolVar(&all, "all", false, "also those that closed themselves")
	return c
}
