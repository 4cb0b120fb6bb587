package torture

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
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
}

// Messages deals the plan's edits into webhook bodies: every edit twice, in one
// shuffled order over all records, 1 to 100 notifications a message, some of
// them a third time inside the same message. Deletes are change events of their
// own, because Salesforce sends no outbound message for them.
func (p *Plan) Messages() ([]Message, error) {
	rng := rand.New(rand.NewPCG(p.Seed, 2))
	bags := make([][]Edit, len(p.Tenants))
	var out []Message
	deletes := int64(0)
	for i := range p.Records {
		r := &p.Records[i]
		for _, e := range r.Edits {
			for range 2 {
				if !e.Deleted {
					bags[r.Tenant] = append(bags[r.Tenant], e)
					continue
				}
				deletes++
				body, err := DeleteEvent(r.ID, e.Stamp, 1778192987716500000+deletes)
				if err != nil {
					return nil, err
				}
				out = append(out, Message{Tenant: r.Tenant, JSON: true, Body: body, Edits: []Edit{e}})
			}
		}
	}
	notification := 0
	for tenant, bag := range bags {
		rng.Shuffle(len(bag), func(i, j int) { bag[i], bag[j] = bag[j], bag[i] })
		for len(bag) > 0 {
			n := min(1+rng.IntN(100), len(bag))
			edits := bag[:n:n]
			bag = bag[n:]
			if n < 100 && rng.IntN(2) == 0 {
				edits = append(edits, edits[rng.IntN(n)])
			}
			notifications := make([]Notification, len(edits))
			for i, e := range edits {
				notification++
				notifications[i] = Notification{
					ID:     LongID(fmt.Sprintf("04l5g0%09d", notification)),
					Record: p.Records[e.Record].ID,
					Stamp:  e.Stamp,
					Fields: e.Fields,
				}
			}
			out = append(out, Message{Tenant: tenant, Body: Envelope(p.Tenants[tenant].Organization, notifications), Edits: edits})
		}
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	for i := range out {
		out[i].Number = i
	}
	return out, nil
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
