package gateway_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/tests/parts"
)

// The gateway against a bare handler that reads the body, produces it with the
// same inbox and waits for the acknowledgement: the difference is what the
// gateway itself costs. Compare with: go test -bench Post -run '^$' -cpu 64
func BenchmarkPost(b *testing.B) {
	c := parts.Kafka(b)
	r := newReal(b, c, "00D5g000004XyZzEAK")
	body := message("00D5g000004XyZzEAK")
	b.Run("gateway", func(b *testing.B) { hammer(b, r.URL+"/webhooks/revenova/envoylogistics?key="+key, body) })

	inbox, err := kafka.NewInbox(r.cluster.Config, r.codecs.Gateway.Append, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(inbox.Close)
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		payload, err := io.ReadAll(req.Body)
		if err == nil {
			_, err = inbox.Send(req.Context(), []record.GatewayEvent{{TenantID: "envoy", RecordID: "revenova:0015g00000AbCdEAAV", Payload: payload}}, nil)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
	b.Cleanup(bare.Close)
	b.Run("bare", func(b *testing.B) { hammer(b, bare.URL, body) })
}

func hammer(b *testing.B, url string, body []byte) {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024}}
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			req.Header.Set("Content-Type", "text/xml")
			resp, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				b.Errorf("answered %d", resp.StatusCode)
				return
			}
		}
	})
}
