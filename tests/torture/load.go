package torture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Intent is one line of the intent log: what a sender was about to do, or what
// came of it.
type Intent struct {
	At      time.Time `json:"at"`
	Event   string    `json:"event"` // sent, acked, refused, unknown
	Message int       `json:"message"`
	Tenant  string    `json:"tenant"`
	Attempt int       `json:"attempt"`
	Status  int       `json:"status,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Edits   []string  `json:"edits"`
}

// The events of an intent log.
const (
	Sent    = "sent"    // about to be sent: from here on it may arrive
	Acked   = "acked"   // must never be missing
	Refused = "refused" // an answer that is no Ack: may arrive all the same
	Unknown = "unknown" // no answer: may arrive
)

// Load sends a plan's messages.
type Load struct {
	Plan     *Plan
	Gateways []string // base URLs; each message goes to the next one
	Senders  int
	// Spread is the least time the load takes: messages are started evenly over
	// it, so that faults meet traffic.
	Spread time.Duration
	// Attempts bounds the repeats of one message; 0 repeats until it is acked,
	// as Salesforce does for a day.
	Attempts int
	// Pause between two attempts of one message.
	Pause time.Duration
	// Timeout of one attempt; 0 is Salesforce's, 60 s.
	Timeout time.Duration
	Log     io.Writer
	// Messages are sent instead of the plan's.
	Messages []Message
	// Hold makes the source have a record, before the first message about it; nil
	// where nothing comes late.
	Hold func(ctx context.Context, h Held) error
	// Progress is told after each message that is done with; may be nil.
	Progress func(done, total int)
}

// intentLog is written by many senders.
type intentLog struct {
	mu sync.Mutex
	w  io.Writer
}

// Summary is what a load did.
type Summary struct {
	Messages, Acked, Attempts int
	Notifications             int
	Took                      time.Duration
}

// Run sends all messages and returns when each is acked or given up.
func (l *Load) Run(ctx context.Context) (Summary, error) {
	messages := l.Messages
	if messages == nil {
		var err error
		if messages, err = l.Plan.Messages(); err != nil {
			return Summary{}, err
		}
	}
	timeout := l.Timeout
	if timeout == 0 {
		timeout = time.Minute
	}
	client := &http.Client{
		Timeout:   timeout,
		Transport: &http.Transport{MaxIdleConnsPerHost: l.Senders, DisableCompression: true},
	}
	defer client.CloseIdleConnections()
	start := time.Now()
	log := &intentLog{w: l.Log}
	queue := make(chan *Message)
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		summary  = Summary{Messages: len(messages)}
		failures []error
		done     int
	)
	for range l.Senders {
		wg.Go(func() {
			for m := range queue {
				attempts, acked, err := l.send(ctx, client, log, m)
				mu.Lock()
				summary.Attempts += attempts
				summary.Notifications += len(m.Edits)
				if acked {
					summary.Acked++
				}
				if err != nil {
					failures = append(failures, err)
				}
				done++
				if l.Progress != nil {
					l.Progress(done, len(messages))
				}
				mu.Unlock()
			}
		})
	}
	err := l.feed(ctx, messages, queue)
	close(queue)
	wg.Wait()
	summary.Took = time.Since(start)
	return summary, errors.Join(append(failures, err)...)
}

func (l *Load) feed(ctx context.Context, messages []Message, queue chan<- *Message) error {
	gap := time.Nanosecond
	if len(messages) > 0 && l.Spread > 0 {
		gap = l.Spread / time.Duration(len(messages))
	}
	tick := time.NewTicker(max(gap, time.Nanosecond))
	defer tick.Stop()
	for i := range messages {
		if l.Spread > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case queue <- &messages[i]:
		}
	}
	return nil
}

// send repeats one message until it is acked or its attempts are spent.
func (l *Load) send(ctx context.Context, client *http.Client, log *intentLog, m *Message) (attempts int, acked bool, err error) {
	t := l.Plan.Tenants[m.Tenant]
	edits := make([]string, len(m.Edits))
	for i, e := range m.Edits {
		edits[i] = e.Name()
	}
	for _, h := range m.Holds {
		if err := l.Hold(ctx, h); err != nil {
			return 0, false, err
		}
	}
	for l.Attempts == 0 || attempts < l.Attempts {
		attempts++
		note := Intent{Event: Sent, Message: m.Number, Tenant: t.ID, Attempt: attempts, Edits: edits}
		if err := log.note(note); err != nil {
			return attempts, false, err
		}
		req, err := m.Request(l.Gateways[(m.Number+attempts)%len(l.Gateways)], t, time.Now())
		if err != nil {
			return attempts, false, err
		}
		note.Event, note.Status, note.Detail = post(ctx, client, req, m.JSON)
		if err := log.note(note); err != nil {
			return attempts, false, err
		}
		if note.Event == Acked {
			return attempts, true, nil
		}
		// These repeat for ever without an Ack: the set-up is wrong.
		if note.Status == http.StatusUnauthorized || note.Status == http.StatusNotFound {
			return attempts, false, fmt.Errorf("message %d of tenant %s was answered %d: %s", m.Number, t.ID, note.Status, note.Detail)
		}
		pause := time.NewTimer(l.Pause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return attempts, false, ctx.Err()
		case <-pause.C:
		}
	}
	return attempts, false, nil
}

// post sends once. A change event is acknowledged by any 2xx.
func post(ctx context.Context, client *http.Client, req *http.Request, change bool) (event string, status int, detail string) {
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return Unknown, 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return Unknown, resp.StatusCode, err.Error()
	}
	if Acknowledged(resp.StatusCode, body) || change && resp.StatusCode/100 == 2 {
		return Acked, resp.StatusCode, ""
	}
	return Refused, resp.StatusCode, string(bytes.TrimSpace(body[:min(len(body), 300)]))
}

// note appends to the intent log: "sent" is there before the bytes leave.
func (l *intentLog) note(i Intent) error {
	i.At = time.Now()
	line, err := json.Marshal(i)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err = l.w.Write(append(line, '\n'))
	return err
}

// ReadIntents reads an intent log.
func ReadIntents(r io.Reader) ([]Intent, error) {
	var out []Intent
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var i Intent
		if err := json.Unmarshal(s.Bytes(), &i); err != nil {
			return nil, fmt.Errorf("intent log, line %d: %w", len(out)+1, err)
		}
		out = append(out, i)
	}
	return out, s.Err()
}
