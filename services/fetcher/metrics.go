package fetcher

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	requests    prometheus.Counter
	answers     *prometheus.CounterVec
	calls       *prometheus.CounterVec
	callSeconds prometheus.Histogram
	pending     prometheus.Gauge
	oldest      prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests:    prometheus.NewCounter(prometheus.CounterOpts{Name: "fluxnex_fetcher_requests_total", Help: "Fetch requests stored."}),
		answers:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluxnex_fetcher_answers_total", Help: "Records answered, by outcome; known is one that had arrived by itself."}, []string{"app", "outcome"}),
		calls:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluxnex_fetcher_batches_total", Help: "Batches asked for, by class of failure."}, []string{"app", "class", "code"}),
		callSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "fluxnex_fetcher_batch_seconds", Help: "Time to ask for one batch.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 13)}),
		pending:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "fluxnex_fetcher_pending_records", Help: "Records that are asked for."}),
		oldest:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "fluxnex_fetcher_oldest_pending_age_seconds", Help: "Age of the oldest request not answered."}),
	}
	if reg != nil {
		for _, c := range []prometheus.Collector{m.requests, m.answers, m.calls, m.callSeconds, m.pending, m.oldest} {
			reg.MustRegister(c)
		}
	}
	return m
}
