package delivery

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// BenchmarkDelivery sends rows to a destination that takes 50 ms, 256 at a
// time: 5,120 a second is what that allows. One iteration is one row.
func BenchmarkDelivery(b *testing.B) {
	const inFlight, latency = 256, 50 * time.Millisecond
	r := newRig(b)
	r.shop.latency = latency
	r.tune = func(c *Config, _ *Deps) { c.InFlight, c.Lease, c.Margin = inFlight, time.Minute, 10*time.Second }
	// Warm: connections, plans, and the account's window.
	deliver(b, r, "warm", 2000)
	b.ResetTimer()
	took := deliver(b, r, "R", b.N)
	rate := float64(b.N) / took.Seconds()
	b.ReportMetric(rate, "rows/s")
	b.ReportMetric(100*rate/(inFlight/latency.Seconds()), "%-of-limit")
	r.inOrder()
}

func deliver(b *testing.B, r *rig, prefix string, n int) time.Duration {
	b.Helper()
	for i := 0; i < n; i += 500 {
		var batch []*record.OutboundCommand
		for j := i; j < min(n, i+500); j++ {
			batch = append(batch, command("envoy", fmt.Sprint(prefix, j), 1, record.VerbUpsert))
		}
		r.consume(batch...)
	}
	before := len(r.shop.entries())
	began := time.Now()
	s := r.service()
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for r.shop.count()-before < n {
		<-ticker.C
	}
	took := time.Since(began)
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	return took
}
