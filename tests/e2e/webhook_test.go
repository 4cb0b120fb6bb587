package e2e_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/parts"
	"github.com/fluxnex/fluxnex/tests/torture"
)

// posting is one webhook as somebody sends it.
type posting struct {
	source, slug, key string
	header            map[string]string
	body              []byte
}

func (p *platform) post(t testing.TB, in posting) (status int, header http.Header, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, webhook(p, in.source, in.slug, in.key), bytes.NewReader(in.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	for k, v := range in.header {
		req.Header.Set(k, v)
	}
	return doHeader(t, req)
}

// TestWebhooksFailClosed: what cannot prove itself is answered in one way and
// leaves no trace.
func TestWebhooksFailClosed(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{tenants: 2})
	one, two := p.tenants[0], p.tenants[1]
	soap := account(p, recordID(0), at, vendor("Nobody Inc", "555-0100")...).Body
	stranger := torture.Envelope(torture.LongID("00D5g00000ZZZZZ"), []torture.Notification{{ID: torture.LongID("04l5g0000000001"), Record: recordID(0), Stamp: at, Fields: vendor("Nobody Inc", "555-0100")}})
	change, err := torture.DeleteEvent(recordID(0), at, 1)
	if err != nil {
		t.Fatal(err)
	}
	basic := func(secret string) map[string]string {
		return map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("salesforce:"+secret))}
	}
	signed := func(secret string, when time.Time, body []byte) map[string]string {
		h := http.Header{}
		if err := torture.Sign(h, secret, "msg_"+strconv.FormatInt(when.UnixNano(), 36), when, body); err != nil {
			t.Fatal(err)
		}
		out := map[string]string{"Content-Type": "application/json"}
		for k := range h {
			out[k] = h.Get(k)
		}
		return out
	}
	now := time.Now()
	good := signed(one.SigningSecret, now, change)
	unauthorized := map[string]posting{
		"no key":                        {"revenova", one.Slug, "", nil, soap},
		"a wrong key":                   {"revenova", one.Slug, strings.Repeat("0", 64), nil, soap},
		"another tenant's key":          {"revenova", one.Slug, two.WebhookKey, nil, soap},
		"a wrong password":              {"revenova", one.Slug, "", basic("wrong"), soap},
		"another org's message":         {"revenova", one.Slug, one.WebhookKey, nil, stranger},
		"JSON without signature":        {"revenova", one.Slug, "", map[string]string{"Content-Type": "application/json"}, change},
		"JSON with the key alone":       {"revenova", one.Slug, one.WebhookKey, map[string]string{"Content-Type": "application/json"}, change},
		"JSON by another tenant":        {"revenova", one.Slug, "", signed(two.SigningSecret, now, change), change},
		"JSON changed after signing":    {"revenova", one.Slug, "", good, append(bytes.Clone(change), ' ')},
		"JSON signed six minutes ago":   {"revenova", one.Slug, "", signed(one.SigningSecret, now.Add(-6*time.Minute), change), change},
		"JSON signed six minutes ahead": {"revenova", one.Slug, "", signed(one.SigningSecret, now.Add(6*time.Minute), change), change},
	}
	bodies := map[string][]string{}
	for name, in := range unauthorized {
		status, _, body := p.post(t, in)
		if status != http.StatusUnauthorized {
			t.Errorf("%s: answered %d, want 401: %s", name, status, body)
		}
		bodies[body] = append(bodies[body], name)
	}
	if len(bodies) > 2 { // one for SOAP, one for JSON senders
		t.Errorf("the refusals tell apart why: %q", bodies)
	}
	for name, in := range map[string]posting{
		"an unknown source": {"nosuch", one.Slug, one.WebhookKey, nil, soap},
		"an unknown tenant": {"revenova", "nobody", one.WebhookKey, nil, soap},
	} {
		if status, _, body := p.post(t, in); status != http.StatusNotFound {
			t.Errorf("%s: answered %d, want 404: %s", name, status, body)
		}
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := z.Write(bytes.Repeat([]byte(" "), 64<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]posting{
		"2 MiB":       {"revenova", one.Slug, one.WebhookKey, nil, bytes.Repeat([]byte("x"), 2<<20)},
		"a gzip bomb": {"revenova", one.Slug, one.WebhookKey, map[string]string{"Content-Encoding": "gzip"}, bomb.Bytes()},
	} {
		if status, _, body := p.post(t, in); status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: answered %d, want 413: %s", name, status, body)
		}
	}
	if n := p.all["gateway"][0].metric(t, "fluxnex_gateway_events_total"); n != 0 {
		t.Errorf("%.0f events were produced by messages that were refused", n)
	}

	for name, in := range map[string]posting{
		"the key":            {"revenova", one.Slug, one.WebhookKey, nil, soap},
		"the key as Basic":   {"revenova", one.Slug, "", basic(one.WebhookKey), soap},
		"a signature":        {"revenova", one.Slug, "", good, change},
		"a gzipped message":  {"revenova", one.Slug, one.WebhookKey, map[string]string{"Content-Encoding": "gzip"}, gzipped(t, soap)},
		"the 15 char org id": {"revenova", one.Slug, one.WebhookKey, nil, bytes.Replace(soap, []byte(one.Organization), []byte(one.Organization[:15]), 1)},
	} {
		if status, _, body := p.post(t, in); status/100 != 2 {
			t.Errorf("%s: answered %d: %s", name, status, body)
		}
	}
	for _, log := range []string{"gateway0.log", "replica0.log", "normalizer0.log", "router0.log", "delivery0.log"} {
		text, err := os.ReadFile(filepath.Join(p.dir, log))
		if err != nil {
			t.Fatal(err)
		}
		for what, secret := range map[string]string{"webhook key": one.WebhookKey, "signing secret": strings.TrimPrefix(one.SigningSecret, "whsec_")} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s holds the %s", log, what)
			}
		}
	}
}

func gzipped(t testing.TB, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestTwoSecretsAreValidDuringRotation: senders change over without a gap, and
// the old secret ends when the declaration drops it.
func TestTwoSecretsAreValidDuringRotation(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{})
	one := p.tenants[0]
	fresh := strings.Repeat("ab", 32)
	p.env = append(p.env, "E2E_FRESH="+fresh)
	soap := account(p, recordID(0), at, vendor("Rotating Inc", "555-0100")...).Body
	const both = "webhook:\n  secrets:\n"
	answers := func(key string) int {
		status, _, _ := p.post(t, posting{"revenova", one.Slug, key, nil, soap})
		return status
	}
	p.apply(t, "rotating.yaml", strings.Replace(p.declare(one), both, both+"    - {env: E2E_FRESH}\n", 1))
	await(t, "the fresh secret is valid", func() (bool, string) {
		n := answers(fresh)
		return n == http.StatusOK, fmt.Sprint(n)
	})
	if n := answers(one.WebhookKey); n != http.StatusOK {
		t.Errorf("during the rotation the old secret is answered %d", n)
	}
	p.apply(t, "rotated.yaml", strings.Replace(p.declare(one), "{env: E2E_KEY_"+one.ID+"}", "{env: E2E_FRESH}", 1))
	await(t, "the old secret is refused", func() (bool, string) {
		n := answers(one.WebhookKey)
		return n == http.StatusUnauthorized, fmt.Sprint(n)
	})
	if n := answers(fresh); n != http.StatusOK {
		t.Errorf("after the rotation the fresh secret is answered %d", n)
	}
}

// TestRateOverTheTenantsLimitIs429 and costs the other tenant nothing.
func TestRateOverTheTenantsLimitIs429(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{tenants: 2})
	one, two := p.tenants[0], p.tenants[1]
	soap := account(p, recordID(0), at, vendor("Hasty Inc", "555-0100")...).Body
	p.apply(t, "slow.yaml", strings.Replace(p.declare(one), "webhooks_per_second: 5000", "webhooks_per_second: 1", 1))
	await(t, "the limit holds", func() (bool, string) {
		status, header, body := p.post(t, posting{"revenova", one.Slug, one.WebhookKey, nil, soap})
		if status != http.StatusTooManyRequests {
			return false, fmt.Sprint(status, " ", body)
		}
		seconds, err := strconv.Atoi(header.Get("Retry-After"))
		if err != nil || seconds < 1 {
			t.Errorf("429 with Retry-After %q, want seconds", header.Get("Retry-After"))
		}
		return true, ""
	})
	other := bytes.ReplaceAll(soap, []byte(one.Organization), []byte(two.Organization))
	if status, _, body := p.post(t, posting{"revenova", two.Slug, two.WebhookKey, nil, other}); status != http.StatusOK {
		t.Errorf("the other tenant is answered %d: %s", status, body)
	}
}

// TestBombsAreStoredNotExpanded: authenticated and within the limits, they are
// acked like anything that can never be read, and become dead letters.
func TestBombsAreStoredNotExpanded(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{})
	one := p.tenants[0]
	soap := string(account(p, recordID(0), at, vendor("Bomb Inc", "555-0100")...).Body)
	prolog := strings.Index(soap, "?>") + 2
	laughs := `<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>`
	deep := strings.Repeat("<x>", 5000) + strings.Repeat("</x>", 5000)
	for name, body := range map[string]string{
		"a DOCTYPE":       soap[:prolog] + `<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x">` + soap[prolog:],
		"billion laughs":  soap[:prolog] + laughs + strings.Replace(soap[prolog:], "Bomb Inc", "&c;", 1),
		"5,000 deep":      strings.Replace(soap, "</sf:Name>", deep+"</sf:Name>", 1),
		"no XML whatever": "hello",
	} {
		status, _, answer := p.post(t, posting{"revenova", one.Slug, one.WebhookKey, nil, []byte(body)})
		// What cannot be read has no organization either: failing closed is right too
		// where the sender's org cannot be known.
		if !torture.Acknowledged(status, []byte(answer)) {
			t.Errorf("%s: answered %d, want the SOAP Ack: %s", name, status, answer)
		}
	}
	acked(t, p, account(p, recordID(1), at, vendor("Neighbour", "555-0101")...))
	arrived(t, p, "quickbooks", "Neighbour")
	await(t, "each is a dead letter", func() (bool, string) {
		letters := p.rows(t, "dead-letter", "list")
		return len(letters) == 4, show(letters)
	})
	for _, l := range p.ledger(t) {
		if strings.HasPrefix(l.Marker, "Bomb") || strings.Contains(l.Marker, "haha") {
			t.Errorf("a bomb was delivered: %s", l.String())
		}
	}
}

// TestTyposInAConfigurationAreNamed with file, line and what was expected.
func TestTyposInAConfigurationAreNamed(t *testing.T) {
	p := prepare(t, parts.Kafka(t), shape{})
	good := p.declare(p.tenants[0])
	for name, c := range map[string]struct{ from, to, want string }{
		"a misspelled field": {"webhooks_per_second", "webhooks_per_secnd", "webhooks_per_second"},
		"a misspelled kind":  {"kind: Route", "kind: Rote", "Route"},
		"an unknown entity":  {"entity: TMS_VENDOR", "entity: TMS_VENDER", "TMS_VENDOR"},
		"an unknown target":  {"target: " + booksTarget, "target: QB Logistic US", booksTarget},
		"an inline secret":   {"{env: E2E_SECRET}", "hunter2", "env"},
	} {
		text := strings.Replace(good, c.from, c.to, 1)
		path := filepath.Join(p.dir, "typo.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		before, _, _ := strings.Cut(text, c.to)
		line := strings.Count(before, "\n") + 1
		_, stderr, code := command(t, p.env, "apply", "-f", path)
		if code != 1 && code != 2 {
			t.Errorf("%s: exit code %d", name, code)
		}
		if !strings.Contains(stderr, fmt.Sprintf("typo.yaml:%d", line)) || !strings.Contains(stderr, c.want) {
			t.Errorf("%s on line %d: want the place and %q, got:\n%s", name, line, c.want, stderr)
		}
		if strings.Contains(stderr, "hunter2") {
			t.Errorf("%s: the error repeats the secret", name)
		}
	}
}
