package torture

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Message is one webhook body with the edits it carries.
type Message struct {
	Number int
	Tenant int
	JSON   bool // a change event, signed; otherwise an outbound message
	Body   []byte
	Edits  []Edit
	// Holds are records that the source has from this message on.
	Holds []Held
	at    float64 // its place in the load
}

// bag is what one kind of message is made of.
type bag struct {
	bagKey
	edits []Edit
}

type bagKey struct {
	tenant int
	object string
	late   bool
}

// Messages deals the plan's edits into webhook bodies: every edit twice, in one
// shuffled order over all records, 1 to 100 notifications a message, some of
// them a third time inside the same message. Deletes are change events of their
// own, because Salesforce sends no outbound message for them. What comes late
// comes in the second half.
func (p *Plan) Messages() ([]Message, error) {
	return p.deal(rand.New(rand.NewPCG(p.Seed, 2)), 0, func(r *Record, e *Edit) bool {
		return !e.Probe && (r.Coming == Told || r.Coming == Late)
	})
}

// Probes are the edits that Messages leaves out.
func (p *Plan) Probes() ([]Message, error) {
	const after = 900_000_000 // a source gives no two notifications one id
	return p.deal(rand.New(rand.NewPCG(p.Seed, 5)), after, func(_ *Record, e *Edit) bool { return e.Probe })
}

// deal numbers its notifications from the one after notification.
func (p *Plan) deal(rng *rand.Rand, notification int, wanted func(*Record, *Edit) bool) ([]Message, error) {
	var (
		out   []Message
		bags  []*bag
		place = map[bagKey]*bag{}
	)
	deletes := int64(0)
	for i := range p.Records {
		r := &p.Records[i]
		for _, e := range r.Edits {
			if !wanted(r, &e) {
				continue
			}
			for range 2 {
				if e.Deleted {
					deletes++
					body, err := deleteEvent(r.Object(), r.ID, e.Stamp, 1778192987716500000+deletes)
					if err != nil {
						return nil, err
					}
					out = append(out, Message{Tenant: r.Tenant, JSON: true, Body: body, Edits: []Edit{e}})
					continue
				}
				k := bagKey{r.Tenant, r.Object(), r.Coming == Late}
				b := place[k]
				if b == nil {
					b = &bag{bagKey: k}
					bags, place[k] = append(bags, b), b
				}
				b.edits = append(b.edits, e)
			}
		}
	}
	for _, b := range bags {
		edits := b.edits
		rng.Shuffle(len(edits), func(i, j int) { edits[i], edits[j] = edits[j], edits[i] })
		for len(edits) > 0 {
			n := min(1+rng.IntN(100), len(edits))
			some := edits[:n:n]
			edits = edits[n:]
			if n < 100 && rng.IntN(2) == 0 {
				some = append(some, some[rng.IntN(n)])
			}
			m := Message{Tenant: b.tenant, Edits: some}
			notifications := make([]Notification, len(some))
			for i, e := range some {
				notification++
				notifications[i] = Notification{
					ID:     LongID(fmt.Sprintf("04l5g0%09d", notification)),
					Record: p.Records[e.Record].ID,
					Stamp:  e.Stamp,
					Fields: e.Fields,
				}
				if b.late {
					m.Holds = append(m.Holds, p.Hold(e.Record))
				}
			}
			m.Body = EnvelopeOf(b.object, p.Tenants[b.tenant].Organization, notifications)
			out = append(out, m)
		}
	}
	order(rng, out)
	return out, nil
}

// order shuffles, what is late into the second half, and numbers.
func order(rng *rand.Rand, messages []Message) {
	for i := range messages {
		messages[i].at = rng.Float64()
		if messages[i].Holds != nil {
			messages[i].at = (1 + messages[i].at) / 2
		}
	}
	slices.SortStableFunc(messages, func(a, b Message) int { return cmp.Compare(a.at, b.at) })
	for i := range messages {
		messages[i].Number = i
	}
}

// Request addresses a message to a gateway and proves the sender.
func (m *Message) Request(gateway string, t Tenant, now time.Time) (*http.Request, error) {
	target := gateway + "/webhooks/revenova/" + t.Slug
	if !m.JSON {
		target += "?key=" + url.QueryEscape(t.WebhookKey)
	}
	req, err := http.NewRequest(http.MethodPost, target, strings.NewReader(string(m.Body)))
	if err != nil {
		return nil, err
	}
	if !m.JSON {
		req.Header.Set("Content-Type", "text/xml; charset=utf-8")
		req.Header.Set("User-Agent", "Jakarta Commons-HttpClient/3.1")
		req.Header.Set("SOAPAction", `""`)
		return req, nil
	}
	req.Header.Set("Content-Type", "application/json")
	return req, Sign(req.Header, t.SigningSecret, fmt.Sprintf("msg_torture_%s_%d", t.ID, m.Number), now, m.Body)
}

// Sign adds the three headers of Standard Webhooks.
func Sign(h http.Header, secret, id string, now time.Time, body []byte) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return fmt.Errorf("signing secret: %w", err)
	}
	stamp := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", stamp)
	h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return nil
}
