package gateway

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

const maxStoredHeader = 256

// hook is one webhook body on its way to the gateway topic.
type hook struct {
	source     string
	tenant     record.TenantID
	receivedAt time.Time
	header     http.Header
	room       *room // the body is there
}

// split asks the integration for the record events. Bytes that it cannot
// split, or that it panics on, are an error: they are stored whole.
func split(w integration.Webhook, format string, body []byte) (d integration.Delivery, err error) {
	// One body must not cost the source a day of retries, nor its neighbours
	// their connection.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return w.Split(format, body)
}

// events turns a split body into what is stored, in its order and in the room's
// events; unsplit counts those whose record is unknown.
func (h *hook) events(d integration.Delivery, splitErr error) (unsplit int) {
	h.room.headers = selectHeaders(h.room.headers, h.header)
	if splitErr != nil {
		body := d.Sanitized
		if body == nil {
			body = h.room.body
		}
		h.add(h.newID(), integration.Event{ContentType: first(h.header, headerType), Payload: body})
		h.room.events[0].Detail = splitErr.Error()
		return 1
	}
	h.room.events = slices.Grow(h.room.events, len(d.Events))
	for i, part := range d.Events {
		if part.LocalID == "" {
			unsplit++
		}
		h.add(h.gatewayID(part, i), part)
	}
	return unsplit
}

func (h *hook) add(gatewayID string, part integration.Event) {
	e := record.GatewayEvent{
		TenantID:    h.tenant,
		SourceApp:   h.source,
		RecordID:    record.NewID(h.source, part.LocalID),
		GatewayID:   gatewayID,
		Origin:      record.OriginWebhook,
		ReceivedAt:  h.receivedAt,
		Format:      part.Format,
		ContentType: part.ContentType,
		Headers:     h.room.headers,
		Outcome:     record.OutcomePayload,
		Payload:     part.Payload,
	}
	if part.LocalID == "" {
		e.RecordID = record.NewID(h.source, "unsplit:"+gatewayID)
		e.Format = ""
	}
	h.room.events = append(h.room.events, e)
}

// gatewayID is derived from the sender's own id of the event where there is
// one: a repeated event is recognised by its gateway id.
func (h *hook) gatewayID(part integration.Event, index int) string {
	var room [256]byte
	text := append(append(room[:0], h.tenant...), 0)
	text = append(append(text, h.source...), 0)
	if part.EventID != "" {
		text = append(text, part.EventID...)
	} else {
		id := first(h.header, headerID)
		if id == "" {
			return h.newID()
		}
		text = strconv.AppendInt(append(append(text, id...), '#'), int64(index), 10)
	}
	text = append(text, 0)
	sum := sha256.Sum256(text)
	u := uuid.UUID(sum[:16])
	u[6] = u[6]&0x0f | 0x80 // version 8: derived in a way of our own
	u[8] = u[8]&0x3f | 0x80
	return "gw-" + u.String()
}

// newID grows with time, so that ids in a log sort as they came.
func (h *hook) newID() string {
	u, err := uuid.NewV7()
	if err != nil {
		u = uuid.New()
	}
	return "gw-" + u.String()
}

// selectHeaders names what is kept with each event; nothing else of a request
// is, so no credential and no cookie can be.
func selectHeaders(out []record.Header, h http.Header) []record.Header {
	for _, kept := range [storedHeaders]struct{ name, as string }{
		{"User-Agent", "user-agent"},
		{"Soapaction", "soapaction"},
		{headerID, "webhook-id"},
		{headerTimestamp, "webhook-timestamp"},
		{"X-Request-Id", "x-request-id"},
	} {
		values := h[kept.name]
		if len(values) == 0 {
			continue
		}
		value := values[0]
		if len(value) > maxStoredHeader {
			value = value[:maxStoredHeader]
		}
		out = append(out, record.Header{Name: kept.as, Value: strings.ToValidUTF8(value, "\uFFFD")})
	}
	return out
}

// first is Header.Get of a name in the case in which the server keeps it.
func first(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}
