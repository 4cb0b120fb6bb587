package gateway

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
)

// FuzzReadBody: whatever comes under whatever encoding, the body that is read
// is within its limit, or the error is one of those that have an answer.
func FuzzReadBody(f *testing.F) {
	packed := func(text []byte) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(text)
		_ = w.Close()
		return b.Bytes()
	}
	f.Add("", []byte("plain"))
	f.Add("gzip", packed([]byte("plain")))
	f.Add("gzip", packed(make([]byte, 1<<20)))
	f.Add("GZIP ", packed([]byte("cut"))[:12])
	f.Add("deflate", []byte("x"))
	f.Add("gzip", append(packed([]byte("one")), packed([]byte("two"))...))
	f.Fuzz(func(t *testing.T, encoding string, body []byte) {
		const limit = 64 << 10
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header["Content-Encoding"] = []string{encoding}
		got, err := readBody(httptest.NewRecorder(), r, nil, limit, time.Second)
		switch {
		case err == nil && len(got) > limit:
			t.Fatalf("%d bytes passed a limit of %d", len(got), limit)
		case err == nil && (encoding == "" || encoding == "identity") && !bytes.Equal(got, body):
			t.Fatalf("%q was read as %q", body, got)
		case err != nil && !slices.ContainsFunc([]error{errTooLarge, errTooSlow, errBadBody, errEncoding}, func(known error) bool { return errors.Is(err, known) }):
			t.Fatalf("an error without an answer: %v", err)
		}
	})
}

// FuzzSignature: a signed webhook with one bit of its body, its id or its time
// changed is refused, and so is every signature that is not the right one.
func FuzzSignature(f *testing.F) {
	now := time.Unix(1_790_000_000, 0)
	clock := func() time.Time { return now }
	keys := vault{"webhook_signing_1": signingSecret(1)}
	g := &Gateway{deps: Deps{Now: clock}, keys: newKeyCache(keys, clock)}
	e := &endpoint{connections: []*sender{{connection: &controlplane.Connection{
		Tenant: "envoy", Name: "Lines", Version: 1, Webhook: controlplane.WebhookAuth{SigningSecrets: []string{"webhook_signing_1"}},
	}}}}
	signer, err := standardwebhooks.NewWebhook(signingSecret(1).Reveal())
	if err != nil {
		f.Fatal(err)
	}
	f.Add("msg_1", []byte(`{"a":1}`), uint(3), "v1,", "1790000000")
	f.Add("msg.1", []byte{}, uint(0), "v1,AAAA v1a,BBBB", "-9223372036854775808")
	f.Add("", []byte("x"), uint(7), " ", " 1790000000")
	f.Fuzz(func(t *testing.T, id string, body []byte, bit uint, presented, stamp string) {
		valid, err := signer.Sign(id, now, body)
		if err != nil {
			t.Skip(err)
		}
		ask := func(id, stamp, signature string, body []byte) bool {
			h := http.Header{}
			h.Set(standardwebhooks.HeaderWebhookID, id)
			h.Set(standardwebhooks.HeaderWebhookTimestamp, stamp)
			h.Set(standardwebhooks.HeaderWebhookSignature, signature)
			found, err := g.bySignature(t.Context(), e, h, body)
			return err == nil && len(found) > 0
		}
		at := strconv.FormatInt(now.Unix(), 10)
		if ask(id, at, valid, body) != (id != "") {
			t.Fatalf("the right signature of %q: want it to pass exactly where there is an id", id)
		}
		if len(body) > 0 {
			changed := bytes.Clone(body)
			changed[int(bit/8)%len(body)] ^= 1 << (bit % 8)
			if ask(id, at, valid, changed) {
				t.Fatalf("%q passes as %q", body, changed)
			}
		}
		seconds, err := strconv.ParseInt(stamp, 10, 64)
		if ask(id+"x", at, valid, body) || (err != nil || seconds != now.Unix()) && ask(id, stamp, valid, body) {
			t.Fatalf("the signature passes for another id or time (%q)", stamp)
		}
		if !slices.Contains(strings.Split(presented, " "), valid) && ask(id, at, presented, body) {
			t.Fatalf("%q passes and is not %q", presented, valid)
		}
	})
}

// FuzzTraceParent: what is carried on is a trace of the recommendation's form.
func FuzzTraceParent(f *testing.F) {
	f.Add("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b")
	f.Add("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "")
	f.Add("00-\r\n-", strings.Repeat("x", 600))
	f.Fuzz(func(t *testing.T, parent, state string) {
		h := http.Header{}
		h.Set(traceParent, parent)
		h.Set(traceState, state)
		headers, id := traceHeaders(h)
		if len(id) != traceIDLength {
			t.Fatalf("trace id %q", id)
		}
		for _, kept := range headers {
			if kept.Key == traceParent {
				if _, _, ok := parseTraceParent(string(kept.Value)); !ok {
					t.Fatalf("%q became %q, which nobody reads", parent, kept.Value)
				}
			}
			if len(kept.Value) > maxTraceState {
				t.Fatalf("%d bytes of %s", len(kept.Value), kept.Key)
			}
		}
	})
}
