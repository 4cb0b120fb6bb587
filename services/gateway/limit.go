package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/record"
)

const (
	// sharedLimitTimeout bounds what a slow limiter may cost a webhook.
	sharedLimitTimeout = 100 * time.Millisecond
	// A process takes tokens for sharesPerSecond-th of a second at once: one
	// question to the shared limiter for many webhooks. What it has not used
	// after shareLasts it gives up, so that an idle process keeps nobody waiting.
	sharesPerSecond = 50
	shareLasts      = 100 * time.Millisecond
)

// admit takes one token of the tenant's webhook rate. Where the shared limiter
// cannot answer, this process's own bucket decides alone: a webhook is never
// refused because a limiter is down.
func (g *Gateway) admit(ctx context.Context, tenant *controlplane.Tenant, perSecond float64) (ok bool, after time.Duration) {
	if ok, after := g.local.take(tenant.ID, perSecond, g.deps.Now()); !ok {
		return false, after
	}
	if g.deps.Limiter == nil {
		return true, 0
	}
	return g.shares.of(tenant.ID).take(ctx, g, tenant.ID, perSecond)
}

// shares are this process's tokens of each tenant's shared bucket.
type shares struct {
	mu       sync.Mutex
	byTenant map[record.TenantID]*share
}

func newShares() *shares { return &shares{byTenant: map[record.TenantID]*share{}} }

func (s *shares) of(tenant record.TenantID) *share {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.byTenant[tenant]
	if out == nil {
		out = &share{}
		s.byTenant[tenant] = out
	}
	return out
}

// share is one tenant's. Its lock is held while the limiter is asked: webhooks
// that come meanwhile take from what it answers.
type share struct {
	mu     sync.Mutex
	tokens int
	until  time.Time // when the tokens are given up
	alone  time.Time // until when the limiter is not asked, after an error
}

func (s *share) take(ctx context.Context, g *Gateway, tenant record.TenantID, perSecond float64) (ok bool, after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := g.deps.Now()
	if now.Before(s.alone) {
		return true, 0
	}
	if s.tokens > 0 && now.Before(s.until) {
		s.tokens--
		return true, 0
	}
	ctx, cancel := context.WithTimeout(ctx, sharedLimitTimeout)
	defer cancel()
	bucket := "webhooks:" + string(tenant)
	n := max(1, int(perSecond/sharesPerSecond))
	ok, after, err := g.deps.Limiter.Take(ctx, bucket, perSecond, max(1, perSecond), n)
	if err == nil && !ok && n > 1 {
		n = 1
		ok, after, err = g.deps.Limiter.Take(ctx, bucket, perSecond, max(1, perSecond), n)
	}
	if err != nil {
		s.alone = now.Add(shareLasts)
		g.metrics.limiterErrors.Inc()
		g.deps.Log.LogAttrs(ctx, slog.LevelDebug, "shared limiter does not answer; this process limits alone", slog.Any("error", err))
		return true, 0
	}
	if ok {
		s.tokens, s.until = n-1, now.Add(shareLasts)
	}
	return ok, after
}

// localLimiter is one token bucket for each tenant, holding one second's worth.
type localLimiter struct {
	mu      sync.Mutex
	buckets map[record.TenantID]*bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newLocalLimiter() *localLimiter {
	return &localLimiter{buckets: map[record.TenantID]*bucket{}}
}

func (l *localLimiter) take(tenant record.TenantID, perSecond float64, now time.Time) (ok bool, after time.Duration) {
	capacity := max(1, perSecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[tenant]
	if b == nil {
		b = &bucket{tokens: capacity, at: now}
		l.buckets[tenant] = b
	}
	if elapsed := now.Sub(b.at).Seconds(); elapsed > 0 {
		b.tokens, b.at = min(capacity, b.tokens+elapsed*perSecond), now
	}
	if b.tokens < 1 {
		return false, time.Duration((1 - b.tokens) / perSecond * float64(time.Second))
	}
	b.tokens--
	return true, 0
}
