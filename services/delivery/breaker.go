package delivery

import (
	"log/slog"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
)

// breaker keeps rows of an account that is down from being claimed at all: they
// keep their attempts, and the account one call at a time from each process.
type breaker struct {
	failures int       // without an answer between them
	first    time.Time // of these
	opened   int       // times in a row; each pause is twice the one before
	until    time.Time // open; afterwards half open, until a call says how it is
}

const (
	// breakerWindow: failures that are further apart than this are no outage.
	breakerWindow = time.Minute
	// breakerLongest bounds how long an account that is back waits for a call.
	breakerLongest = 30 * time.Second
)

func (b *breaker) open(now time.Time) bool { return now.Before(b.until) }

// halfOpen: one call at a time, to see whether it is back.
func (b *breaker) halfOpen(now time.Time) bool { return b.opened > 0 && !b.open(now) }

// answered closes it, and reports whether it was open or half open.
func (b *breaker) answered() bool {
	was := b.opened > 0
	*b = breaker{}
	return was
}

// failed counts, and reports whether that opened it.
func (b *breaker) failed(now time.Time, after int, pause, longest time.Duration) bool {
	if b.open(now) {
		return false // calls that were under way when it opened
	}
	if b.failures == 0 || now.Sub(b.first) > breakerWindow {
		b.failures, b.first = 0, now
	}
	b.failures++
	if b.opened == 0 && b.failures < after {
		return false
	}
	for range b.opened {
		if pause *= 2; pause >= longest {
			pause = longest
			break
		}
	}
	b.failures = 0
	b.opened++
	b.until = now.Add(pause)
	return true
}

// broke tells the account's breaker how a call went. err is of the connection,
// status of the answer.
func (s *Service) broke(id account, status int, err error) {
	now := s.deps.Clock()
	a := s.accounts
	a.mu.Lock()
	defer a.mu.Unlock()
	b := &a.state(id).breaker
	switch {
	case err == nil && status < 500:
		if b.answered() {
			s.metrics.breakers.WithLabelValues(id.app).Dec()
			s.log.Info("account answers again", slog.String("app", id.app), slog.String("account", id.remote))
		}
	case err != nil && fault.Of(err).Class != fault.Retryable:
		// The account was not asked.
	default:
		was := b.opened > 0
		if !b.failed(now, s.cfg.BreakerAfter, s.cfg.BreakerPause, min(s.cfg.BackoffMax, breakerLongest)) {
			return
		}
		s.metrics.breaks.WithLabelValues(id.app).Inc()
		if !was {
			s.metrics.breakers.WithLabelValues(id.app).Inc()
			s.log.Warn("account is down, its rows wait", slog.Any("app", id.app), slog.Any("account", id.remote))
		}
	}
}

// shut reports that the breaker lets no call through now. Of those that found
// it closed and are still on their way, one goes when it is half open.
func (a *accounts) shut(id account, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.state(id)
	return s.breaker.open(now) || (s.breaker.halfOpen(now) && len(s.slots) > 1)
}
