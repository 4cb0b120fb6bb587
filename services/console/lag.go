package console

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluxnex/fluxnex/pkg/kafka"
)

const lagEvery = 10 * time.Second

// LagExporter measures how far every service is behind. It does so from
// outside, so that the lag of a service that is down is seen too.
type LagExporter struct {
	cfg    kafka.Config
	groups map[string][]string // group → topics
	log    *slog.Logger
	lag    *prometheus.GaugeVec
}

// NewLagExporter registers fluxnex_consumer_lag_records{group,topic}.
func NewLagExporter(cfg kafka.Config, groups map[string][]string, reg prometheus.Registerer, log *slog.Logger) *LagExporter {
	lag := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "fluxnex_consumer_lag_records",
		Help: "Records of a topic that a service has not consumed yet; an idle tail of transaction markers counts 0.",
	}, []string{"group", "topic"})
	reg.MustRegister(lag)
	return &LagExporter{cfg: cfg, groups: groups, log: log, lag: lag}
}

// Run measures every ten seconds until ctx ends.
func (l *LagExporter) Run(ctx context.Context) error {
	tick := time.NewTicker(lagEvery)
	defer tick.Stop()
	for {
		if err := l.measure(ctx); err != nil && ctx.Err() == nil {
			l.log.WarnContext(ctx, "consumer lag not measured", slog.String("error", err.Error()))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (l *LagExporter) measure(ctx context.Context) error {
	lags, err := kafka.Lag(ctx, l.cfg, l.groups, l.log)
	if err != nil {
		return err
	}
	type name struct{ group, topic string }
	sums := map[name]int64{}
	for _, p := range lags {
		sums[name{p.Group, p.Topic}] += p.Records
	}
	for n, records := range sums {
		l.lag.WithLabelValues(n.group, n.topic).Set(float64(records))
	}
	return nil
}
