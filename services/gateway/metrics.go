package gateway

import (
	"errors"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests      *prometheus.CounterVec
	seconds       *prometheus.HistogramVec
	events        *prometheus.CounterVec
	unsplit       *prometheus.CounterVec
	bytes         *prometheus.CounterVec
	limiterErrors prometheus.Counter

	sources sync.Map // *sourceMetrics, by source
}

// sourceMetrics are the series of one source, which cost more to look up than to
// count in.
type sourceMetrics struct {
	of      *metrics
	source  string
	seconds prometheus.Observer
	bytes   prometheus.Counter
	events  func() prometheus.Counter // there is none before the first event
	codes   sync.Map                  // prometheus.Counter of requests, by code
}

// source is one of the known apps, or "unknown".
func (m *metrics) source(source string) *sourceMetrics {
	if s, ok := m.sources.Load(source); ok {
		return s.(*sourceMetrics) //nolint:forcetypeassert // the map holds nothing else
	}
	s, _ := m.sources.LoadOrStore(source, &sourceMetrics{
		of: m, source: source, seconds: m.seconds.WithLabelValues(source), bytes: m.bytes.WithLabelValues(source),
		events: sync.OnceValue(func() prometheus.Counter { return m.events.WithLabelValues(source) }),
	})
	return s.(*sourceMetrics) //nolint:forcetypeassert // as above
}

func (s *sourceMetrics) requests(code int) prometheus.Counter {
	if c, ok := s.codes.Load(code); ok {
		return c.(prometheus.Counter) //nolint:forcetypeassert // the map holds nothing else
	}
	c := s.of.requests.WithLabelValues(s.source, strconv.Itoa(code))
	s.codes.Store(code, c)
	return c
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
