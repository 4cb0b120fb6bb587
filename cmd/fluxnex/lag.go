package main

import (
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/fluxnex/fluxnex/pkg/app"
	"github.com/fluxnex/fluxnex/pkg/kafka"
)

func newLagCommand(e *environment) *cobra.Command {
	var out output
	var partitions bool
	c := &cobra.Command{
		Use:   "lag",
		Short: "How far each service is behind, per topic",
		Long:  "How far each service is behind, per topic. An idle tail of transaction markers counts 0. The outbound lag is near 0 by design: what is not delivered yet stands in the rows, see fluxnex_delivery_oldest_undelivered_age_seconds.",
		Args:  withArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			k, err := e.kafka(app.NeedKafka)
			if err != nil {
				return err
			}
			lags, err := kafka.Lag(c.Context(), k, consumerGroups(k), toolLogger(e))
			if err != nil {
				return err
			}
			if !partitions {
				lags = perTopic(lags)
			}
			rows := make([]table.Row, len(lags))
			for i, l := range lags {
				rows[i] = table.Row{l.Group, l.Topic}
				if partitions {
					rows[i] = append(rows[i], l.Partition, l.Committed, l.End)
				}
				rows[i] = append(rows[i], l.Records)
			}
			header := table.Row{"service", "topic"}
			if partitions {
				header = append(header, "partition", "committed", "end")
			}
			return out.print(e.out, lagLines(lags), append(header, "lag"), rows, "no service has committed anything yet")
		},
	}
	out.addTo(c)
	c.Flags().BoolVar(&partitions, "partitions", false, "one line for each partition")
	return c
}

// consumerGroups are the groups of all services and what they read.
func consumerGroups(k kafka.Config) map[string][]string {
	t := k.Topics()
	groups := map[string][]string{
		"replica":    {t.Gateway()},
		"normalizer": {t.Replica()},
		"router":     {t.Canonical()},
		"fetcher":    {t.FetchRequest()},
		"console":    {t.Notification()},
	}
	for _, a := range destinationApps() {
		groups["delivery"] = append(groups["delivery"], t.Outbound(a))
	}
	return groups
}

func perTopic(lags []kafka.PartitionLag) []kafka.PartitionLag {
	var out []kafka.PartitionLag
	for _, l := range lags {
		if n := len(out); n > 0 && out[n-1].Group == l.Group && out[n-1].Topic == l.Topic {
			out[n-1].Records += l.Records
			continue
		}
		out = append(out, kafka.PartitionLag{Group: l.Group, Topic: l.Topic, Partition: -1, Committed: -1, End: -1, Records: l.Records})
	}
	return out
}

type lagLine struct {
	Service   string `json:"service"`
	Topic     string `json:"topic"`
	Partition *int32 `json:"partition,omitempty"`
	Committed *int64 `json:"committed,omitempty"`
	End       *int64 `json:"end,omitempty"`
	Lag       int64  `json:"lag"`
}

func lagLines(lags []kafka.PartitionLag) []lagLine {
	out := make([]lagLine, len(lags))
	for i, l := range lags {
		out[i] = lagLine{Service: l.Group, Topic: l.Topic, Lag: l.Records}
		if l.Partition >= 0 {
			out[i].Partition, out[i].Committed, out[i].End = &l.Partition, &l.Committed, &l.End
		}
	}
	return out
}
