package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"time"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/httpapi"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/kafka"
)

// errLeaseOver: too little of the lease is left for a call. Nothing was sent.
var errLeaseOver = errors.New("the lease ends before a call would")

// errDown: the breaker opened since the row was claimed. Nothing was sent.
var errDown = fmt.Errorf("%w: its destination is down", errLeaseOver)

// caller makes calls over the attempt's connection.
type caller struct{ a *attempt }

func (a *attempt) caller() *caller { return &caller{a: a} }

// Call waits for the account's rate and for a slot, checks the lease last of
// all, and sends.
func (c *caller) Call(ctx context.Context, req integration.Request) (integration.Answer, error) {
	a := c.a
	if err := c.rate(ctx); err != nil {
		return integration.Answer{}, err
	}
	release, err := a.s.accounts.slot(ctx, a.account())
	if err != nil {
		return integration.Answer{}, errLeaseOver
	}
	defer release()
	if a.trial.IsZero() && !a.probing && a.s.breakers.shut(a.row.Lane) {
		return integration.Answer{}, errDown
	}
	// By the monotonic clock, just before the socket: a process that was frozen
	// since its claim must not send.
	if !time.Now().Before(a.deadline) {
		return integration.Answer{}, errLeaseOver
	}
	s := a.s
	began := time.Now()
	answer, err := s.deps.HTTP.Do(ctx, a.connection.BaseURL, req, s.deps.Credentials.Authorizer(a.connection, a.deliver.OAuth()))
	s.metrics.callSeconds.WithLabelValues(a.row.App).Observe(time.Since(began).Seconds())
	a.broke(ctx, answer.Status, err)
	if err != nil {
		s.accounts.silent(a.account(), s.deps.Clock())
		return integration.Answer{}, err
	}
	s.accounts.answered(a.account())
	if err := a.deliver.Classify(answer); err != nil {
		return answer, withRetryAfter(err, answer.Header, s.deps.Clock())
	}
	return answer, nil
}

// withRetryAfter adds what the header says where the integration said nothing.
func withRetryAfter(err error, h http.Header, now time.Time) error {
	f := fault.Of(err)
	if f.Class != fault.Retryable || f.After > 0 {
		return err
	}
	after := httpapi.RetryAfter(h, now)
	if after == 0 {
		return err
	}
	g := *f
	g.After = after
	return &g
}

// rate takes one token of the remote account's bucket, which all processes share.
func (c *caller) rate(ctx context.Context) error {
	a := c.a
	s := a.s
	rate, burst := bucket(s.limits(a.connection))
	if s.deps.Limiter == nil {
		return nil
	}
	if slow, ok := ramp(a.opened(), rate); ok {
		if err := c.take(ctx, fmt.Sprintf("ramp/%d", a.row.Lane), slow, slow); err != nil {
			return err
		}
	}
	if rate == 0 {
		return nil
	}
	return c.take(ctx, a.row.App+"/"+a.row.RemoteAccount, rate, burst)
}

// take waits for a token, if that is worth it.
func (c *caller) take(ctx context.Context, key string, rate, burst float64) error {
	a := c.a
	s := a.s
	for {
		ok, wait, err := s.deps.Limiter.Take(ctx, key, rate, burst, 1)
		if err != nil {
			if ctx.Err() != nil {
				return errLeaseOver
			}
			// Redis is away: better late than over the limit.
			s.log.Warn("rate limit unknown, waiting", slog.Any("account", key), slog.String("error", err.Error()))
			ok, wait = false, time.Second
		}
		if ok {
			return nil
		}
		s.accounts.exhausted(a.account(), s.deps.Clock().Add(wait))
		if time.Until(a.deadline) < wait {
			return errLeaseOver
		}
		kafka.Wait(ctx, wait)
		if ctx.Err() != nil {
			return errLeaseOver
		}
	}
}

// rateHold is how many seconds of an account's rate are claimed at a time.
const rateHold = 2

// mayHold is how many rows of the connection's account are worth claiming; 0 is
// as many as there is room for.
func (s *Service) mayHold(c *controlplane.Connection) int {
	l := s.limits(c)
	rate, _ := bucket(l)
	if rate == 0 {
		return l.InFlight
	}
	n := max(2, int(math.Ceil(rateHold*rate)))
	if l.InFlight > 0 {
		n = min(n, l.InFlight)
	}
	return n
}

// limits are the connection's own where it has some, else the documented ones.
func (s *Service) limits(c *controlplane.Connection) integration.Limits {
	var l integration.Limits
	if app, ok := s.deps.Integrations(c.App); ok && app.Deliver != nil {
		l = app.Deliver.Limits()
	}
	if c.Limits.PerSecond > 0 || c.Limits.PerMinute > 0 {
		l.PerSecond, l.PerMinute = c.Limits.PerSecond, c.Limits.PerMinute
	}
	if c.Limits.InFlight > 0 {
		l.InFlight = c.Limits.InFlight
	}
	return l
}

// bucket is one token bucket that keeps both limits: in any second and in any
// minute no more calls than allowed, the burst included.
func bucket(l integration.Limits) (rate, burst float64) {
	const minuteShare = 0.98 // leaves room for the burst
	rate = l.PerSecond
	if perMinute := float64(l.PerMinute) * minuteShare / 60; perMinute > 0 && (rate == 0 || perMinute < rate) {
		rate = perMinute
	}
	if rate == 0 {
		return 0, 0
	}
	// What a second leaves beyond the rate, and the minute beyond its share.
	burst = math.Inf(1)
	if l.PerSecond > 0 {
		burst = math.Floor(l.PerSecond - rate)
	}
	if l.PerMinute > 0 {
		burst = min(burst, math.Floor(float64(l.PerMinute)*(1-minuteShare)))
	}
	return rate, max(1, burst)
}
