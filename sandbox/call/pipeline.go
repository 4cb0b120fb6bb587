package call

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/fluxnex/fluxnex/sandbox/faults"
	"github.com/fluxnex/fluxnex/sandbox/ledger"
	"github.com/fluxnex/fluxnex/sandbox/store"
)

// Pipeline is shared by all apps of one sandbox.
type Pipeline struct {
	Clock   func() time.Time
	Log     *slog.Logger
	Ledger  *ledger.Ledger
	Store   *store.Store
	Faults  *faults.Script
	Markers *Markers
}

const maxBody = 8 << 20

// Handler serves an app.
func (p *Pipeline) Handler(app App) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			status := http.StatusBadRequest
			if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
				status = http.StatusRequestEntityTooLarge
			}
			http.Error(w, err.Error(), status)
			return
		}
		c := p.begin(app, r, body)
		p.run(app, c, w)
	})
}

func (p *Pipeline) begin(app App, r *http.Request, body []byte) *Call {
	c := p.Internal(r)
	c.Body = body
	t := app.Describe(r)
	c.Line = ledger.Entry{
		Time: c.Now, App: app.Name(), Tenant: t.Tenant, Account: t.Account, Object: t.Object, ID: t.ID, Op: t.Op,
		RequestID: t.RequestID, Client: t.Client, Method: r.Method, Path: r.URL.Path, Connection: r.RemoteAddr,
	}
	if len(body) > 0 {
		sum := sha256.Sum256(body)
		c.Line.Digest = hex.EncodeToString(sum[:8])
	}
	return c
}

// Internal is a call that no vendor would see: an administrator's change.
// Finish it with [Pipeline.Commit].
func (p *Pipeline) Internal(r *http.Request) *Call {
	return &Call{Request: r, Now: p.Clock(), p: p, header: http.Header{}}
}

// run lets the fault script act before, instead of, or after the app.
func (p *Pipeline) run(app App, c *Call, w http.ResponseWriter) {
	rule := c.match()
	if rule == nil {
		app.Serve(c)
		p.finish(c, w, full)
		return
	}
	c.Line.Fault = rule.ID
	for k, v := range rule.Headers {
		c.header.Set(k, v)
	}
	switch rule.Action {
	case faults.Status:
		c.Refuse(rule.Status, strconv.Itoa(rule.Status), rule.BodyText())
	case faults.Delay:
		if !wait(c, rule.Delay) {
			p.finish(c, w, cut)
			return
		}
		app.Serve(c)
	case faults.Hang:
		wait(c, rule.Delay)
		p.finish(c, w, cut)
		return
	case faults.ResetBefore:
		p.finish(c, w, cut)
		return
	case faults.ApplyThenReset:
		app.Serve(c)
		p.finish(c, w, cut)
		return
	case faults.ApplyThen500:
		app.Serve(c)
		status := rule.Status
		if status == 0 {
			status = http.StatusInternalServerError
		}
		c.Refuse(status, strconv.Itoa(status), rule.BodyText())
	case faults.Stale:
		if c.Request.Method != http.MethodGet && c.Line.Op != "read" && c.Line.Op != "query" && c.Line.Op != "search" {
			app.StaleWrite(c)
			break
		}
		c.Stale = true
		app.Serve(c)
	case faults.Truncated:
		app.Serve(c)
		p.finish(c, w, half)
		return
	case faults.Fault200:
		if len(rule.Body) > 0 {
			c.Refuse(http.StatusOK, "fault200", rule.BodyText())
			break
		}
		app.Fault200(c)
	case faults.Unauthorized:
		app.Unauthorized(c)
	case faults.RateLimit:
		if rule.RetryAfter > 0 {
			c.header.Set("Retry-After", strconv.Itoa(rule.RetryAfter))
		}
		app.RateLimited(c, rule.Policy, rule.RetryAfter)
	}
	p.finish(c, w, full)
}

// wait holds a call on the machine's own time, for d or, with 0, until the
// caller gives up.
func wait(c *Call, d faults.Duration) bool {
	var passed <-chan time.Time
	if d > 0 {
		t := time.NewTimer(time.Duration(d))
		defer t.Stop()
		passed = t.C
	}
	select {
	case <-passed:
		return true
	case <-c.Request.Context().Done():
		return false
	}
}

type ending int

const (
	full ending = iota
	half
	cut
)

func (p *Pipeline) finish(c *Call, w http.ResponseWriter, how ending) {
	c.Line.Replied, c.Line.Status = how == full, c.status
	if how == cut {
		c.Line.Status = 0
	}
	if err := p.Commit(c); err != nil {
		p.Log.Error("sandbox call not saved", slog.Any("error", err))
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if how == cut {
		// The server closes the connection and prints nothing.
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), c.header)
	if len(c.answer) > 0 && w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(c.answer)))
	w.WriteHeader(c.status)
	if how == half {
		_, _ = w.Write(c.answer[:len(c.answer)/2]) //nolint:gosec // JSON
		panic(http.ErrAbortHandler)
	}
	// The caller may be gone; the ledger says Replied because we did try.
	_, _ = w.Write(c.answer) //nolint:gosec // JSON
}

// Commit saves what a call changed and its lines.
func (p *Pipeline) Commit(c *Call) error {
	var lines []ledger.Entry
	if c.Line.App != "" {
		if c.Line.Seq == 0 {
			c.Line.Seq = p.Ledger.Next()
		}
		lines = append(lines, c.Line)
		for _, part := range c.parts {
			if part.Seq == 0 {
				part.Seq = p.Ledger.Next()
			}
			part.PartOf, part.Replied, part.Fault = c.Line.Seq, c.Line.Replied, c.Line.Fault
			lines = append(lines, part)
		}
	}
	if err := p.Store.Commit(c.changes, lines); err != nil {
		return err
	}
	p.Ledger.Append(lines...)
	return nil
}
