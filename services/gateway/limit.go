package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// sharedLimitTimeout bounds what a slow limiter may cost a webhook.
const sharedLimitTimeout = 100 * time.Millisecond

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
	ctx, cancel := context.WithTimeout(ctx, sharedLimitTimeout)
	defer cancel()
	ok, after, err := g.deps.Limiter.Take(ctx, "webhooks:"+string(tenant.ID), perSecond, max(1, perSecond), 1)
	if err != nil {
		g.metrics.limiterErrors.Inc()
		g.deps.Log.LogAttrs(ctx, slog.LevelDebug, "shared limiter does not answer; this process limits alone", slog.Any("error", err))
		return true, 0
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
