package fetcher

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/httpapi"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/schemas"
	"github.com/fluxnex/fluxnex/tests/parts"
)

// tms is a source app that answers lists of ids; ids beginning with "gone" are
// not there, and one that begins with "bad" spoils the whole call.
type tms struct {
	*httptest.Server
	mu      sync.Mutex
	asked   []string
	calls   int
	status  func(call int) int
	arrived chan struct{} // told of each call before it is answered
	hold    chan struct{} // answers wait for it
}

func newTMS(t *testing.T) *tms {
	s := &tms{arrived: make(chan struct{}, 1000)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *tms) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var ids []string
	_ = json.NewDecoder(r.Body).Decode(&ids)
	s.mu.Lock()
	s.calls++
	call, hold := s.calls, s.hold
	s.asked = append(s.asked, ids...)
	status := s.status
	s.mu.Unlock()
	select {
	case s.arrived <- struct{}{}:
	default: // a storm; nobody waits for so many
	}
	if hold != nil {
		<-hold
	}
	if status != nil {
		if code := status(call); code != 0 {
			w.WriteHeader(code)
			return
		}
	}
	found := map[string]string{}
	for _, id := range ids {
		if strings.HasPrefix(id, "bad") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if !strings.HasPrefix(id, "gone") {
			found[id] = "body of " + id
		}
	}
	_ = json.NewEncoder(w).Encode(found)
}

func (s *tms) times(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, a := range s.asked {
		if a == id {
			n++
		}
	}
	return n
}

// tmsFetcher is its integration.
type tmsFetcher struct{ integration.Normalizer }

func (tmsFetcher) Batch() int { return 4 }
func (tmsFetcher) Fetch(ctx context.Context, c integration.Caller, object string, ids []string) ([]integration.Fetched, error) {
	body, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	a, err := c.Call(ctx, integration.Request{Method: http.MethodPost, Path: "/" + object, Body: body})
	if err != nil {
		return nil, err
	}
	var found map[string]string
	if err := json.Unmarshal(a.Body, &found); err != nil {
		return nil, err
	}
	out := make([]integration.Fetched, len(ids))
	for i, id := range ids {
		out[i] = integration.Fetched{LocalID: id, Outcome: record.OutcomeAbsent, Detail: "not there"}
		if text, ok := found[id]; ok {
			out[i] = integration.Fetched{LocalID: id, Outcome: record.OutcomePayload, Format: "rest", Payload: []byte(text)}
		}
	}
	return out, nil
}

func (tmsFetcher) Classify(a integration.Answer) error {
	switch {
	case a.Status == http.StatusOK:
		return nil
	case a.Status == http.StatusUnauthorized:
		return &fault.Error{Class: fault.Auth, Code: "http_401"}
	case a.Status >= 500:
		return fault.Retry("http_5xx", 0, nil)
	}
	return fault.Refused("http_400", "", fmt.Errorf("status %d", a.Status))
}

func (tmsFetcher) Fetchable(entityType string) (string, bool) {
	return strings.TrimPrefix(entityType, "sf_"), strings.HasPrefix(entityType, "sf_")
}

type rig struct {
	t       *testing.T
	fetches *postgres.Fetches
	codecs  *schemas.Codecs
	tms     *tms
	notes   *postgres.Deliveries
	polls   *removals // nil: the app announces its removals

	mu     sync.Mutex
	events []record.GatewayEvent
	known  map[record.Key]bool
	states map[record.Key]*record.Replica
}

func newRig(t *testing.T) *rig {
	db, err := postgres.Open(t.Context(), parts.Postgres(t), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := postgres.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	codecs, err := schemas.Open(t.Context(), schemas.NewMemoryRegistry(), record.Topics{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t: t, fetches: db.Fetches(), notes: db.Deliveries(), codecs: codecs, tms: newTMS(t), known: map[record.Key]bool{}}
}

func (r *rig) Send(_ context.Context, events []record.GatewayEvent, _ []kafka.Header) ([]kafka.Position, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, events...)
	return make([]kafka.Position, len(events)), nil
}

func (r *rig) Live(_ context.Context, keys []record.Key) (map[record.Key]bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[record.Key]bool{}
	for _, k := range keys {
		out[k] = r.known[k]
	}
	return out, nil
}

func (r *rig) Replicas(_ context.Context, keys []record.Key) (map[record.Key]*record.Replica, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[record.Key]*record.Replica{}
	for _, k := range keys {
		if state := r.states[k]; state != nil {
			out[k] = state
		}
	}
	return out, nil
}

func (r *rig) Current() *controlplane.Snapshot {
	return controlplane.NewSnapshot(1, time.Now(), []controlplane.Tenant{{ID: "envoy", Slug: "envoy"}},
		[]controlplane.Connection{{Tenant: "envoy", Name: "TMS", App: "tms", BaseURL: r.tms.URL, RemoteAccount: "org"}}, nil, nil)
}

func (r *rig) Authorizer(*controlplane.Connection, *integration.OAuth) httpapi.Authorizer { return nil }

func (r *rig) start(grace time.Duration) *Service {
	r.t.Helper()
	client := httpapi.New(httpapi.Config{Allowed: []string{strings.TrimPrefix(r.tms.URL, "http://")}, Timeout: 10 * time.Second})
	r.t.Cleanup(client.Close)
	s, err := New(Config{Grace: grace, BackoffMin: 5 * time.Millisecond, BackoffMax: 50 * time.Millisecond, Poll: 5 * time.Millisecond}, Deps{
		Fetches: r.fetches, Codecs: r.codecs, Inbox: r, Replicas: r, Snapshots: r, HTTP: client, Credentials: r,
		Integrations: func(app string) (*integration.Integration, bool) {
			i := &integration.Integration{App: "tms", Fetch: tmsFetcher{}, Normalize: tmsFetcher{}}
			if r.polls != nil {
				i.Poll = r.polls
			}
			return i, app == "tms"
		},
		Registerer: prometheus.NewPedanticRegistry(), Log: slog.New(slog.DiscardHandler), Clock: time.Now,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("the service ended with %v", err)
		}
	})
	return s
}

func request(id string, reason record.FetchReason) *record.FetchRequest {
	return &record.FetchRequest{TenantID: "envoy", SourceApp: "tms", RecordID: record.NewID("tms", id), EntityType: "sf_load", Reason: reason, Requested: time.Now()}
}

// ask hands requests in as the topic would.
func (r *rig) ask(s *Service, requests ...*record.FetchRequest) {
	r.t.Helper()
	batch := make([]kafka.Record, len(requests))
	for i, q := range requests {
		value, err := r.codecs.FetchRequest.Append(nil, q)
		if err != nil {
			r.t.Fatal(err)
		}
		batch[i] = kafka.Record{Value: value}
	}
	if err := s.handle(r.t.Context(), batch); err != nil {
		r.t.Fatal(err)
	}
}

// answers waits until so many events are there and nothing is asked for.
func (r *rig) answers(n int) map[string]record.GatewayEvent {
	r.t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		pending, _, err := r.fetches.Pending(context.Background())
		r.mu.Lock()
		got := map[string]record.GatewayEvent{}
		for _, e := range r.events {
			got[e.RecordID.Local()] = e
		}
		total := len(r.events)
		r.mu.Unlock()
		if err == nil && pending == 0 && total >= n {
			if total != n {
				r.t.Errorf("%d answers, want %d: %v", total, n, got)
			}
			return got
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			r.t.Fatalf("%d answers and %d pending (%v), want %d and 0", total, pending, err, n)
		}
	}
}

// idle waits until nothing is asked for.
func (r *rig) idle() {
	r.t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		if pending, _, err := r.fetches.Pending(r.t.Context()); err != nil {
			r.t.Fatal(err)
		} else if pending == 0 {
			return
		}
		<-ticker.C
	}
}

func TestManyRequestsOfOneRecordAreOneFetch(t *testing.T) {
	r := newRig(t)
	s := r.start(time.Millisecond)
	r.start(time.Millisecond)
	const needed = 5000
	requests := make([]*record.FetchRequest, needed)
	for i := range requests {
		requests[i] = request("load", record.FetchMissing)
		requests[i].NeededBy = record.NewID("tms", fmt.Sprint("invoice", i))
	}
	r.ask(s, requests...)
	got := r.answers(1)
	if e := got["load"]; e.Outcome != record.OutcomePayload || string(e.Payload) != "body of load" || e.Origin != record.OriginFetch || e.RecordID != "tms:load" {
		t.Errorf("the answer is %+v", e)
	}
	if n := r.tms.times("load"); n != 1 {
		t.Errorf("the source was asked %d times", n)
	}
}

// While the answer is under way the record is under a lease: another process that
// looks for work finds the next one only.
func TestWhileOneProcessAsksNobodyElseDoes(t *testing.T) {
	r := newRig(t)
	r.tms.hold = make(chan struct{})
	s := r.start(time.Millisecond)
	r.start(time.Millisecond)
	answer := sync.OnceFunc(func() { close(r.tms.hold) })
	t.Cleanup(answer)
	r.ask(s, request("a", record.FetchMissing))
	<-r.tms.arrived
	r.ask(s, request("b", record.FetchMissing))
	<-r.tms.arrived
	if a, b := r.tms.times("a"), r.tms.times("b"); a != 1 || b != 1 {
		t.Fatalf("before any answer the source was asked for a %d times and for b %d times", a, b)
	}
	answer()
	r.answers(2)
	if a, b := r.tms.times("a"), r.tms.times("b"); a != 1 || b != 1 {
		t.Errorf("the source was asked for a %d times and for b %d times", a, b)
	}
}

func TestARecordThatCameByItselfIsNotAskedFor(t *testing.T) {
	r := newRig(t)
	r.known[record.KeyOf("envoy", "tms:here")] = true
	s := r.start(time.Millisecond)
	r.ask(s, request("here", record.FetchMissing))
	r.answers(0)
	if n := r.tms.times("here"); n != 0 {
		t.Errorf("the source was asked %d times", n)
	}
	// Who doubts what is there always asks.
	r.ask(s, request("here", record.FetchTie))
	r.answers(1)
}

func TestAbsentFailedAndFoundAreAnswersOfTheirOwn(t *testing.T) {
	r := newRig(t)
	s := r.start(time.Millisecond)
	odd, deep := request("odd", record.FetchMissing), request("deep", record.FetchMissing)
	odd.EntityType, deep.Depth = "unknown", 9
	r.ask(s, request("gone1", record.FetchMissing), request("bad1", record.FetchMissing), request("a", record.FetchMissing), request("b", record.FetchMissing), odd, deep)
	got := r.answers(6)
	for id, want := range map[string]record.Outcome{
		"gone1": record.OutcomeAbsent, "bad1": record.OutcomeFailed, "a": record.OutcomePayload, "b": record.OutcomePayload, "odd": record.OutcomeFailed, "deep": record.OutcomeFailed,
	} {
		if e := got[id]; e.Outcome != want || (want != record.OutcomePayload && e.Detail == "") {
			t.Errorf("%s: %s %q, want %s", id, e.Outcome, e.Detail, want)
		}
	}
}

// TestAChainOfParentsEndsAtEightSteps with an answer that says so and carries
// the depth on.
func TestAChainOfParentsEndsAtEightSteps(t *testing.T) {
	r := newRig(t)
	s := r.start(time.Millisecond)
	near, far := request("near", record.FetchMissing), request("far", record.FetchMissing)
	near.Depth, far.Depth = 8, 9
	r.ask(s, near, far)
	got := r.answers(2)
	if e := got["near"]; e.Outcome != record.OutcomePayload || e.Depth != 8 {
		t.Errorf("8 steps away: %s, depth %d", e.Outcome, e.Depth)
	}
	if e := got["far"]; e.Outcome != record.OutcomeFailed || e.Depth != 9 || !strings.Contains(e.Detail, "9 steps away") {
		t.Errorf("9 steps away: %s %q, depth %d", e.Outcome, e.Detail, e.Depth)
	}
}

func TestASourceThatFailsIsAskedAgain(t *testing.T) {
	r := newRig(t)
	r.tms.status = func(call int) int {
		switch call {
		case 1, 2, 3, 4, 5, 6, 7:
			return http.StatusServiceUnavailable
		case 8:
			return http.StatusUnauthorized
		}
		return 0
	}
	s := r.start(time.Millisecond)
	r.ask(s, request("a", record.FetchMissing))
	if e := r.answers(1)["a"]; e.Outcome != record.OutcomePayload {
		t.Errorf("the answer is %+v", e)
	}
	messages, err := r.notes.Outbox(t.Context(), 10)
	if err != nil || len(messages) != 1 || messages[0].Kind != postgres.OutboxNotification {
		t.Errorf("outbox %+v, %v; want one notification about the 401", messages, err)
	}
}

func TestARequestDuringTheFetchAsksAgain(t *testing.T) {
	r := newRig(t)
	r.tms.hold = make(chan struct{})
	s := r.start(time.Millisecond)
	r.ask(s, request("a", record.FetchTie))
	<-r.tms.arrived
	// The source may have read before whatever this is about.
	r.ask(s, request("a", record.FetchTie))
	close(r.tms.hold)
	r.idle()
	if n := r.tms.times("a"); n != 2 {
		t.Errorf("the source was asked %d times, want 2", n)
	}
}
