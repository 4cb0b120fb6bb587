package delivery

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	consumed       prometheus.Counter
	consumeSeconds prometheus.Histogram
	consumeDelay   prometheus.Gauge
	claims         prometheus.Histogram
	writes         *prometheus.HistogramVec
	attempts       *prometheus.CounterVec
	attemptSeconds prometheus.Histogram
	callSeconds    *prometheus.HistogramVec
	endToEnd       *prometheus.HistogramVec
	doubts         prometheus.Counter
	leasesLost     prometheus.Counter
	blocks         *prometheus.CounterVec
	breaks         *prometheus.CounterVec
	breakers       *prometheus.GaugeVec
	published      *prometheus.CounterVec
	standing       *prometheus.GaugeVec
	oldest         *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		consumed:       prometheus.NewCounter(prometheus.CounterOpts{Name: "fluxnex_delivery_commands_total", Help: "Outbound commands stored as desired states."}),
		consumeSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "fluxnex_delivery_consume_seconds", Help: "Time to store one batch of commands.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}),
		consumeDelay:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "fluxnex_delivery_consume_delay_seconds", Help: "How long the newest consumed command had been on its topic: what is not consumed yet is at least that old."}),
		claims:         prometheus.NewHistogram(prometheus.HistogramOpts{Name: "fluxnex_delivery_claim_rows", Help: "Rows of one claim.", Buckets: prometheus.ExponentialBuckets(1, 2, 10)}),
		writes:         prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "fluxnex_delivery_write_rows", Help: "Rows of one transaction that stores requests or finishes rows.", Buckets: prometheus.ExponentialBuckets(1, 2, 10)}, []string{"write"}),
		attempts:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluxnex_delivery_attempts_total", Help: "Attempts by their end."}, []string{"app", "outcome", "class", "code"}),
		attemptSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "fluxnex_delivery_attempt_seconds", Help: "Time from claim to finish.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 14)}),
		callSeconds:    prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "fluxnex_delivery_call_seconds", Help: "Time of one call to a destination.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 13)}, []string{"app"}),
		endToEnd:       prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "fluxnex_delivery_end_to_end_seconds", Help: "Time from the source's event to the applied state.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 18)}, []string{"app"}),
		doubts:         prometheus.NewCounter(prometheus.CounterOpts{Name: "fluxnex_delivery_doubts_total", Help: "Requests of unknown outcome that were resolved first."}),
		leasesLost:     prometheus.NewCounter(prometheus.CounterOpts{Name: "fluxnex_delivery_leases_lost_total", Help: "Attempts that found their lease gone."}),
		blocks:         prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluxnex_delivery_blocks_total", Help: "Lanes blocked by a dead credential."}, []string{"app"}),
		breaks:         prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluxnex_delivery_breaks_total", Help: "Times a breaker opened, or opened again after a call that was to see."}, []string{"app"}),
		breakers:       prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fluxnex_delivery_open_breakers", Help: "Lanes (a tenant's share of an account) that all processes leave alone because the destination is down; the same in each process."}, []string{"app"}),
		published:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluxnex_delivery_published_total", Help: "Messages published from the outbox."}, []string{"kind"}),
		standing:       prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fluxnex_delivery_rows", Help: "Rows that are not done, by where they stand."}, []string{"tenant", "target", "status"}),
		oldest:         prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fluxnex_delivery_oldest_undelivered_age_seconds", Help: "Age of the oldest change not yet applied, by where its row stands; status pending is ready, sending and backoff."}, []string{"tenant", "target", "status"}),
	}
	if reg != nil {
		for _, c := range []prometheus.Collector{
			m.consumed, m.consumeSeconds, m.consumeDelay, m.claims, m.writes, m.attempts, m.attemptSeconds, m.callSeconds, m.endToEnd,
			m.doubts, m.leasesLost, m.blocks, m.breaks, m.breakers, m.published, m.standing, m.oldest,
		} {
			reg.MustRegister(c)
		}
	}
	return m
}
