package fetcher

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	requests    prometheus.Counter
	answers     *prometheus.CounterVec
	calls       *prometheus.CounterVec
	callSeconds prometheus.Histogram
	pending     prometheus.Gauge
	oldest      prometheus.Gauge
	blocked     *prometheus.CounterVec
	polls       *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests:    prometheus.NewCounter(prometheus.CounterOpts{Name: "fluxnex_fetcher_requests_total", Help: "Fetch requests stored."}),
		answers:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluxnex_fetcher_answers_total", Help: "Records answered, by outcome; known is one that had arrived by itself."}, []string{"app", "outcome"}),
		calls:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluxnex_fetcher_batches_total", Help: "Batches asked for, by class of failure."}, []string{"app", "class", "code"}),
		callSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "fluxnex_fetcher_batch_seconds", Help: "Time to ask for one batch.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 13)}),
		pending:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "fluxnex_fetcher_pending_records", Help: "Records that are asked for."}),
		oldest:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "fluxnex_fetcher_oldest_pending_age_seconds", Help: "Age of the oldest request not answered."}),
		blocked:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluxnex_fetcher_blocked_total", Help: "Calls that found a source's credential dead or its quota used up."}, []string{"app", "code"}),
		polls:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluxnex_fetcher_removal_polls_total", Help: "Connections asked for removals, by code of failure."}, []string{"app", "code"}),
	}
	if reg != nil {
		for _, c := range []prometheus.Collector{m.requests, m.answers, m.calls, m.callSeconds, m.pending, m.oldest, m.blocked, m.polls} {
			reg.MustRegister(c)
		}
	}
	return m
}
