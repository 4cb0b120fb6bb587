package gateway

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests      *prometheus.CounterVec
	seconds       *prometheus.HistogramVec
	events        *prometheus.CounterVec
	unsplit       *prometheus.CounterVec
	bytes         *prometheus.CounterVec
	limiterErrors prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fluxnex_gateway_requests_total",
			Help: "Webhook requests by source app and HTTP status code.",
		}, []string{"source", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "fluxnex_gateway_request_seconds",
			Help:    "Time from a request's headers to its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"source"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fluxnex_gateway_events_total",
			Help: "Record events that the broker acknowledged.",
		}, []string{"source"}),
		unsplit: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fluxnex_gateway_unsplit_total",
			Help: "Bodies, or parts of them, stored without knowing their record.",
		}, []string{"source"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fluxnex_gateway_body_bytes_total",
			Help: "Bytes of inflated webhook bodies.",
		}, []string{"source"}),
		limiterErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fluxnex_gateway_limiter_errors_total",
			Help: "Requests that the shared limiter did not answer for; the process limited them alone.",
		}),
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.events, m.unsplit, m.bytes, m.limiterErrors} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}
