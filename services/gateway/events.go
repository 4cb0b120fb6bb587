package gateway

import (
	"crypto/sha256"
	"fmt"
	"net/http"
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
	body       []byte
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

// events turns a split body into what is stored, in its order; unsplit counts
// those whose record is unknown.
func (h *hook) events(d integration.Delivery, splitErr error) (events []record.GatewayEvent, unsplit int) {
	headers := selectHeaders(h.header)
	if splitErr != nil {
		body := d.Sanitized
		if body == nil {
			body = h.body
		}
		e := h.event(h.newID(), integration.Event{ContentType: h.header.Get("Content-Type"), Payload: body}, headers)
		e.Detail = splitErr.Error()
		return []record.GatewayEvent{e}, 1
	}
	events = make([]record.GatewayEvent, 0, len(d.Events))
	for i, part := range d.Events {
		if part.LocalID == "" {
			unsplit++
		}
		events = append(events, h.event(h.gatewayID(part, i), part, headers))
	}
	return events, unsplit
}

func (h *hook) event(gatewayID string, part integration.Event, headers []record.Header) record.GatewayEvent {
	e := record.GatewayEvent{
		TenantID:    h.tenant,
		SourceApp:   h.source,
		RecordID:    record.NewID(h.source, part.LocalID),
		GatewayID:   gatewayID,
		Origin:      record.OriginWebhook,
		ReceivedAt:  h.receivedAt,
		Format:      part.Format,
		ContentType: part.ContentType,
		Headers:     headers,
		Outcome:     record.OutcomePayload,
		Payload:     part.Payload,
	}
	if part.LocalID == "" {
		e.RecordID = record.NewID(h.source, "unsplit:"+gatewayID)
		e.Format = ""
	}
	return e
}

// gatewayID is derived from the sender's own id of the event where there is
// one: a repeated event is recognised by its gateway id.
func (h *hook) gatewayID(part integration.Event, index int) string {
	id := part.EventID
	if id == "" {
		if id = h.header.Get(headerID); id == "" {
			return h.newID()
		}
		id += "#" + strconv.Itoa(index)
	}
	var room [256]byte
	text := append(append(room[:0], h.tenant...), 0)
	text = append(append(text, h.source...), 0)
	text = append(append(text, id...), 0)
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
func selectHeaders(h http.Header) []record.Header {
	var out []record.Header
	for _, name := range [...]string{"User-Agent", "Soapaction", headerID, headerTimestamp, "X-Request-Id"} {
		values := h[name]
		if len(values) == 0 {
			continue
		}
		value := values[0]
		if len(value) > maxStoredHeader {
			value = value[:maxStoredHeader]
		}
		out = append(out, record.Header{Name: strings.ToLower(name), Value: strings.ToValidUTF8(value, "\uFFFD")})
	}
	return out
}
