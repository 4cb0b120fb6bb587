package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/fluxnex/fluxnex/pkg/failpoint"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// outcome is what one request became, for its log line and its metrics.
type outcome struct {
	code    int
	reason  string // stable label
	tenant  record.TenantID
	format  string
	bytes   int
	events  int
	first   string // gateway id of the first event
	traceID string
	err     error // why a 500
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, source, tenant string) {
	began := g.deps.Now()
	o := g.handle(w, r, source, tenant, began)
	if _, known := g.deps.Webhooks[source]; !known {
		source = "unknown" // a label from outside would be a label without end
	}
	g.settle(r.Context(), source, o, began)
}

// handle answers one request. The order matters: what costs least and tells
// least comes first, nothing is stored before the sender is known, and nothing
// is acknowledged before it is stored.
func (g *Gateway) handle(w http.ResponseWriter, r *http.Request, source, tenant string, now time.Time) (o outcome) {
	refused := func(x refusal) outcome {
		refuse(w, x)
		o.code, o.reason = x.status, x.code
		return o
	}
	if g.Ready() != nil {
		retryAfter(w, time.Second)
		return refused(notReady())
	}
	e := g.lookup(source, tenant)
	if e == nil {
		return refused(notFound())
	}
	o.tenant = e.tenant.ID

	room := g.rooms.get()
	defer g.rooms.put(room)
	body, err := readBody(w, r, room.body, e.bodyBytes, g.cfg.BodyWithin)
	if err != nil {
		w.Header().Set("Connection", "close") // the rest of the body is not read
		switch {
		case errors.Is(err, errTooLarge):
			return refused(tooLarge())
		case errors.Is(err, errTooSlow):
			return refused(tooSlow())
		case errors.Is(err, errEncoding):
			return refused(badEncoding())
		}
		return refused(badBody())
	}
	o.bytes, room.body = len(body), body

	// From here on the sender waits for us: this timer is the only limit, and
	// a sender that hangs up cancels nothing.
	room.timer.Reset(g.cfg.AnswerWithin)
	ctx := context.WithoutCancel(r.Context())

	webhook := g.deps.Webhooks[source]
	format, scheme := webhook.Detect(first(r.Header, headerType), body)
	o.format = format
	failed := func(reason string, err error) outcome {
		o.code, o.reason, o.err = http.StatusInternalServerError, reason, err
		answer(w, o.code, webhook.Failed(format, "the events could not be stored now; send them again"))
		return o
	}
	senders, err := g.authenticate(ctx, e, scheme, r, body)
	if errors.Is(err, errUnauthenticated) {
		return refused(unauthenticated())
	}
	if err != nil {
		return failed("secrets_unavailable", err)
	}
	if ok, after := g.admit(ctx, e.tenant, e.perSecond); !ok {
		retryAfter(w, after)
		return refused(tooMany())
	}

	delivery, splitErr := split(webhook, format, body)
	if splitErr == nil {
		if _, err := fromOrganization(senders, delivery.Organization); err != nil {
			return refused(unauthenticated())
		}
	}
	h := hook{source: source, tenant: e.tenant.ID, receivedAt: now, header: r.Header, room: room}
	unsplit := h.events(delivery, splitErr)
	events := room.events
	headers, traceID := traceHeaders(r.Header)
	o.traceID, o.events = traceID, len(events)

	if err := g.send(ctx, room, headers); err != nil {
		return failed("not_persisted", err)
	}
	failpoint.Hit("gateway-persisted")
	for i := range events {
		room.ids = append(room.ids, events[i].GatewayID)
	}
	if len(room.ids) > 0 {
		o.first = room.ids[0]
	}
	g.metrics.source(source).events().Add(float64(len(events) - unsplit))
	if unsplit > 0 {
		o.reason = "unsplit"
		g.metrics.unsplit.WithLabelValues(source).Add(float64(unsplit))
	}
	accepted := webhook.Accepted(format, room.ids)
	o.code = acceptedStatus(accepted)
	answer(w, o.code, accepted)
	return o
}

// send waits for the acknowledgements, but never beyond the room's timer: whatever
// the inbox does then, it does without the sender.
func (g *Gateway) send(ctx context.Context, r *room, headers []kafka.Header) error {
	if len(r.events) == 0 {
		return nil
	}
	// A channel of its own: an answer that comes late must be nobody else's.
	done := make(chan error, 1)
	g.deps.Inbox.Start(ctx, r.events, headers, func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-r.timer.C:
		return fmt.Errorf("no acknowledgement within %s", g.cfg.AnswerWithin)
	}
}

// settle writes the request's one line. The URL is not in it, because it may
// hold the secret.
func (g *Gateway) settle(ctx context.Context, source string, o outcome, began time.Time) {
	now := g.deps.Now()
	took := now.Sub(began)
	series := g.metrics.source(source)
	series.requests(o.code).Inc()
	series.seconds.Observe(took.Seconds())
	series.bytes.Add(float64(o.bytes))
	level := slog.LevelInfo
	if o.code >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	log := g.deps.Log.Handler()
	if !log.Enabled(ctx, level) {
		return
	}
	// A record made by hand: a logger would look up the line that it is written
	// on, for nobody.
	line := slog.NewRecord(now, level, "webhook settled", 0)
	attrs := make([]slog.Attr, 0, 11)
	attrs = append(attrs,
		slog.String("source", source), slog.String("tenant", string(o.tenant)), slog.Int("code", o.code),
		slog.Int("events", o.events), slog.Int("bytes", o.bytes), slog.Duration("took", took))
	if o.format != "" {
		attrs = append(attrs, slog.String("format", o.format))
	}
	if o.first != "" {
		attrs = append(attrs, slog.String("gateway_id", o.first), slog.String("trace_id", o.traceID))
	}
	if o.reason != "" {
		attrs = append(attrs, slog.String("reason", o.reason))
	}
	if o.err != nil {
		attrs = append(attrs, slog.Any("error", o.err))
	}
	line.AddAttrs(attrs...)
	_ = log.Handle(ctx, line) // a line that cannot be written is lost
}
