package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/secret"
)

const (
	key          = "planted-key-0123456789abcdef0123456789abcdef"
	oldKey       = "planted-old-0123456789abcdef0123456789abcdef"
	organization = "00D5g000004XyZzEAK"
)

// lines is a small source app: one event for each line "id text", or
// "event:id text" with the sender's own event id. "!" cannot be split; "^"
// panics; "@org" on the first line names the organization.
type lines struct{}

func (lines) Detect(contentType string, _ []byte) (string, integration.AuthScheme) {
	if contentType == "application/json" {
		return "json", integration.AuthStandardWebhook
	}
	return "lines", integration.AuthSecret
}

func (lines) Split(format string, body []byte) (integration.Delivery, error) {
	var d integration.Delivery
	for line := range strings.SplitSeq(strings.TrimSpace(string(body)), "\n") {
		switch {
		case line == "":
		case line[0] == '@':
			d.Organization = line[1:]
		case line[0] == '!':
			return integration.Delivery{Sanitized: []byte("sanitized")}, errors.New("no lines")
		case line[0] == '^':
			panic("a bug of the integration")
		default:
			id, _, _ := strings.Cut(line, " ")
			event, local, found := strings.Cut(id, ":")
			if !found {
				event, local = "", id
			}
			if local == "?" {
				local = ""
			}
			d.Events = append(d.Events, integration.Event{LocalID: local, EventID: event, Format: format, ContentType: "text/plain", Payload: []byte(line)})
		}
	}
	return d, nil
}

func (lines) Accepted(format string, ids []string) integration.Response {
	return integration.Response{ContentType: "text/" + map[string]string{"lines": "xml", "json": "json"}[format], Body: []byte("ack " + strings.Join(ids, " "))}
}

func (lines) Failed(string, string) integration.Response {
	return integration.Response{ContentType: "text/xml", Body: []byte("fault")}
}

// memoryInbox keeps what it is sent; before answers in its place.
type memoryInbox struct {
	mu      sync.Mutex
	events  []record.GatewayEvent
	headers [][]kafka.Header
	before  func(ctx context.Context) error
}

func (m *memoryInbox) Start(ctx context.Context, events []record.GatewayEvent, headers []kafka.Header, done func(error)) {
	kept := slices.Clone(events)
	for i := range kept {
		kept[i].Payload, kept[i].Headers = slices.Clone(kept[i].Payload), slices.Clone(kept[i].Headers) // the caller's again when Start returns
	}
	go func() { done(m.keep(ctx, kept, headers)) }()
}

func (m *memoryInbox) keep(ctx context.Context, events []record.GatewayEvent, headers []kafka.Header) error {
	if m.before != nil {
		if err := m.before(ctx); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, events...)
	m.headers = append(m.headers, headers)
	return nil
}

func (m *memoryInbox) all() []record.GatewayEvent {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.events
}

type vault map[string]secret.Secret

func (v vault) SigningSecret(_ context.Context, _ record.TenantID, _, field string) (secret.Secret, error) {
	s, ok := v[field]
	if !ok {
		return "", errors.New("the store is away")
	}
	return s, nil
}

type bed struct {
	*httptest.Server
	t        *testing.T
	inbox    *memoryInbox
	vault    vault
	log      *bytes.Buffer
	registry *prometheus.Registry
	mu       sync.Mutex
	now      time.Time
}

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func signingSecret(n byte) secret.Secret {
	return secret.Secret("whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{n}, 32)))
}

type change func(*Config, *controlplane.Tenant, *controlplane.Connection)

func newBed(t *testing.T, changes ...change) *bed {
	t.Helper()
	b := &bed{t: t, inbox: &memoryInbox{}, log: &bytes.Buffer{}, registry: prometheus.NewPedanticRegistry(), now: time.Unix(1_790_000_000, 0)}
	b.vault = vault{"webhook_signing_1": signingSecret(1), "webhook_signing_2": signingSecret(2)}
	cfg := Config{AnswerWithin: 5 * time.Second}
	tenant := controlplane.Tenant{ID: "envoy", Slug: "envoylogistics", Limits: controlplane.TenantLimits{MaxBodyBytes: 1 << 16, WebhooksPerSecond: 1000}}
	connection := controlplane.Connection{
		Tenant: "envoy", Name: "Lines", App: "lines", RemoteAccount: organization, Version: 3,
		Webhook: controlplane.WebhookAuth{
			SecretHashes: []string{digestOf(key), digestOf(oldKey)}, SigningSecrets: []string{"webhook_signing_1", "webhook_signing_2"},
			Organization: organization,
		},
	}
	for _, c := range changes {
		c(&cfg, &tenant, &connection)
	}
	snapshot := controlplane.NewSnapshot(1, b.now, []controlplane.Tenant{tenant, {ID: "other", Slug: "other"}, {ID: "off", Slug: "off", Disabled: true}},
		[]controlplane.Connection{
			connection,
			{Tenant: "other", Name: "Lines", App: "lines", Webhook: controlplane.WebhookAuth{SecretHashes: []string{digestOf("planted-other-key")}}},
			{Tenant: "off", Name: "Lines", App: "lines", Webhook: controlplane.WebhookAuth{SecretHashes: []string{digestOf(key)}}},
		}, nil, nil)
	g, err := New(cfg, Deps{
		Config: func() *controlplane.Snapshot { return snapshot }, Webhooks: map[string]integration.Webhook{"lines": lines{}},
		Inbox: b.inbox, Secrets: b.vault, Log: slog.New(slog.NewTextHandler(&lockedWriter{w: b.log}, nil)), Now: b.clock, Metrics: b.registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Server = httptest.NewServer(g.Handler())
	t.Cleanup(b.Close)
	return b
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (b *bed) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bed) advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

type answered struct {
	code   int
	body   string
	header http.Header
}

func (b *bed) post(path, body string, edit ...func(*http.Request)) answered {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range edit {
		e(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answered{resp.StatusCode, string(text), resp.Header}
}
