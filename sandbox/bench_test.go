package sandbox_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/fluxnex/fluxnex/sandbox"
)

// BenchmarkVendorCreate is the server alone: no network, in parallel.
func BenchmarkVendorCreate(b *testing.B) {
	for name, dir := range map[string]string{"memory": "", "file": b.TempDir()} {
		b.Run(name, func(b *testing.B) {
			bed := start(b, sandbox.Config{Dir: dir})
			h := bed.server.Handler()
			var n atomic.Int64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					i := n.Add(1)
					body := fmt.Sprintf(`{"DisplayName":"Vendor %d","CompanyName":"Acme","PrimaryPhone":{"FreeFormNumber":"1"},"BillAddr":{"Line1":"1","City":"Boston","PostalCode":"04001"}}`, i)
					r := httptest.NewRequest(http.MethodPost, fmt.Sprintf("/v3/company/%s/vendor?requestid=r%d-%p", sandbox.ExampleRealm, i, b), bytes.NewReader([]byte(body)))
					r.Header.Set("Authorization", "Bearer "+bed.qbo)
					w := httptest.NewRecorder()
					h.ServeHTTP(w, r)
					_, _ = io.Copy(io.Discard, w.Body)
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}

// BenchmarkOverHTTP reads one vendor over real connections.
func BenchmarkOverHTTP(b *testing.B) {
	bed := start(b, sandbox.Config{})
	id := bed.create("Vendor", object{"DisplayName": "Acme"})["Id"].(string)
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 64
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			bed.call(http.MethodGet, "/v3/company/"+sandbox.ExampleRealm+"/vendor/"+id, bed.qbo, nil)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
