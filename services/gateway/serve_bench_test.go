package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/fluxnex/fluxnex/integrations/revenova"
	"github.com/fluxnex/fluxnex/pkg/app"
	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/secret"
	"github.com/fluxnex/fluxnex/services/gateway"
)

// atOnce is an inbox whose broker has already acknowledged.
type atOnce struct{}

func (atOnce) Start(_ context.Context, _ []record.GatewayEvent, _ []kafka.Header, done func(error)) {
	done(nil)
}

type oneSecret struct{ secret.Secret }

func (s oneSecret) SigningSecret(context.Context, record.TenantID, string, string) (secret.Secret, error) {
	return s.Secret, nil
}

// nowhere is a connection's writing side.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header           { return n.header }
func (*nowhere) WriteHeader(int)                 {}
func (*nowhere) Write(p []byte) (int, error)     { return len(p), nil }
func (*nowhere) SetReadDeadline(time.Time) error { return nil }

// What a signed webhook costs between net/http and the client of the broker.
func BenchmarkServe(b *testing.B) {
	const organization = "00D5g000004XyZzEAK"
	key := bytes.Repeat([]byte{7}, 32)
	signer, err := standardwebhooks.NewWebhookRaw(key)
	if err != nil {
		b.Fatal(err)
	}
	cfg := app.Config{LogLevel: "info", LogFormat: "json"}
	log, flush, err := app.NewLogger(io.Discard, cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer flush()
	snapshot := controlplane.NewSnapshot(1, time.Now(),
		[]controlplane.Tenant{{ID: "envoy", Slug: "envoylogistics", Limits: controlplane.TenantLimits{WebhooksPerSecond: 1e9}}},
		[]controlplane.Connection{{
			Tenant: "envoy", Name: "Revenova", App: "revenova", RemoteAccount: organization,
			Webhook: controlplane.WebhookAuth{SigningSecrets: []string{"signing"}},
		}}, nil, nil)
	g, err := gateway.New(gateway.Config{}, gateway.Deps{
		Config: func() *controlplane.Snapshot { return snapshot }, Webhooks: map[string]integration.Webhook{"revenova": revenova.New().Webhook},
		Inbox: atOnce{}, Secrets: oneSecret{secret.Secret("whsec_" + "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")}, Log: log, Now: time.Now, Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		b.Fatal(err)
	}
	var fields strings.Builder
	for i := range 33 {
		fmt.Fprintf(&fields, `,"sf:rtms__Field_%d__c":"Portland ME %d"`, i, i)
	}
	body := []byte(`{"notification":{"organizationId":"` + organization + `","sobject":{"$":{"xsi:type":"sf:Account"},"sf:Id":"0015g00000AbCdEAAV"` + fields.String() + `}}}`)
	signature, err := signer.Sign("msg_1", time.Now(), body)
	if err != nil {
		b.Fatal(err)
	}
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("Webhook-Id", "msg_1")
	h.Set("Webhook-Timestamp", strconv.FormatInt(time.Now().Unix(), 10))
	h.Set("Webhook-Signature", signature)
	handler := g.Handler()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	var reader bytes.Reader
	r := httptest.NewRequest(http.MethodPost, "/webhooks/revenova/envoylogistics", nil)
	r.Body, r.ContentLength, r.Header = io.NopCloser(&reader), int64(len(body)), h
	for b.Loop() {
		reader.Reset(body)
		w := &nowhere{http.Header{}}
		handler.ServeHTTP(w, r)
	}
}
