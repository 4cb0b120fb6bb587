package postgres_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// BenchmarkDeliveryCycle takes rows of about 1 KB from upsert to claim to stored
// request to done, with the applied payload kept and results in the outbox, by
// two claimers. One iteration is one row; the goal is 10,000 rows/s with fsync.
func BenchmarkDeliveryCycle(b *testing.B) {
	for _, size := range []int{50, 100, 250} {
		b.Run(fmt.Sprintf("batch %d", size), func(b *testing.B) { benchmarkCycle(b, size) })
	}
}

func benchmarkCycle(b *testing.B, size int) {
	w, db := newBench(b)
	_ = db
	filler := strings.Repeat("x", 900)
	const records = 20_000
	revision := int64(0)
	load := func(n int) {
		for n > 0 {
			var batch []*record.OutboundCommand
			for range min(n, 500) {
				revision++
				batch = append(batch, command(fmt.Sprint("R", revision%records), revision, record.VerbUpsert, fmt.Sprintf(`{"n":%d,"filler":"%s"}`, revision, filler)))
			}
			w.consume(batch...)
			n -= len(batch)
		}
	}
	load(records) // rows exist and are applied once, as they mostly are
	drain(b, w, size)
	b.ResetTimer()
	began := time.Now()
	for left := b.N; left > 0; left -= records {
		load(min(left, records))
		drain(b, w, size)
	}
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "rows/s")
}

func drain(b *testing.B, w *bench, size int) {
	b.Helper()
	lanes, err := w.d.DueLanes(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	quotas := make([]postgres.Quota, len(lanes))
	for i, l := range lanes {
		quotas[i] = postgres.Quota{Lane: l.ID, Limit: int32(size)}
	}
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	for range 2 {
		wg.Go(func() {
			for {
				rows, err := w.d.Claim(b.Context(), quotas, lease)
				if err != nil || len(rows) == 0 {
					if err != nil {
						failed.Store(&err)
					}
					return
				}
				stored := make([]postgres.Stored, len(rows))
				finished := make([]postgres.Finished, len(rows))
				for i, r := range rows {
					stored[i] = postgres.Stored{Row: r, Request: postgres.Request{ID: fmt.Sprint(r.ID, r.Version.Revision), Final: true, Call: integration.Request{Method: "POST", Path: "/v3/company/1/vendor", Body: r.Payload}}}
					finished[i] = postgres.Finished{
						Row: r, Ending: postgres.EndApplied, Sent: true, Digest: []byte("0123456789abcdef0123456789abcdef"),
						Remote: &integration.Remote{Type: "Vendor", ID: fmt.Sprint(r.ID), Version: fmt.Sprint(r.Epoch), Active: true},
						Result: &record.DeliveryResult{TenantID: r.Tenant, RecordID: r.RecordID, App: r.App, Outcome: "applied", Revision: r.Version.Revision, Lineage: r.Lineage},
					}
				}
				if _, err := w.d.Store(b.Context(), stored); err != nil {
					failed.Store(&err)
					return
				}
				if _, err := w.d.Finish(b.Context(), finished); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
	for {
		messages, err := w.d.Outbox(b.Context(), 5000)
		if err != nil {
			b.Fatal(err)
		}
		if len(messages) == 0 {
			return
		}
		ids := make([]int64, len(messages))
		for i, m := range messages {
			ids[i] = m.ID
		}
		if err := w.d.Published(b.Context(), ids); err != nil {
			b.Fatal(err)
		}
	}
}
