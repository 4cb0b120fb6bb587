package delivery

import (
	"context"
	"fmt"
	"runtime/debug"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/httpapi"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// BenchmarkDelivery updates objects at a destination that takes 50 ms, 256 at a
// time: 5,120 a second is what that allows. One iteration is one row. Measured
// is the steady state, from the first tenth delivered to the last; before it
// the account's window opens, after it the slots run empty.
func BenchmarkDelivery(b *testing.B) {
	const inFlight, latency = 256, 50 * time.Millisecond
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as the binary does
	r := newRig(b)
	to := startDestination(b, latency)
	r.snap.set(controlplane.NewSnapshot(1, time.Now(), []controlplane.Tenant{{ID: "envoy", Slug: "envoy"}},
		[]controlplane.Connection{{Tenant: "envoy", Name: "Shop", App: "shop", BaseURL: to.url, RemoteAccount: "a-envoy", Auth: controlplane.Auth{Kind: controlplane.AuthStaticToken}}}, nil, nil))
	var registry *prometheus.Registry
	r.tune = func(c *Config, d *Deps) {
		*c = Config{InFlight: inFlight}
		registry = prometheus.NewRegistry()
		d.Registerer = registry
		d.HTTP = httpapi.New(httpapi.Config{Allowed: []string{to.url[len("http://"):]}})
	}
	// The objects are made: most deliveries are updates.
	r.load(b.N, 1)
	r.deliver(b, to, b.N, nil)
	r.load(b.N, 2)
	b.ResetTimer()
	var began, ended moment
	tenth := b.N / 10
	r.deliver(b, to, 2*b.N, func(calls int) {
		if began.calls == 0 && calls >= b.N+tenth {
			began = now(calls)
		}
		if ended.calls == 0 && calls >= 2*b.N-tenth {
			ended = now(calls)
		}
	})
	b.StopTimer()
	if t := to.tally(b); t.Calls != 2*b.N || t.Disordered != 0 {
		b.Fatalf("the destination saw %+v of %d calls", t, 2*b.N)
	}
	if calls := float64(ended.calls - began.calls); calls > 0 {
		rate := calls / ended.at.Sub(began.at).Seconds()
		b.ReportMetric(rate, "rows/s")
		b.ReportMetric(100*rate/(inFlight/latency.Seconds()), "%-of-limit")
		b.ReportMetric(float64((ended.cpu-began.cpu).Microseconds())/calls, "µs-CPU/row")
	}
	for _, m := range []struct{ name, unit string }{
		{"fluxnex_delivery_claim_rows", "rows/claim"}, {"store", "rows/store"}, {"finish", "rows/finish"}, {"fluxnex_delivery_call_seconds", "s/call"},
	} {
		b.ReportMetric(mean(b, registry, m.name), m.unit)
	}
}

// moment is how far the destination was, and what this process had used.
type moment struct {
	calls int
	at    time.Time
	cpu   time.Duration
}

func now(calls int) moment {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail for oneself
	return moment{calls, time.Now(), time.Duration(u.Utime.Nano() + u.Stime.Nano())}
}

// mean of a histogram, by its name or by its label.
func mean(b *testing.B, registry *prometheus.Registry, name string) float64 {
	b.Helper()
	families, err := registry.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name || len(m.GetLabel()) > 0 && m.GetLabel()[0].GetName() == "write" && m.GetLabel()[0].GetValue() == name {
				return m.GetHistogram().GetSampleSum() / float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	b.Fatalf("no histogram %s", name)
	return 0
}

// load wants n records at that sequence number.
func (r *rig) load(n, seq int) {
	for i := 0; i < n; i += 500 {
		var batch []*record.OutboundCommand
		for j := i; j < min(n, i+500); j++ {
			batch = append(batch, command("envoy", fmt.Sprint("R", j), seq, record.VerbUpsert))
		}
		r.consume(batch...)
	}
}

// deliver runs a service until the destination has had that many calls.
func (r *rig) deliver(b *testing.B, to destination, calls int, see func(calls int)) {
	b.Helper()
	s := r.service()
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		seen := to.tally(b).Calls
		if see != nil {
			see(seen)
		}
		if seen >= calls {
			break
		}
		<-ticker.C
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
