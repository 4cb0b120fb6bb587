package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// shop is a destination: objects with versions, a memory of request ids, and a
// ledger of what it was asked and what it did.
type shop struct {
	*httptest.Server
	latency time.Duration

	mu       sync.Mutex
	objects  map[string]*shopObject // by id
	answers  map[string][]byte      // by request id
	memory   bool                   // of request ids
	ledger   []shopEntry
	fault    func(e shopEntry) shopFault // decides on each write before it is made
	inFlight int
	peak     int
	refused  map[string]bool // tokens answered 401
}

type shopObject struct {
	ID      string `json:"id"`
	Version int    `json:"version"`
	Record  string `json:"record"`
	Seq     int    `json:"seq"`
	Active  bool   `json:"active"`
	Ref     string `json:"ref,omitempty"`
	Type    string `json:"type"`
}

type shopEntry struct {
	Record    string
	Seq       int
	RequestID string
	Account   string
	Applied   bool
	Status    int
}

// shopFault says what goes wrong with one write.
type shopFault struct {
	status  int  // answered instead of doing it
	lost    bool // it is done and the connection then cut
	cut     bool // the connection is cut before it is done
	headers map[string]string
	hang    <-chan struct{}
}

func newShop(t testing.TB) *shop {
	s := &shop{objects: map[string]*shopObject{}, answers: map[string][]byte{}, memory: true, refused: map[string]bool{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *shop) host() string { return strings.TrimPrefix(s.URL, "http://") }

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.latency > 0 {
		timer := time.NewTimer(s.latency)
		defer timer.Stop()
		<-timer.C
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/") // account, "objects", id…
	s.mu.Lock()
	s.inFlight++
	s.peak = max(s.peak, s.inFlight)
	refused := s.refused[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.inFlight--
		s.mu.Unlock()
	}()
	switch {
	case refused:
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodGet:
		s.find(w, parts[0], r.URL.Query().Get("record"))
	default:
		s.write(w, r, parts)
	}
}

func (s *shop) find(w http.ResponseWriter, account, rec string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found *shopObject // an active one before a voided one
	for _, o := range s.objects {
		if o.Record == rec && strings.HasPrefix(o.ID, account+"-") && (found == nil || o.Active) {
			found = o
		}
	}
	if found == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(found)
}

func (s *shop) write(w http.ResponseWriter, r *http.Request, parts []string) {
	var in shopObject
	raw, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(raw, &in)
	e := shopEntry{Record: in.Record, Seq: in.Seq, RequestID: r.URL.Query().Get("requestid"), Account: parts[0]}
	var f shopFault
	s.mu.Lock()
	decide := s.fault
	s.mu.Unlock()
	if decide != nil {
		f = decide(e)
	}
	if f.hang != nil {
		select {
		case <-f.hang:
		case <-r.Context().Done():
		}
		f.cut = true
	}
	if f.cut || f.status != 0 {
		e.Status = f.status
		s.mu.Lock()
		s.ledger = append(s.ledger, e)
		s.mu.Unlock()
		if f.cut {
			panic(http.ErrAbortHandler)
		}
		for k, v := range f.headers {
			w.Header().Set(k, v)
		}
		w.WriteHeader(f.status)
		return
	}
	status, body := s.apply(&e, in, parts)
	if f.lost {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func (s *shop) apply(e *shopEntry, in shopObject, parts []string) (int, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.ledger = append(s.ledger, *e) }()
	if a, ok := s.answers[e.RequestID]; ok && s.memory {
		e.Status = http.StatusOK
		return e.Status, a
	}
	var o *shopObject
	if len(parts) > 2 {
		if o = s.objects[parts[2]]; o == nil {
			e.Status = http.StatusNotFound
			return e.Status, nil
		}
		if o.Version != in.Version {
			e.Status = http.StatusConflict
			return e.Status, nil
		}
		o.Version++
	} else {
		o = &shopObject{ID: fmt.Sprintf("%s-%d", parts[0], len(s.objects)+1)}
		s.objects[o.ID] = o
	}
	o.Record, o.Seq, o.Active, o.Ref, o.Type = in.Record, in.Seq, in.Active, in.Ref, in.Type
	e.Applied, e.Status = true, http.StatusOK
	body, _ := json.Marshal(o)
	if s.memory {
		s.answers[e.RequestID] = body
	}
	return e.Status, body
}

func (s *shop) entries() []shopEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ledger)
}

// of returns the objects that carry a record's marker: more than one is a
// second effect.
func (s *shop) of(rec string) []shopObject {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []shopObject
	for _, o := range s.objects {
		if o.Record == rec {
			out = append(out, *o)
		}
	}
	return out
}

// shopDeliverer is the integration for it.
type shopDeliverer struct {
	unlooked atomic.Bool // what Resolve looks by is not there until Recover made it
	blind    bool        // Resolve finds nothing: only the request id saves it
	limits   integration.Limits
	probes   atomic.Int64
	account  atomic.Pointer[string] // whose credentials Probe finds; nil: the right one's
	// overwritten is what Merge says of every object.
	overwritten []string
}

func (d *shopDeliverer) Prepare(op integration.Operation) (integration.Step, error) {
	var p struct {
		Seq int
		Ref string
	}
	if string(op.Payload) == "panic" {
		panic("the integration has a bug")
	}
	if op.Verb == record.VerbUpsert {
		if err := json.Unmarshal(op.Payload, &p); err != nil {
			return integration.Step{}, fault.Unreadable("bad_payload", err)
		}
	} else if op.Applied == nil || !op.Applied.Active {
		return integration.Step{Done: true, Remote: op.Applied}, nil
	}
	path, version := "/"+op.Account.Remote+"/objects", 0
	void := op.Applied != nil && op.Applied.Active && op.Applied.Type != op.Type
	typ := op.Type
	if void {
		typ = op.Applied.Type
	}
	if op.Applied != nil && op.Applied.Type == typ {
		path += "/" + op.Applied.ID
		version, _ = strconv.Atoi(op.Applied.Version)
	}
	body, err := json.Marshal(shopObject{Record: string(op.RecordID), Seq: p.Seq, Ref: p.Ref, Version: version, Active: op.Verb == record.VerbUpsert && !void, Type: typ})
	return integration.Step{Final: !void, Request: integration.Request{
		Method: http.MethodPost, Path: path, Query: url.Values{"requestid": {op.RequestID}}.Encode(), ContentType: "application/json", Body: body,
	}}, err
}

func (d *shopDeliverer) Read(_ integration.Operation, _ integration.Request, a integration.Answer) (integration.Remote, error) {
	var o shopObject
	err := json.Unmarshal(a.Body, &o)
	return integration.Remote{Type: o.Type, ID: o.ID, Version: strconv.Itoa(o.Version), Active: o.Active, Body: a.Body}, err
}

func (d *shopDeliverer) Classify(a integration.Answer) error {
	switch {
	case a.Status < 300:
		return nil
	case a.Status == http.StatusTooManyRequests:
		return &fault.Error{Class: fault.Retryable, Code: "http_429", Scope: fault.ScopeAccount}
	case a.Status == http.StatusUnauthorized:
		return &fault.Error{Class: fault.Auth, Code: "http_401", Scope: fault.ScopeConnection}
	case a.Status == http.StatusConflict:
		return fault.New(fault.Conflict, "stale", "another version")
	case a.Status == http.StatusUnprocessableEntity:
		return fault.Refused("duplicate_name", "give it another name", fmt.Errorf("the name is taken"))
	case a.Status >= 500:
		return &fault.Error{Class: fault.Retryable, Code: "http_5xx", Unknown: true}
	}
	return fault.New(fault.Unclassified, "http_"+strconv.Itoa(a.Status), "status %d", a.Status)
}

func (d *shopDeliverer) look(ctx context.Context, c integration.Caller, op integration.Operation) (*shopObject, error) {
	a, err := c.Call(ctx, integration.Request{Method: http.MethodGet, Path: "/" + op.Account.Remote + "/objects", Query: url.Values{"record": {string(op.RecordID)}}.Encode()})
	if err != nil {
		if a.Status == http.StatusNotFound {
			return nil, nil
		}
		return nil, err
	}
	var o shopObject
	return &o, json.Unmarshal(a.Body, &o)
}

func (d *shopDeliverer) Resolve(ctx context.Context, c integration.Caller, op integration.Operation, sent integration.Request) (*integration.Remote, error) {
	if d.blind {
		return nil, nil
	}
	if d.unlooked.Load() {
		return nil, fault.Refused("no_property", "create the property", fmt.Errorf("no such property"))
	}
	o, err := d.look(ctx, c, op)
	if err != nil || o == nil {
		return nil, err
	}
	var want shopObject
	if err := json.Unmarshal(sent.Body, &want); err != nil {
		return nil, err
	}
	if o.Seq != want.Seq || o.Active != want.Active || o.Type != want.Type {
		return nil, nil
	}
	return &integration.Remote{Type: o.Type, ID: o.ID, Version: strconv.Itoa(o.Version), Active: o.Active}, nil
}

func (d *shopDeliverer) Recover(_ context.Context, _ integration.Caller, _ integration.Operation, refusal error) (*integration.Remote, error) {
	if fault.Of(refusal).Code != "no_property" {
		return nil, nil
	}
	d.unlooked.Store(false)
	return &integration.Remote{}, nil
}

func (d *shopDeliverer) Latest(ctx context.Context, c integration.Caller, op integration.Operation) (*integration.Remote, error) {
	o, err := d.look(ctx, c, op)
	if err != nil || o == nil {
		return nil, err
	}
	body, err := json.Marshal(o)
	return &integration.Remote{Type: o.Type, ID: o.ID, Version: strconv.Itoa(o.Version), Active: o.Active, Body: body}, err
}

func (d *shopDeliverer) Merge(op integration.Operation, _ integration.Remote) ([]byte, []string, error) {
	if len(op.Payload) == 0 {
		return nil, nil, fault.New(fault.Poison, "shop_payload", "the payload is no object")
	}
	return op.Payload, d.overwritten, nil
}

func (d *shopDeliverer) Probe(ctx context.Context, c integration.Caller, a integration.Account) (string, error) {
	d.probes.Add(1)
	answer, err := c.Call(ctx, integration.Request{Method: http.MethodGet, Path: "/" + a.Remote + "/objects", Query: "record=none"})
	if err != nil && answer.Status != http.StatusNotFound {
		return "", err
	}
	if other := d.account.Load(); other != nil {
		return *other, nil
	}
	return a.Remote, nil
}
func (d *shopDeliverer) OAuth() *integration.OAuth  { return nil }
func (d *shopDeliverer) Limits() integration.Limits { return d.limits }

func (s *shop) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ledger)
}
