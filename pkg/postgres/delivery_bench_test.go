package postgres_test

import (
	"fmt"
	"runtime/debug"
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

const cycleRecords = 20_000

func benchmarkCycle(b *testing.B, size int) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as the binary does
	w, _ := newBench(b)
	w.change(0, cycleRecords) // rows exist and are applied once, as they mostly are
	drain(b, w, size)
	b.ResetTimer()
	began := time.Now()
	for n := 0; n < b.N; n += cycleRecords {
		w.change(cycleRecords+n, min(b.N-n, cycleRecords))
		drain(b, w, size)
	}
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "rows/s")
}

// change wants n records anew, the first of which is number from, at about 1 KB.
func (w *bench) change(from, n int) {
	filler := strings.Repeat("x", 900)
	for n > 0 {
		var batch []*record.OutboundCommand
		for range min(n, 500) {
			from++
			batch = append(batch, command(fmt.Sprint("R", from%cycleRecords), int64(from), record.VerbUpsert, fmt.Sprintf(`{"n":%d,"filler":"%s"}`, from, filler)))
		}
		w.consume(batch...)
		n -= len(batch)
	}
}

// BenchmarkDeliveryTableSize changes and delivers the same 20,000 records again
// and again: once every slot is in use, the tables stay as large as they are.
// One iteration is one round; the goal is ten.
func BenchmarkDeliveryTableSize(b *testing.B) {
	w, _ := newBench(b)
	sizes := make([]float64, 0, b.N)
	for n := range b.N {
		w.change(n*cycleRecords, cycleRecords)
		drain(b, w, 100)
		if err := w.d.Vacuum(b.Context()); err != nil { // as the service does every five seconds
			b.Fatal(err)
		}
		size, err := w.d.Size(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		sizes = append(sizes, float64(size)/1e6)
	}
	b.Logf("MB after each round: %.0f", sizes)
	b.ReportMetric(sizes[min(2, len(sizes)-1)], "MB-third")
	b.ReportMetric(sizes[len(sizes)-1], "MB-last")
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
