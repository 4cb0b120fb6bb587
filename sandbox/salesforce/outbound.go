package salesforce

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fluxnex/fluxnex/sandbox/call"
)

// Outbound asks for outbound messages about named records.
type Outbound struct {
	URL     string   `json:"url"`
	SObject string   `json:"sobject"`
	IDs     []string `json:"ids"`
	// Fields are those ticked in the message's definition; all if empty.
	Fields   []string `json:"fields,omitempty"`
	ActionID string   `json:"action_id,omitempty"`
	// SendSession puts a session id into the message, as the definition's tick
	// box does.
	SendSession bool `json:"send_session,omitempty"`
}

// Sent is what became of one message so far.
type Sent struct {
	ID            string    `json:"id"`
	URL           string    `json:"url"`
	Notifications []string  `json:"notifications"`
	Attempts      int       `json:"attempts"`
	Acked         bool      `json:"acked"`
	Status        int       `json:"status,omitempty"`
	Error         string    `json:"error,omitempty"`
	Next          time.Time `json:"next,omitzero"`
	Dropped       bool      `json:"dropped,omitempty"`
}

type message struct {
	Sent
	org     *org
	ask     Outbound
	noteIDs map[string]string // record id → notification id, the same in every attempt
	queued  time.Time
	wake    chan struct{}
}

const (
	mostNotifications = 100
	firstRetry        = 30 * time.Second
	slowestRetry      = 2 * time.Hour
	queueLife         = 24 * time.Hour
	messageTimeout    = 60 * time.Second
)

// Outbox sends outbound messages. Each waits for its Ack by itself, so newer
// ones overtake a failing one, as they do at Salesforce. It lives in memory.
type Outbox struct {
	app    *App
	clock  func() time.Time
	log    *slog.Logger
	client *http.Client
	life   context.Context //nolint:containedctx // ends the waiting of all messages
	end    context.CancelFunc
	work   sync.WaitGroup
	mu     sync.Mutex
	queue  []*message
}

// NewOutbox makes an empty outbox; close it.
func NewOutbox(app *App, clock func() time.Time, log *slog.Logger) *Outbox {
	life, end := context.WithCancel(context.Background()) //nolint:forbidigo // messages wait beyond the call that sent them; Close ends them
	return &Outbox{app: app, clock: clock, log: log, client: &http.Client{Timeout: messageTimeout}, life: life, end: end}
}

// Close gives up what waits.
func (b *Outbox) Close() { b.end(); b.work.Wait() }

// Send sends the records in messages of up to 100. With once it tries each
// once and says what came of it; else it goes on until the Ack, by itself.
func (b *Outbox) Send(ctx context.Context, account string, ask Outbound, once bool) ([]Sent, error) {
	o := b.app.orgs[ID18(account)]
	switch {
	case o == nil:
		return nil, fmt.Errorf("salesforce/%s: %w", account, call.ErrNone)
	case ask.URL == "" || ask.SObject == "" || len(ask.IDs) == 0:
		return nil, errors.New("url, sobject and ids are needed")
	}
	for _, id := range ask.IDs {
		o.mu.RLock()
		r := o.find(ask.SObject, id)
		o.mu.RUnlock()
		if r == nil {
			return nil, fmt.Errorf("salesforce/%s/%s/%s: %w", account, ask.SObject, id, call.ErrNone)
		}
	}
	if ask.ActionID == "" {
		ask.ActionID = ID18("04k5g000000Sand")
	}
	var out []Sent
	for ids := range slices.Chunk(ask.IDs, mostNotifications) {
		part := ask
		part.IDs = ids
		m := &message{org: o, ask: part, noteIDs: map[string]string{}, queued: b.clock(), wake: make(chan struct{}, 1)}
		m.ID, m.URL = newID("04l"), ask.URL
		for _, id := range ids {
			m.noteIDs[id] = newID("04l")
			m.Notifications = append(m.Notifications, m.noteIDs[id])
		}
		if once {
			b.attempt(ctx, m)
			out = append(out, m.Sent)
			continue
		}
		b.mu.Lock()
		b.queue = append(b.queue, m)
		b.work.Add(1)
		out = append(out, m.Sent)
		b.mu.Unlock()
		go b.deliver(m)
	}
	return out, nil
}

// Pending are the messages without an Ack.
func (b *Outbox) Pending() []Sent {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := []Sent{}
	for _, m := range b.queue {
		out = append(out, m.Sent)
	}
	return out
}

// Retry makes all waiting messages try now; it returns how many.
func (b *Outbox) Retry() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.queue {
		select {
		case m.wake <- struct{}{}:
		default:
		}
	}
	return len(b.queue)
}

func (b *Outbox) deliver(m *message) {
	defer b.work.Done()
	delay := firstRetry
	for {
		b.attempt(b.life, m)
		b.mu.Lock()
		now := b.clock()
		m.Dropped = !m.Acked && now.Sub(m.queued) >= queueLife
		if m.Acked || m.Dropped || b.life.Err() != nil {
			b.queue = slices.DeleteFunc(b.queue, func(q *message) bool { return q == m })
			b.mu.Unlock()
			return
		}
		m.Next = now.Add(delay)
		b.mu.Unlock()
		b.log.Info("outbound message not acked", slog.String("id", m.ID), slog.String("error", m.Error))
		t := time.NewTimer(delay)
		select {
		case <-t.C:
		case <-m.wake:
			t.Stop()
		case <-b.life.Done():
			t.Stop()
		}
		delay = min(2*delay, slowestRetry)
	}
}

// attempt sends the records as they are now.
func (b *Outbox) attempt(ctx context.Context, m *message) {
	status, acked, err := b.post(ctx, m.ask.URL, m.envelope())
	b.mu.Lock()
	defer b.mu.Unlock()
	m.Attempts++
	m.Status, m.Acked, m.Error, m.Next = status, acked, "", time.Time{}
	if err != nil {
		m.Error = err.Error()
	}
}

func (b *Outbox) post(ctx context.Context, url string, body []byte) (int, bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, false, err
	}
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	req.Header.Set("SOAPAction", `""`)
	req.Header.Set("Accept", "text/xml")
	req.Header.Set("User-Agent", "Jakarta Commons-HttpClient/3.1")
	res, err := b.client.Do(req)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return res.StatusCode, false, err
	}
	if res.StatusCode != http.StatusOK {
		return res.StatusCode, false, fmt.Errorf("HTTP %d", res.StatusCode)
	}
	acked, err := ack(answer)
	return res.StatusCode, acked, err
}

// ack reads the answer as Salesforce does: by namespace, not by prefix.
func ack(body []byte) (bool, error) {
	var in struct {
		XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Envelope"`
		Body    struct {
			Response struct {
				Ack string `xml:"http://soap.sforce.com/2005/09/outbound Ack"`
			} `xml:"http://soap.sforce.com/2005/09/outbound notificationsResponse"`
		} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
	}
	if err := xml.Unmarshal(body, &in); err != nil {
		return false, fmt.Errorf("org.xml.sax.SAXParseException: content is not allowed in prolog: %w", err)
	}
	switch strings.TrimSpace(in.Body.Response.Ack) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, errors.New("SOAP response was a nack")
	}
	return false, errors.New("SOAP response has no Ack")
}

func (m *message) envelope() []byte {
	o := m.org
	var b bytes.Buffer
	esc := func(s string) { _ = xml.EscapeText(&b, []byte(s)) } // a buffer takes everything
	tag := func(name, text string) {
		b.WriteString("<" + name + ">")
		esc(text)
		b.WriteString("</" + name + ">")
	}
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" +
		`<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">` +
		"\n <soapenv:Body>\n  " + `<notifications xmlns="http://soap.sforce.com/2005/09/outbound">` + "\n   ")
	tag("OrganizationId", o.ID)
	tag("ActionId", m.ask.ActionID)
	if m.ask.SendSession {
		tag("SessionId", o.ID[:15]+"!sandbox-session")
	} else {
		b.WriteString(`<SessionId xsi:nil="true"/>`)
	}
	tag("EnterpriseUrl", "https://sandbox.my.salesforce.com/services/Soap/c/61.0/"+o.ID[:15])
	tag("PartnerUrl", "https://sandbox.my.salesforce.com/services/Soap/u/61.0/"+o.ID[:15])
	o.mu.RLock()
	defer o.mu.RUnlock()
	for _, id := range m.ask.IDs {
		r := o.find(m.ask.SObject, id)
		b.WriteString("\n   <Notification>")
		tag("Id", m.noteIDs[id])
		b.WriteString(`<sObject xsi:type="sf:` + r.sobject + `" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">`)
		tag("sf:Id", r.id)
		if !r.deleted { // of a deleted record nothing but the id is sent
			for _, name := range slices.Sorted(maps.Keys(r.fields)) {
				v := r.fields[name]
				if name == "Id" || v == nil || (len(m.ask.Fields) > 0 && !slices.Contains(m.ask.Fields, name)) {
					continue // nulls are simply absent
				}
				tag("sf:"+name, wireValue(v))
			}
		}
		b.WriteString("</sObject></Notification>")
	}
	b.WriteString("\n  </notifications>\n </soapenv:Body>\n</soapenv:Envelope>\n")
	return b.Bytes()
}

func wireValue(v any) string {
	if s, ok := v.(string); ok {
		if t, is := parseTime(s); is {
			return outboundTime(t)
		}
		return s
	}
	return fmt.Sprint(v)
}
