package gateway

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/secret"
)

const hookPath = "/webhooks/lines/envoylogistics"

func TestEventsAreStoredUnderTheirRecords(t *testing.T) {
	b := newBed(t)
	got := b.post(hookPath+"?key="+key, "@"+organization+"\nn1:A one\nn2:B two\nn1:A three\n", func(r *http.Request) {
		r.Header.Set("Authorization", "")
		r.Header.Set("Cookie", "planted-cookie")
		r.Header.Set("User-Agent", "Salesforce")
	})
	events := b.inbox.all()
	if got.code != 200 || len(events) != 3 || got.body != "ack "+events[0].GatewayID+" "+events[1].GatewayID+" "+events[2].GatewayID {
		t.Fatalf("answered %d %q with %d events", got.code, got.body, len(events))
	}
	e := events[0]
	if e.Key() != "envoy/lines:A" || e.Origin != record.OriginWebhook || e.Outcome != record.OutcomePayload || string(e.Payload) != "n1:A one" || e.Format != "lines" || !e.ReceivedAt.Equal(b.now) {
		t.Errorf("stored %+v", e)
	}
	if len(e.Headers) != 1 || e.Headers[0] != (record.Header{Name: "user-agent", Value: "Salesforce"}) {
		t.Errorf("stored headers %v", e.Headers)
	}
	if !strings.HasPrefix(e.GatewayID, "gw-") || e.GatewayID != events[2].GatewayID || e.GatewayID == events[1].GatewayID {
		t.Errorf("gateway ids %s %s %s: a repeated event has the id of the first", e.GatewayID, events[1].GatewayID, events[2].GatewayID)
	}
}

func TestWhatCannotBeSplitIsStoredWholeAndAcked(t *testing.T) {
	b := newBed(t)
	for body, payload := range map[string]string{"! broken": "sanitized", "^": "^", "? no id": "? no id"} {
		b.inbox.events = nil
		got := b.post(hookPath+"?key="+key, body)
		events := b.inbox.all()
		if got.code != 200 || len(events) != 1 {
			t.Fatalf("%q: answered %d with %d events", body, got.code, len(events))
		}
		e := events[0]
		if e.Format != "" || e.RecordID != record.ID("lines:unsplit:"+e.GatewayID) || string(e.Payload) != payload {
			t.Errorf("%q: stored %+v", body, e)
		}
	}
}

func TestUnknownPlacesLookAlike(t *testing.T) {
	b := newBed(t)
	var first string
	for _, path := range []string{"/webhooks/lines/nobody", "/webhooks/nothing/envoylogistics", "/webhooks/lines/off", "/webhooks/lines", "/"} {
		got := b.post(path+"?key="+key, "A one")
		if first == "" {
			first = got.body
		}
		if got.code != 404 || got.body != first {
			t.Errorf("%s: %d %s", path, got.code, got.body)
		}
	}
	if n := len(b.inbox.all()); n > 0 {
		t.Errorf("%d events stored", n)
	}
	resp, err := http.Get(b.URL + hookPath)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 405 || resp.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", resp.StatusCode, resp.Header.Get("Allow"))
	}
}

func sign(id string, at time.Time, body string, keys ...secret.Secret) func(*http.Request) {
	return func(r *http.Request) {
		var all []string
		for _, k := range keys {
			w, err := standardwebhooks.NewWebhook(k.Reveal())
			if err != nil {
				panic(err)
			}
			s, err := w.Sign(id, at, []byte(body))
			if err != nil {
				panic(err)
			}
			all = append(all, s)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("webhook-id", id)
		r.Header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
		r.Header.Set("webhook-signature", strings.Join(all, " "))
	}
}

func TestAuthenticationFailsClosed(t *testing.T) {
	b := newBed(t)
	now, body := b.now, "@"+organization+"\nA one"
	basic := func(password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth("salesforce", password) }
	}
	without := func(edit func(*http.Request), header string) func(*http.Request) {
		return func(r *http.Request) { edit(r); r.Header.Del(header) }
	}
	set := func(edit func(*http.Request), header, value string) func(*http.Request) {
		return func(r *http.Request) { edit(r); r.Header.Set(header, value) }
	}
	none := func(*http.Request) {}
	good := sign("m1", now, body, signingSecret(1))
	for name, c := range map[string]struct {
		query, body string
		edit        func(*http.Request)
		code        int
	}{
		"key":                      {"?key=" + key, body, none, 200},
		"old key during rotation":  {"?key=" + oldKey, body, none, 200},
		"Basic":                    {"", body, basic(key), 200},
		"15 characters":            {"?key=" + key, "@" + organization[:15] + "\nA one", none, 200},
		"no key":                   {"", body, none, 401},
		"empty key":                {"?key=", body, none, 401},
		"wrong key":                {"?key=" + key + "x", body, none, 401},
		"the hash as key":          {"?key=" + digestOf(key), body, none, 401},
		"another tenant's key":     {"?key=planted-other-key", body, none, 401},
		"wrong Basic beside key":   {"?key=" + key, body, basic("wrong"), 401},
		"another organization":     {"?key=" + key, "@00D5g000004XyZaEAK\nA one", none, 401},
		"other case":               {"?key=" + key, "@00d5g000004XyZzEAK\nA one", none, 401},
		"signed":                   {"", body, good, 202},
		"second signing secret":    {"", body, sign("m1", now, body, signingSecret(2)), 202},
		"several signatures":       {"", body, sign("m1", now, body, signingSecret(9), signingSecret(2)), 202},
		"unknown version first":    {"", body, set(good, "webhook-signature", "v1a,AAAA "+signature(good)), 202},
		"299 s old":                {"", body, sign("m1", now.Add(-299*time.Second), body, signingSecret(1)), 202},
		"299 s ahead":              {"", body, sign("m1", now.Add(299*time.Second), body, signingSecret(1)), 202},
		"301 s old":                {"", body, sign("m1", now.Add(-301*time.Second), body, signingSecret(1)), 401},
		"301 s ahead":              {"", body, sign("m1", now.Add(301*time.Second), body, signingSecret(1)), 401},
		"wrong signing secret":     {"", body, sign("m1", now, body, signingSecret(9)), 401},
		"one bit changed":          {"", "@" + organization + "\nA onf", good, 401},
		"no signature":             {"", body, without(good, "webhook-signature"), 401},
		"no id":                    {"", body, without(good, "webhook-id"), 401},
		"no timestamp":             {"", body, without(good, "webhook-timestamp"), 401},
		"timestamp in ms":          {"", body, set(good, "webhook-timestamp", strconv.FormatInt(now.UnixMilli(), 10)), 401},
		"garbage":                  {"", body, set(good, "webhook-signature", "v1, ,,v1 x"), 401},
		"key instead of signature": {"?key=" + key, body, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 401},
	} {
		t.Run(name, func(t *testing.T) {
			b.inbox.events = nil
			got := b.post(hookPath+c.query, c.body, c.edit)
			if got.code != c.code {
				t.Errorf("answered %d %s, want %d", got.code, got.body, c.code)
			}
			stored := len(b.inbox.all())
			if c.code == 401 && (stored > 0 || got.body != `{"error":{"code":"unauthenticated","message":"the sender's proof is missing or wrong: check the secret or the signature, and the organization"}}`+"\n") {
				t.Errorf("%d events stored, answered %s", stored, got.body)
			}
			if c.code < 300 && stored != 1 {
				t.Errorf("%d events stored", stored)
			}
		})
	}
	if strings.Contains(b.log.String(), "planted") {
		t.Errorf("a secret is in the log:\n%s", b.log)
	}
}

func signature(edit func(*http.Request)) string {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	edit(r)
	return r.Header.Get("webhook-signature")
}

func TestConnectionWithoutWebhookSecretsTakesNothing(t *testing.T) {
	b := newBed(t, func(_ *Config, _ *controlplane.Tenant, c *controlplane.Connection) {
		c.Webhook = controlplane.WebhookAuth{}
	})
	empty := hex.EncodeToString(sha256.New().Sum(nil))
	for _, got := range []answered{
		b.post(hookPath, "A one"), b.post(hookPath+"?key="+key, "A one"), b.post(hookPath+"?key="+empty, "A one"),
		b.post(hookPath, "A one", sign("m", b.now, "A one", signingSecret(1))),
	} {
		if got.code != 401 {
			t.Errorf("answered %d %s", got.code, got.body)
		}
	}
}

func TestSigningSecretsThatCannotBeReadAreNotTheSendersFault(t *testing.T) {
	b := newBed(t)
	delete(b.vault, "webhook_signing_2")
	if got := b.post(hookPath, "A one", sign("m", b.now, "A one", signingSecret(1))); got.code != 500 || got.body != "fault" {
		t.Errorf("answered %d %s", got.code, got.body)
	}
	b.vault["webhook_signing_2"] = signingSecret(2)
	b.advance(keyRetryAfter)
	if got := b.post(hookPath, "A one", sign("m", b.now, "A one", signingSecret(1))); got.code != 202 {
		t.Errorf("answered %d %s", got.code, got.body)
	}
	// Once read, they are kept.
	clear(b.vault)
	if got := b.post(hookPath, "A one", sign("m", b.now, "A one", signingSecret(1))); got.code != 202 {
		t.Errorf("answered %d %s after the store went away", got.code, got.body)
	}
}

func zip(t *testing.T, s string) string {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.String()
}

func TestBodiesAreBounded(t *testing.T) {
	b := newBed(t)
	limit := 1 << 16
	encoded := func(name string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Content-Encoding", name) }
	}
	chunked := func(r *http.Request) { r.ContentLength = -1 }
	for name, c := range map[string]struct {
		body string
		edit func(*http.Request)
		code int
	}{
		"at the limit":         {"A " + strings.Repeat("x", limit-2), chunked, 200},
		"one over":             {"A " + strings.Repeat("x", limit-1), chunked, 413},
		"announced":            {"A " + strings.Repeat("x", limit-1), func(*http.Request) {}, 413},
		"gzip":                 {zip(t, "A one\nB two"), encoded("gzip"), 200},
		"gzip over the limit":  {zip(t, "A "+strings.Repeat("xyz ", limit)), encoded("gzip"), 413},
		"gzip bomb":            {zip(t, "A "+strings.Repeat("x", limit-2)), encoded("gzip"), 413},
		"no gzip":              {"A one", encoded("gzip"), 400},
		"gzip cut short":       {zip(t, "A one\nB two")[:20], encoded("gzip"), 400},
		"an encoding we lack":  {"A one", encoded("br"), 415},
		"empty":                {"", func(*http.Request) {}, 200},
		"several notification": {"A one\nB two", chunked, 200},
	} {
		t.Run(name, func(t *testing.T) {
			if got := b.post(hookPath+"?key="+key, c.body, c.edit); got.code != c.code {
				t.Errorf("answered %d %s, want %d", got.code, got.body, c.code)
			}
		})
	}
}

func TestSlowBodyIs408(t *testing.T) {
	b := newBed(t, func(c *Config, _ *controlplane.Tenant, _ *controlplane.Connection) {
		c.BodyWithin = 50 * time.Millisecond
	})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", b.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s?key=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nA one", hookPath, key)
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
		t.Errorf("got %q, %v", answer, err)
	}
}

func TestRateLimitOfATenantLeavesOthersAlone(t *testing.T) {
	b := newBed(t, func(_ *Config, tenant *controlplane.Tenant, _ *controlplane.Connection) {
		tenant.Limits.WebhooksPerSecond = 2
	})
	post := func() answered { return b.post(hookPath+"?key="+key, "A one") }
	if a, c := post(), post(); a.code != 200 || c.code != 200 {
		t.Fatalf("answered %d and %d within the limit", a.code, c.code)
	}
	if got := post(); got.code != 429 || got.header.Get("Retry-After") != "1" {
		t.Errorf("answered %d, Retry-After %q", got.code, got.header.Get("Retry-After"))
	}
	if got := b.post("/webhooks/lines/other?key=planted-other-key", "A one"); got.code != 200 {
		t.Errorf("another tenant was answered %d", got.code)
	}
	if got := b.post(hookPath+"?key=wrong", "A one"); got.code != 401 {
		t.Errorf("a stranger was answered %d: only the sender may learn of the limit", got.code)
	}
	b.advance(time.Second)
	if got := post(); got.code != 200 {
		t.Errorf("answered %d a second later", got.code)
	}
}

func TestBrokerThatIsSilentIs500OnOurOwnTimer(t *testing.T) {
	b := newBed(t, func(c *Config, _ *controlplane.Tenant, _ *controlplane.Connection) {
		c.AnswerWithin = 50 * time.Millisecond
	})
	released := make(chan struct{})
	b.inbox.before = func(context.Context) error { <-released; return nil } // ignores its context, as the library does
	got := b.post(hookPath+"?key="+key, "A one")
	close(released)
	if got.code != 500 || got.body != "fault" {
		t.Errorf("answered %d %s", got.code, got.body)
	}
}

func TestBrokerThatRefusesIs500(t *testing.T) {
	b := newBed(t)
	b.inbox.before = func(context.Context) error { return errors.New("buffers are full") }
	if got := b.post(hookPath+"?key="+key, "A one"); got.code != 500 || got.body != "fault" {
		t.Errorf("answered %d %s", got.code, got.body)
	}
	if !strings.Contains(b.log.String(), "buffers are full") {
		t.Errorf("the log does not say why:\n%s", b.log)
	}
}

func TestSenderThatHangsUpTakesNothingBack(t *testing.T) {
	b := newBed(t)
	ctx, hangUp := context.WithCancel(t.Context())
	persisted := make(chan error, 1)
	b.inbox.before = func(ctx context.Context) error {
		hangUp()
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond): // for a cancellation that must not come there is no event
		}
		persisted <- ctx.Err()
		return nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.URL+hookPath+"?key="+key, strings.NewReader("A one"))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(r); err == nil {
		resp.Body.Close()
		t.Fatal("the request was answered")
	}
	if err := <-persisted; err != nil {
		t.Errorf("the produce was cancelled: %v", err)
	}
}

func TestTraceOfTheSenderGoesOn(t *testing.T) {
	b := newBed(t)
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	b.post(hookPath+"?key="+key, "A one", func(r *http.Request) {
		r.Header.Set("traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
		r.Header.Set("tracestate", "vendor=1")
	})
	b.post(hookPath+"?key="+key, "A one", func(r *http.Request) {
		r.Header.Set("traceparent", "00-"+strings.Repeat("0", 32)+"-00f067aa0ba902b7-01")
	})
	h := b.inbox.headers
	if got := string(h[0][0].Value); !strings.HasPrefix(got, "00-"+trace+"-") || strings.Contains(got, "00f067aa0ba902b7") || string(h[0][1].Value) != "vendor=1" {
		t.Errorf("continued as %s", got)
	}
	if got := string(h[1][0].Value); len(got) != 55 || strings.Contains(got, strings.Repeat("0", 32)) {
		t.Errorf("began %s", got)
	}
}

func TestMetricsNeverTakeALabelFromOutside(t *testing.T) {
	b := newBed(t)
	b.post(hookPath+"?key="+key, "A one\n? two")
	for i := range 50 {
		b.post(fmt.Sprintf("/webhooks/random%d/x", i), "A one")
	}
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := ""
			for _, l := range m.GetLabel() {
				labels += "," + l.GetValue()
			}
			if f.GetName() == "fluxnex_gateway_requests_total" || f.GetName() == "fluxnex_gateway_events_total" || f.GetName() == "fluxnex_gateway_unsplit_total" {
				seen = append(seen, fmt.Sprintf("%s%s=%g", strings.TrimPrefix(f.GetName(), "fluxnex_gateway_"), labels, m.GetCounter().GetValue()))
			}
		}
	}
	want := "events_total,lines=1 requests_total,200,lines=1 requests_total,404,unknown=50 unsplit_total,lines=1"
	if got := strings.Join(seen, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
