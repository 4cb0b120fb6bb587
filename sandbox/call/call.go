package call

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/sandbox/faults"
	"github.com/fluxnex/fluxnex/sandbox/ledger"
	"github.com/fluxnex/fluxnex/sandbox/store"
)

// Target is what a request is about, as far as its address and token tell.
type Target struct {
	Tenant, Account, Object, ID, Op, RequestID, Client string
}

// App is one vendor's API.
type App interface {
	Name() string
	// Describe must be cheap: it runs before the fault script.
	Describe(r *http.Request) Target
	// Serve answers a call by c.Reply.
	Serve(c *Call)
	// Unauthorized, RateLimited, StaleWrite and Fault200 are the vendor's own
	// answers to what the fault script asks for.
	Unauthorized(c *Call)
	RateLimited(c *Call, policy string, retryAfter int)
	StaleWrite(c *Call)
	Fault200(c *Call)
}

// Call is one request on its way. It belongs to one goroutine.
type Call struct {
	Request *http.Request
	Body    []byte
	Now     time.Time
	// Stale asks reads for the version before the last change.
	Stale bool
	// Line is the ledger line of the call itself.
	Line ledger.Entry

	p       *Pipeline
	parts   []ledger.Entry
	changes []store.Change
	status  int
	header  http.Header
	answer  []byte
}

// ErrNone is returned by an app's inspection for what is not there.
var ErrNone = errors.New("not in this sandbox")

// Reply sets the answer; the last one counts. v nil is an empty body, []byte
// is sent as it is, anything else as JSON.
func (c *Call) Reply(status int, v any) {
	c.status, c.answer = status, nil
	switch v := v.(type) {
	case nil:
	case []byte:
		c.answer = v
	case json.RawMessage:
		c.answer = v
	default:
		c.answer = Marshal(v)
	}
}

// Refuse is Reply with the code that the ledger shows.
func (c *Call) Refuse(status int, code string, v any) {
	c.Line.Code = code
	c.Reply(status, v)
}

// Header are the answer's headers.
func (c *Call) Header() http.Header { return c.header }

// Save remembers a change of state for the store. Call it while the value is
// locked, with a value that nobody changes afterwards.
func (c *Call) Save(key string, value any) {
	c.changes = append(c.changes, store.Change{Key: key, N: c.p.Store.Next(), Value: value})
}

// Part starts the line of one item of a batch.
func (c *Call) Part(object, id, op, requestID string) *ledger.Entry {
	line := c.Line
	line.Seq, line.Status, line.Code, line.IDs = 0, 0, "", nil
	line.Object, line.ID, line.Op, line.RequestID = object, id, op, requestID
	c.parts = append(c.parts, line)
	return &c.parts[len(c.parts)-1]
}

// Reserve makes room for n parts, so that pointers from Part stay valid.
func (c *Call) Reserve(n int) { c.parts = make([]ledger.Entry, 0, n) }

// Applied marks a line as having changed an object. Call it while the object
// is locked: the line's number is drawn here.
func (c *Call) Applied(line *ledger.Entry, id, before, after string) {
	line.Seq = c.p.Ledger.Next()
	line.Applied, line.ID, line.Before, line.After = true, id, before, after
}

// Marker fills a line's marker from the object's fields: the field that was
// configured for app/object, else the first of the usual names.
func (c *Call) Marker(line *ledger.Entry, fields map[string]any) {
	line.Marker = c.p.Markers.Of(line.App, line.Object, fields)
}

// Marshal is JSON without HTML escapes, as the vendors write it.
func Marshal(v any) json.RawMessage {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		// Only values made from JSON get here.
		return json.RawMessage(`{"error":"sandbox cannot encode its own answer"}`)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// Decode reads JSON keeping numbers as they were written.
func Decode(body []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	return dec.Decode(v)
}

// Bearer is the token of the Authorization header.
func Bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

func (c *Call) match() *faults.Rule {
	return c.p.Faults.Match(faults.Call{
		App: c.Line.App, Account: c.Line.Account, Object: c.Line.Object, Op: c.Line.Op,
		Method: c.Line.Method, Path: c.Request.URL.Path, Body: c.Body,
	})
}
