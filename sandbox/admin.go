package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/fluxnex/fluxnex/sandbox/call"
	"github.com/fluxnex/fluxnex/sandbox/faults"
	"github.com/fluxnex/fluxnex/sandbox/ledger"
	"github.com/fluxnex/fluxnex/sandbox/limit"
)

func (s *Server) adminRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /_sandbox/{$}", s.index)
	mux.HandleFunc("GET /_sandbox/ledger", s.readLedger)
	mux.HandleFunc("DELETE /_sandbox/ledger", s.clearLedger)
	mux.HandleFunc("GET /_sandbox/faults", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.pipeline.Faults.Rules()) })
	mux.HandleFunc("POST /_sandbox/faults", s.addFaults)
	mux.HandleFunc("DELETE /_sandbox/faults", func(w http.ResponseWriter, _ *http.Request) {
		s.pipeline.Faults.Remove("")
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("DELETE /_sandbox/faults/{id}", s.removeFault)
	mux.HandleFunc("GET /_sandbox/limits", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.limits()) })
	mux.HandleFunc("PUT /_sandbox/limits", s.setLimits)
	mux.HandleFunc("GET /_sandbox/markers", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.pipeline.Markers.Get()) })
	mux.HandleFunc("PUT /_sandbox/markers", s.setMarkers)
	mux.HandleFunc("GET /_sandbox/{app}/{account}/{object}", s.list)
	mux.HandleFunc("GET /_sandbox/{app}/{account}/{object}/{id}", s.show)
	mux.HandleFunc("POST /_sandbox/{app}/{account}/{object}/{id}/edit", s.edit)
	mux.HandleFunc("POST /_sandbox/{app}/{account}/{action}", s.tokens)
	mux.HandleFunc("PUT /_sandbox/quickbooks/{account}/preferences", s.preferences)
	s.salesforceRoutes(mux)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(call.Marshal(v), '\n')) //nolint:gosec // JSON; and the caller may be gone
}

func fail(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	if errors.Is(err, call.ErrNone) {
		status = http.StatusNotFound
	}
	answer(w, status, map[string]string{"error": err.Error()})
}

// read decodes a request body into v, strictly.
func read(r *http.Request, v any) error {
	dec := json.NewDecoder(io.LimitReader(r.Body, 8<<20))
	dec.UseNumber()
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("request body: %w", err)
	}
	return nil
}

func (s *Server) app(name string) (app, error) {
	for _, a := range s.apps {
		if a.Name() == name {
			return a, nil
		}
	}
	return nil, fmt.Errorf("app %q: %w", name, call.ErrNone)
}

func (s *Server) limits() map[string]string {
	out := map[string]string{}
	for name, m := range s.modes {
		out[name] = m.Get().String()
	}
	return out
}

func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	type account struct {
		Name    string         `json:"name"`
		Objects map[string]int `json:"objects"`
	}
	apps := map[string]map[string]account{}
	for _, a := range s.apps {
		apps[a.Name()] = map[string]account{}
		for id, name := range a.Accounts() {
			apps[a.Name()][id] = account{name, a.Counts(id)}
		}
	}
	answer(w, http.StatusOK, map[string]any{
		"apps": apps, "limits": s.limits(), "faults": len(s.pipeline.Faults.Rules()), "ledger": s.pipeline.Ledger.Len(),
		"see": []string{"/_sandbox/ledger", "/_sandbox/faults", "/_sandbox/limits", "/_sandbox/markers", "/_sandbox/{app}/{account}/{object}", "/_sandbox/{app}/{account}/{object}/{id}"},
	})
}

func filterOf(q url.Values) (ledger.Filter, error) {
	f := ledger.Filter{
		Tenant: q.Get("tenant"), App: q.Get("app"), Account: q.Get("account"), Object: q.Get("object"), ID: q.Get("id"), Op: q.Get("op"),
		Method: q.Get("method"), RequestID: q.Get("request_id"), Marker: q.Get("marker"), Code: q.Get("code"), Fault: q.Get("fault"),
	}
	var errs []error
	number := func(name string) uint64 {
		if q.Get(name) == "" {
			return 0
		}
		n, err := strconv.ParseUint(q.Get(name), 10, 32)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s=%q: want a number", name, q.Get(name)))
		}
		return n
	}
	boolean := func(name string) *bool {
		if q.Get(name) == "" {
			return nil
		}
		b, err := strconv.ParseBool(q.Get(name))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s=%q: want true or false", name, q.Get(name)))
		}
		return &b
	}
	f.Since, f.PartOf, f.Limit = number("since"), number("part_of"), int(number("limit")) //nolint:gosec // 32 bits
	f.Applied, f.Replied = boolean("applied"), boolean("replied")
	return f, errors.Join(errs...)
}

func (s *Server) readLedger(w http.ResponseWriter, r *http.Request) {
	f, err := filterOf(r.URL.Query())
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	for _, e := range s.pipeline.Ledger.Select(f) {
		buf.Reset()
		if err := enc.Encode(e); err != nil {
			return
		}
		if _, err := w.Write(buf.Bytes()); err != nil {
			return
		}
	}
}

func (s *Server) clearLedger(w http.ResponseWriter, _ *http.Request) {
	if err := s.pipeline.Store.ClearLedger(s.pipeline.Ledger.Next()); err != nil {
		fail(w, err)
		return
	}
	s.pipeline.Ledger.Clear()
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) addFaults(w http.ResponseWriter, r *http.Request) {
	var rules []faults.Rule
	if err := read(r, &rules); err != nil {
		fail(w, err)
		return
	}
	rules, err := s.pipeline.Faults.Add(rules)
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusCreated, rules)
}

func (s *Server) removeFault(w http.ResponseWriter, r *http.Request) {
	if !s.pipeline.Faults.Remove(r.PathValue("id")) {
		fail(w, fmt.Errorf("fault %q: %w", r.PathValue("id"), call.ErrNone))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// setLimits takes {"mode": …} for all apps, or a mode by app.
func (s *Server) setLimits(w http.ResponseWriter, r *http.Request) {
	var in map[string]string
	if err := read(r, &in); err != nil {
		fail(w, err)
		return
	}
	next := map[string]limit.Mode{}
	for name, text := range in {
		mode, err := limit.ParseMode(text)
		if err != nil {
			fail(w, err)
			return
		}
		switch {
		case name == "mode":
			for all := range s.modes {
				if _, own := in[all]; !own {
					next[all] = mode
				}
			}
		case s.modes[name] == nil:
			fail(w, fmt.Errorf("app %q: %w", name, call.ErrNone))
			return
		default:
			next[name] = mode
		}
	}
	for name, mode := range next {
		s.modes[name].Set(mode)
	}
	answer(w, http.StatusOK, s.limits())
}

func (s *Server) setMarkers(w http.ResponseWriter, r *http.Request) {
	var in map[string]string
	if err := read(r, &in); err != nil {
		fail(w, err)
		return
	}
	s.pipeline.Markers.Set(in)
	answer(w, http.StatusOK, s.pipeline.Markers.Get())
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	a, err := s.app(r.PathValue("app"))
	if err != nil {
		fail(w, err)
		return
	}
	objects, err := a.List(r.PathValue("account"), r.PathValue("object"))
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"total": len(objects), "objects": objects})
}

func (s *Server) show(w http.ResponseWriter, r *http.Request) {
	a, err := s.app(r.PathValue("app"))
	if err != nil {
		fail(w, err)
		return
	}
	object, err := a.Get(r.PathValue("account"), r.PathValue("object"), r.PathValue("id"))
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, object)
}

// change runs an administrator's change and saves it. What a person did is in
// the ledger too, with op, so that versions have no gaps.
func (s *Server) change(w http.ResponseWriter, r *http.Request, line ledger.Entry, f func(*call.Call) (any, error)) {
	c := s.pipeline.Internal(r)
	line.Time, line.Method, line.Path, line.Connection = c.Now, r.Method, r.URL.Path, r.RemoteAddr
	line.Client, line.Replied, line.Status = "person", true, http.StatusOK
	c.Line = line
	out, err := f(c)
	if err != nil {
		fail(w, err)
		return
	}
	if err := s.pipeline.Commit(c); err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, out)
}

func (s *Server) edit(w http.ResponseWriter, r *http.Request) {
	var fields map[string]any
	if err := read(r, &fields); err != nil {
		fail(w, err)
		return
	}
	a, err := s.app(r.PathValue("app"))
	if err != nil {
		fail(w, err)
		return
	}
	line := ledger.Entry{App: a.Name(), Account: r.PathValue("account"), Object: r.PathValue("object"), Op: "edit"}
	s.change(w, r, line, func(c *call.Call) (any, error) {
		return a.Edit(c, r.PathValue("account"), r.PathValue("object"), r.PathValue("id"), fields)
	})
}

func (s *Server) tokens(w http.ResponseWriter, r *http.Request) {
	a, err := s.app(r.PathValue("app"))
	if err != nil {
		fail(w, err)
		return
	}
	account, action := r.PathValue("account"), r.PathValue("action")
	s.change(w, r, ledger.Entry{App: a.Name(), Account: account, Object: "token", Op: action}, func(c *call.Call) (any, error) {
		var n int
		switch action {
		case "revoke":
			n = a.Grants().Revoke(account, c.Save)
		case "expire":
			n = a.Grants().Expire(account, c.Save)
		case "rotate":
			n = a.Grants().Rotate(account, c.Save)
		case "authorize":
			var out []map[string]any
			for _, t := range a.Grants().Authorize(account, c.Save) {
				out = append(out, map[string]any{"client_id": t.ClientID, "access_token": t.Access, "refresh_token": t.Refresh, "expires_in": int(t.TTL.Seconds())})
			}
			if out == nil {
				return nil, fmt.Errorf("%s/%s: %w", a.Name(), account, call.ErrNone)
			}
			return out, nil
		default:
			return nil, fmt.Errorf("%q: want revoke, expire, rotate or authorize", action)
		}
		if n == 0 {
			return nil, fmt.Errorf("%s/%s: %w", a.Name(), account, call.ErrNone)
		}
		return map[string]int{"grants": n}, nil
	})
}

func (s *Server) preferences(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		fail(w, err)
		return
	}
	s.change(w, r, ledger.Entry{App: "quickbooks", Account: r.PathValue("account"), Op: "preferences"}, func(c *call.Call) (any, error) {
		return s.quickbooks.SetPreferences(c, r.PathValue("account"), raw)
	})
}
