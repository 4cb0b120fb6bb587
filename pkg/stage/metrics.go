package stage

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluxnex/fluxnex/pkg/fault"
)

type metrics struct {
	batches  prometheus.Histogram
	records  *prometheus.CounterVec
	endToEnd prometheus.Histogram
	commits  *prometheus.CounterVec
	folds    prometheus.Histogram
	stalls   prometheus.Counter
	refolds  *prometheus.CounterVec
	rejoins  prometheus.Counter
	waits    prometheus.Counter
	owned    prometheus.Gauge
	ready    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, stage string) (*metrics, error) {
	seconds := prometheus.ExponentialBuckets(0.001, 2.5, 14) // 1 ms to 2.5 min
	m := &metrics{
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "fluxnex_stage_batch_seconds", Buckets: seconds,
			Help: "Time from the first record of a batch to its commit.",
		}),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fluxnex_stage_records_total",
			Help: "Records settled, by what became of them.",
		}, []string{"outcome", "class", "code"}),
		endToEnd: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "fluxnex_stage_end_to_end_seconds", Buckets: seconds,
			Help: "Time from the arrival of the event at the gateway to the commit of this stage.",
		}),
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fluxnex_stage_commits_total",
			Help: "Transactions by outcome: committed, aborted, unknown.",
		}, []string{"outcome"}),
		folds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "fluxnex_stage_fold_seconds", Buckets: seconds,
			Help: "Time to bring one partition's view up to the changelog before processing.",
		}),
		stalls: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fluxnex_stage_fold_stalls_total",
			Help: "Folds that took longer than any open transaction can explain.",
		}),
		refolds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fluxnex_stage_view_losses_total",
			Help: "Partitions whose view was found lost, restored or changed by another owner.",
		}, []string{"reason"}),
		rejoins: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fluxnex_stage_rejoins_total",
			Help: "Sessions given up, after a transaction of unknown outcome among others.",
		}),
		waits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fluxnex_stage_dependency_waits_total",
			Help: "Pauses because a dependency was away.",
		}),
		owned: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "fluxnex_stage_owned_partitions", Help: "Partitions assigned to this process.",
		}),
		ready: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "fluxnex_stage_ready_partitions", Help: "Assigned partitions whose view is complete.",
		}),
	}
	labelled := prometheus.WrapRegistererWith(prometheus.Labels{"stage": stage}, reg)
	for _, c := range []prometheus.Collector{
		m.batches, m.records, m.endToEnd, m.commits, m.folds, m.stalls, m.refolds, m.rejoins, m.waits, m.owned, m.ready,
	} {
		if err := labelled.Register(c); err != nil {
			return nil, fmt.Errorf("stage %s: register metrics: %w", stage, err)
		}
	}
	return m, nil
}

// settled counts a batch. Most of its records become the same, so a counter is
// looked for where the outcome changes.
func (m *metrics) settled(all []Settled, now time.Time) {
	n := 0
	for i := range all {
		s := &all[i]
		if !s.Received.IsZero() {
			m.endToEnd.Observe(now.Sub(s.Received).Seconds())
		}
		n++
		if next := i + 1; next == len(all) || all[next].Outcome != s.Outcome || all[next].Class != s.Class || all[next].Code != s.Code {
			m.records.WithLabelValues(s.Outcome, classLabel(s), s.Code).Add(float64(n))
			n = 0
		}
	}
}

// classLabel is "" for a record that nothing is wrong with.
func classLabel(s *Settled) string {
	if s.Code == "" && s.Class == fault.Unclassified {
		return ""
	}
	return s.Class.String()
}
