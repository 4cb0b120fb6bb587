package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/fluxnex/fluxnex/integrations"
	"github.com/fluxnex/fluxnex/pkg/app"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/redis"
	"github.com/fluxnex/fluxnex/pkg/stage"
	"github.com/fluxnex/fluxnex/services/console"
)

func newTraceCommand(e *environment) *cobra.Command {
	var out output
	var raw bool
	c := &cobra.Command{
		Use:   "trace TENANT TEXT",
		Short: "Where is this record, and why? TEXT: source id, destination id, document number or name",
		Example: `  fluxnex trace envoylogistics "Acme Trucking"
  fluxnex trace envoy 0015g00000AbCdEAAV --raw`,
		Args: withArgs(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			cfg, err := e.load(app.NeedKafka, app.NeedRegistry, app.NeedPostgres, app.NeedRedis)
			if err != nil {
				return err
			}
			return withTracer(c.Context(), cfg, toolLogger(e), func(t *console.Tracer, db *postgres.DB) error {
				journeys, err := trace(c.Context(), t, db, args[0], args[1])
				if err != nil {
					return err
				}
				if raw {
					return printRaw(c.Context(), e.out, t, journeys)
				}
				if out == "json" {
					return printJSON(e.out, journeys)
				}
				for i, j := range journeys {
					if i > 0 {
						fmt.Fprintln(e.out)
					}
					printJourney(e.out, j)
				}
				return nil
			})
		},
	}
	out.addTo(c)
	c.Flags().BoolVar(&raw, "raw", false, "print the payload that caused the newest state")
	return c
}

// withTracer opens what tracing reads.
func withTracer(ctx context.Context, cfg app.Config, log *slog.Logger, use func(*console.Tracer, *postgres.DB) error) error {
	k, err := kafkaConfig(cfg)
	if err != nil {
		return err
	}
	codecs, err := openCodecs(ctx, k)
	if err != nil {
		return err
	}
	db, err := openPostgres(ctx, cfg, 2, "trace")
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
	return use(&console.Tracer{
		Kafka: k, Reader: reader, Deliveries: db.Deliveries(), Codecs: codecs, Integrations: integrations.All(),
		Replicas:   stage.NewViewReader(stage.ViewReplica, topics.Replica(), k, reader, views),
		Canonicals: stage.NewViewReader(stage.ViewCanonical, topics.Canonical(), k, reader, views),
	}, db)
}

func trace(ctx context.Context, t *console.Tracer, db *postgres.DB, tenantName, text string) ([]*console.Journey, error) {
	tenant, err := tenantID(ctx, db, tenantName)
	if err != nil {
		return nil, err
	}
	ids, err := t.Search(ctx, tenant, text)
	if err != nil {
		return nil, err
	}
	var journeys []*console.Journey
	for _, id := range ids {
		j, err := t.Trace(ctx, tenant, id)
		if err != nil {
			return nil, err
		}
		if j != nil {
			journeys = append(journeys, j)
		}
	}
	if len(journeys) == 0 {
		return nil, &notFoundError{fmt.Sprintf("tenant %s has no record with the source id, destination id, document number or name %q", tenant, text)}
	}
	return journeys, nil
}

func printRaw(ctx context.Context, w io.Writer, t *console.Tracer, journeys []*console.Journey) error {
	for _, j := range journeys {
		if j.Lineage.GatewayID == "" {
			continue
		}
		event, err := t.Payload(ctx, j.Gateway)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s\n", event.Payload); err != nil {
			return err
		}
	}
	return nil
}

// printJourney draws one record's way through the layers.
func printJourney(w io.Writer, j *console.Journey) {
	fmt.Fprintf(w, "%s  (tenant %s)\n\n", j.RecordID, j.Tenant)
	received := j.Lineage.ReceivedAt
	rows := []table.Row{{
		"gateway", place(&j.Gateway), clock(received), "", j.Lineage.GatewayID + "  " + string(j.Lineage.Origin),
	}}
	since := func(at time.Time) string {
		if at.IsZero() || received.IsZero() {
			return ""
		}
		return "+" + age(at.Sub(received))
	}
	if r := j.Replica; r != nil {
		what := fmt.Sprintf("%s %s, %d fields, version %s, revision %s", r.EntityType, r.Presence, r.Fields, orNone(r.Version), r.Revision)
		rows = append(rows, table.Row{"replica", place(r.Place), clock(r.At), since(r.At), strings.TrimSpace(what + " " + r.Detail)})
	}
	if c := j.Canonical; c != nil {
		names := make([]string, 0, len(c.Entities))
		for _, e := range c.Entities {
			s := e.Entity + " " + e.CanonicalID
			if e.State != record.EntityReady {
				s += " " + string(e.State) + " (" + e.Reason + ")"
			}
			names = append(names, s)
		}
		what := string(c.Status)
		if c.Code != "" {
			what += " " + c.Code + ": " + c.Detail
		}
		rows = append(rows, table.Row{"normalizer", place(c.Place), clock(c.At), since(c.At), what + "  " + strings.Join(names, ", ")})
	}
	for _, t := range j.Targets {
		at := routed(t)
		rows = append(rows, table.Row{"router", place(&t.Place), clock(at), since(at), fmt.Sprintf("%s %s at %q  %s", t.Verb, t.Type, t.Target, t.GatewayID)})
		what := standing(t)
		rows = append(rows, table.Row{"delivery", "row " + t.Object, clock(t.AppliedAt), since(t.AppliedAt), what})
	}
	fmt.Fprintln(w, renderTable(table.Row{"layer", "topic partition:offset", "time", "after", "state"}, rows))
	for _, n := range j.Notifications {
		state := "open"
		if !n.Resolved.IsZero() {
			state = "resolved " + clock(n.Resolved)
		}
		fmt.Fprintf(w, "\nnotification (%s, %s): %s", n.Audience, state, n.Message)
		if n.Remedy != "" {
			fmt.Fprintf(w, "\n  what to do: %s", n.Remedy)
		}
		fmt.Fprintln(w)
	}
}

func routed(t console.TargetStep) time.Time {
	var at time.Time
	for _, h := range t.Lineage.Hops {
		if h.Stage == "router" {
			at = h.At
		}
	}
	return at
}

func standing(t console.TargetStep) string {
	parts := []string{string(t.Status)}
	if t.Blocked {
		parts = append(parts, "BLOCKED: the connection needs re-authorisation")
	}
	if t.DestinationID != "" {
		s := fmt.Sprintf("%s id %s", t.App, t.DestinationID)
		if t.DestinationVersion != "" {
			s += " version " + t.DestinationVersion
		}
		if !t.DestinationActive {
			s += " (inactive)"
		}
		parts = append(parts, s)
	}
	if t.Applied != (record.Revision{}) {
		parts = append(parts, "applied revision "+t.Applied.String())
	}
	if t.Applied != t.Desired {
		parts = append(parts, "wanted revision "+t.Desired.String())
	}
	if t.Attempt > 0 && t.Status != postgres.StatusDone {
		parts = append(parts, fmt.Sprintf("attempt %d, next %s", t.Attempt, clock(t.NextAt)))
	}
	if len(t.WaitsFor) > 0 {
		parts = append(parts, "waits for "+strings.Join(t.WaitsFor, ", "))
	}
	if t.Code != "" {
		parts = append(parts, strings.TrimSuffix(t.Code+": "+t.Detail, ": "))
	}
	return strings.Join(parts, ", ")
}

func place(p *console.Place) string {
	if p == nil || p.Topic == "" {
		return ""
	}
	return fmt.Sprintf("%s %s", p.Topic, kafka.Position{Partition: p.Partition, Offset: p.Offset})
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
