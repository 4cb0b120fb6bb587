package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/fluxnex/fluxnex/pkg/app"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/redis"
	"github.com/fluxnex/fluxnex/pkg/stage"
	"github.com/fluxnex/fluxnex/services/console"
)

func newWaitingCommand(e *environment) *cobra.Command {
	var out output
	var tenant string
	c := &cobra.Command{
		Use:   "waiting",
		Short: "Who waits for what, since when, and why",
		Args:  withArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			cfg, err := e.load(app.NeedKafka, app.NeedRegistry, app.NeedPostgres, app.NeedRedis)
			if err != nil {
				return err
			}
			return withWaiter(c.Context(), cfg, toolLogger(e), func(w *console.Waiter, db *postgres.DB) error {
				tenants, err := tenantsOf(c.Context(), db, tenant)
				if err != nil {
					return err
				}
				list, err := w.Waiting(c.Context(), tenants)
				if err != nil {
					return err
				}
				rows := make([]table.Row, len(list))
				for i, x := range list {
					what := string(x.WaitsFor)
					if x.Refers != "" {
						what = x.Refers + " of " + what
					}
					who := x.EntityType
					if x.Target != "" {
						who = x.Object + " at " + x.Target
					}
					rows[i] = table.Row{x.Tenant, x.RecordID, who, what, clock(x.Since), age(time.Since(x.Since)), x.Why, asking(x.Fetch)}
				}
				if list == nil {
					list = []console.Waiting{}
				}
				header := table.Row{"tenant", "record", "as", "waits for", "since", "for", "why", "asking the source"}
				return out.print(e.out, list, header, rows, "nothing waits")
			})
		},
	}
	out.addTo(c)
	c.Flags().StringVar(&tenant, "tenant", "", "only this tenant (id or slug)")
	return c
}

// asking says how a fetch goes.
func asking(f *console.FetchState) string {
	switch {
	case f == nil:
		return "not asked"
	case !f.Blocked.IsZero():
		return fmt.Sprintf("blocked since %s, its clock stands: %s", clock(f.Blocked), f.Error)
	case f.Attempts == 0 && f.Code == "":
		return "asked since " + clock(f.Requested)
	}
	return fmt.Sprintf("%d tries, next at %s: %s", f.Attempts, clock(f.NextAt), f.Error)
}

// withWaiter opens what is looked at for what waits.
func withWaiter(ctx context.Context, cfg app.Config, log *slog.Logger, use func(*console.Waiter, *postgres.DB) error) error {
	k, err := kafkaConfig(cfg)
	if err != nil {
		return err
	}
	codecs, err := openCodecs(ctx, k)
	if err != nil {
		return err
	}
	db, err := openPostgres(ctx, cfg, 2, "waiting")
	if err != nil {
		return err
	}
	defer db.Close()
	rdb, err := redis.Open(redis.Config{URL: cfg.RedisURL, Prefix: cfg.TopicPrefix}, log)
	if err != nil {
		return err
	}
	defer func() { _ = rdb.Close() }()
	reader, err := kafka.NewReader(k, log)
	if err != nil {
		return err
	}
	defer reader.Close()
	topics, views := k.Topics(), rdb.Views()
	return use(&console.Waiter{
		Partitions: k.PartitionCount(), Dependents: rdb.Dependents(), Fetches: db.Fetches(), Deliveries: db.Deliveries(), Codecs: codecs, Now: time.Now,
		Replicas:   stage.NewViewReader(stage.ViewReplica, topics.Replica(), k, reader, views),
		Canonicals: stage.NewViewReader(stage.ViewCanonical, topics.Canonical(), k, reader, views),
	}, db)
}
