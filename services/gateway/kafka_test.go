package gateway_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluxnex/fluxnex/integrations/revenova"
	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/kafka/kafkatest"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/schemas"
	"github.com/fluxnex/fluxnex/services/gateway"
	"github.com/fluxnex/fluxnex/tests/parts"
)

const (
	key     = "0123456789abcdef0123456789abcdef0123456789abcdef"
	samples = "../../../shared/samples/salesforce-outbound-message"
)

// real is the gateway as it runs: Revenova's integration, an inbox, a broker.
type real struct {
	*httptest.Server
	cluster *kafkatest.Cluster
	codecs  *schemas.Codecs
	topic   string
}

func newReal(t testing.TB, c parts.Cluster, organization string) *real {
	t.Helper()
	cfg := kafka.Config{Brokers: c.Brokers, RegistryURL: c.RegistryURL, Prefix: c.Prefix, Partitions: 3}
	r := &real{cluster: kafkatest.On(t, cfg), topic: cfg.Topics().Gateway()}
	log := slog.New(slog.DiscardHandler)
	registry, err := kafka.NewRegistry(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.codecs, err = schemas.Open(t.Context(), registry, cfg.Topics(), nil); err != nil {
		t.Fatal(err)
	}
	inbox, err := kafka.NewInbox(cfg, r.codecs.Gateway.Append, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(inbox.Close)
	r.Server = serve(t, inbox, organization, log)
	return r
}

func serve(t testing.TB, inbox gateway.Inbox, organization string, log *slog.Logger) *httptest.Server {
	t.Helper()
	sum := sha256.Sum256([]byte(key))
	snapshot := controlplane.NewSnapshot(1, time.Now(),
		[]controlplane.Tenant{{ID: "envoy", Slug: "envoylogistics", Limits: controlplane.TenantLimits{WebhooksPerSecond: 1e6}}},
		[]controlplane.Connection{{
			Tenant: "envoy", Name: "Revenova", App: "revenova", RemoteAccount: organization,
			Webhook: controlplane.WebhookAuth{SecretHashes: []string{hex.EncodeToString(sum[:])}},
		}}, nil, nil)
	g, err := gateway.New(gateway.Config{}, gateway.Deps{
		Config: func() *controlplane.Snapshot { return snapshot }, Webhooks: map[string]integration.Webhook{"revenova": revenova.New().Webhook},
		Inbox: inbox, Log: log, Now: time.Now, Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(g.Handler())
	t.Cleanup(s.Close)
	return s
}

func (r *real) post(t testing.TB, body []byte) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, r.URL+"/webhooks/revenova/envoylogistics?key="+key, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (r *real) stored(t *testing.T) []record.GatewayEvent {
	t.Helper()
	var out []record.GatewayEvent
	for _, rec := range r.cluster.Committed(r.topic) {
		e, err := r.codecs.Gateway.Decode(t.Context(), rec.Value)
		if err != nil {
			t.Fatal(err)
		}
		if string(rec.Key) != string(e.Key()) {
			t.Errorf("%s is stored under the key %s", e.Key(), rec.Key)
		}
		out = append(out, *e)
	}
	return out
}

var (
	notification = regexp.MustCompile(`<(?:\w+:)?Notification[ >]`)
	orgOf        = regexp.MustCompile(`<OrganizationId>([^<]+)<`)
)

func TestRealOutboundMessagesAreAckedAndStored(t *testing.T) {
	files, err := filepath.Glob(samples + "/*.xml")
	if err != nil || len(files) == 0 {
		t.Skip("the samples are not beside the repository: " + samples)
	}
	parts.EachKafka(t, func(t *testing.T, c parts.Cluster) {
		r := newReal(t, c, "")
		events := 0
		for _, file := range files {
			if strings.Contains(file, "wsdl") || strings.Contains(filepath.Base(file), "ack_") {
				continue
			}
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			organization := ""
			if m := orgOf.FindSubmatch(body); m != nil {
				organization = string(m[1])
			}
			// Each sample is from an org of its own.
			one := newSender(t, r, organization)
			code, answer := one.post(t, body)
			if code != 200 || !strings.Contains(answer, "<Ack>true</Ack>") {
				t.Errorf("%s: answered %d %s", filepath.Base(file), code, answer)
			}
			events += max(1, len(notification.FindAll(body, -1)))
		}
		stored := r.stored(t)
		if len(stored) < events-1 || len(stored) == 0 {
			t.Errorf("%d events stored of %d", len(stored), events)
		}
		unsplit := 0
		for _, e := range stored {
			if e.Format == "" {
				unsplit++
			}
			if regexp.MustCompile(`<SessionId>[^<]`).Match(e.Payload) {
				t.Errorf("%s: a session id is stored", e.RecordID)
			}
		}
		if unsplit != 1 {
			t.Errorf("%d bodies stored whole; only the malformed one is", unsplit)
		}
	})
}

// newSender is the same gateway for a connection of another organization.
func newSender(t testing.TB, r *real, organization string) *real {
	t.Helper()
	inbox, err := kafka.NewInbox(r.cluster.Config, r.codecs.Gateway.Append, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(inbox.Close)
	return &real{Server: serve(t, inbox, organization, slog.New(slog.DiscardHandler)), cluster: r.cluster, codecs: r.codecs, topic: r.topic}
}

func TestAnotherOrganizationStoresNothing(t *testing.T) {
	parts.EachKafka(t, func(t *testing.T, c parts.Cluster) {
		r := newReal(t, c, "00D5g000004XyZzEAK")
		if code, body := r.post(t, message("00D000000000001EAA")); code != 401 {
			t.Errorf("answered %d %s", code, body)
		}
		if n := len(r.stored(t)); n > 0 {
			t.Errorf("%d events stored", n)
		}
		if code, body := r.post(t, message("00D5g000004XyZz")); code != 200 {
			t.Errorf("the 15-character form was answered %d %s", code, body)
		}
	})
}

func message(organization string) []byte {
	return []byte(`<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
   <OrganizationId>` + organization + `</OrganizationId>
   <ActionId>04k5g000000CaDAAA0</ActionId>
   <SessionId xsi:nil="true"/>
   <EnterpriseUrl>https://na1.example.com/services/Soap/c/60.0/00D5g000004XyZz</EnterpriseUrl>
   <PartnerUrl>https://na1.example.com/services/Soap/u/60.0/00D5g000004XyZz</PartnerUrl>
   <Notification>
    <Id>04l5g000003aBcDAAU</Id>
    <sObject xsi:type="sf:Account" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">
     <sf:Id>0015g00000AbCdEAAV</sf:Id>
     <sf:Name>Acme Trucking</sf:Name>
     <sf:SystemModstamp>2026-11-24T10:15:00.000Z</sf:SystemModstamp>
     <sf:Type>Vendor</sf:Type>
    </sObject>
   </Notification>
  </notifications>
 </soapenv:Body>
</soapenv:Envelope>`)
}

func TestNothingIsAckedWithoutABroker(t *testing.T) {
	cluster := kafkatest.New(t, 3)
	encode := func(dst []byte, e *record.GatewayEvent) ([]byte, error) { return append(dst, e.Payload...), nil }
	inbox, err := kafka.NewInbox(cluster.Config, encode, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(inbox.Close)
	r := &real{Server: serve(t, inbox, "00D5g000004XyZzEAK", slog.New(slog.DiscardHandler)), cluster: cluster}
	if code, body := r.post(t, message("00D5g000004XyZzEAK")); code != 200 {
		t.Fatalf("answered %d %s with a broker", code, body)
	}
	cluster.Fake.Close()
	began := time.Now()
	code, body := r.post(t, message("00D5g000004XyZzEAK"))
	if code != 500 || strings.Contains(body, "Ack") || !strings.Contains(body, "Fault") {
		t.Errorf("answered %d %s without a broker", code, body)
	}
	t.Logf("answered after %s", time.Since(began))
}
