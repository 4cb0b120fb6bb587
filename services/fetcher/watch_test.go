package fetcher

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// removals is what an app tells of removed records.
type removals struct {
	mu      sync.Mutex
	gone    []string
	changed []string
	since   []time.Time
	err     error
}

func (*removals) Polled() []string { return []string{"load"} }

func (p *removals) Gone(_ context.Context, _ integration.Caller, _ string, since, until time.Time) (integration.Gone, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since = append(p.since, since)
	gone := integration.Gone{Changed: p.changed, Covered: until}
	for _, id := range p.gone {
		gone.Records = append(gone.Records, integration.Fetched{LocalID: id, Outcome: record.OutcomePayload, Format: "rest", Payload: []byte("deleted")})
	}
	return gone, p.err
}

// polled asks for a poll and waits for its end.
func (r *rig) polled() (found int, code string) {
	r.t.Helper()
	seq, err := r.fetches.AskPoll(r.t.Context(), "envoy", "tms", "TMS")
	if err != nil {
		r.t.Fatal(err)
	}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		state, err := r.fetches.Polled(r.t.Context(), "envoy", "TMS")
		if err != nil {
			r.t.Fatal(err)
		}
		if state.Done >= seq {
			return state.Found, state.Code
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			r.t.Fatalf("request %d is not answered: %+v", seq, state)
		}
	}
}

// told waits until there is an event of each record, and returns the last ones.
func (r *rig) told(ids ...string) map[string]record.GatewayEvent {
	r.t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		r.mu.Lock()
		got := map[string]record.GatewayEvent{}
		for _, e := range r.events {
			got[e.RecordID.Local()] = e
		}
		r.mu.Unlock()
		if !slices.ContainsFunc(ids, func(id string) bool { _, ok := got[id]; return !ok }) {
			return got
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			r.t.Fatalf("events of %v, want of %v", got, ids)
		}
	}
}

func TestRemovalsAreToldAndTheCursorIsKept(t *testing.T) {
	r := newRig(t)
	r.polls = &removals{gone: []string{"known", "stranger", "buried"}, changed: []string{"winner"}}
	state := func(id string, p record.Presence) *record.Replica {
		return &record.Replica{TenantID: "envoy", SourceApp: "tms", RecordID: record.NewID("tms", id), EntityType: "sf_load", Presence: p}
	}
	r.states = map[record.Key]*record.Replica{}
	for _, s := range []*record.Replica{state("known", record.PresenceLive), state("buried", record.PresenceDeleted), state("winner", record.PresenceLive)} {
		r.states[s.Key()] = s
	}
	r.start(time.Millisecond)
	r.start(time.Millisecond)
	// The look at the start and the one asked for may follow each other before
	// anybody stored what the first one found: then it is told again, and a
	// record that nobody knows is told at the second.
	if found, code := r.polled(); found > 2 || code != "" {
		t.Errorf("%d removals, code %q", found, code)
	}
	got := r.told("known", "winner") // the removal, and the winner of the merge fetched again
	if string(got["known"].Payload) != "deleted" || got["winner"].Outcome != record.OutcomePayload {
		t.Errorf("events %v", got)
	}
	r.mu.Lock()
	r.states[state("known", "").Key()].Presence = record.PresenceDeleted
	r.mu.Unlock()
	r.polls.mu.Lock()
	r.polls.changed = nil
	r.polls.mu.Unlock()
	// A record nobody knows may have an older event on its way.
	if found, _ := r.polled(); found != 1 {
		t.Errorf("%d removals, want the one of a record that nobody knows", found)
	}
	r.polls.mu.Lock()
	defer r.polls.mu.Unlock()
	first, last := r.polls.since[0], r.polls.since[len(r.polls.since)-1]
	if age := time.Since(first); age < firstLook {
		t.Errorf("the first look goes %s back", age)
	}
	if age := time.Since(last); age < overlap || age > overlap+time.Minute {
		t.Errorf("the last look goes %s back, want the overlap of %s", age, overlap)
	}
	if slices.ContainsFunc(r.polls.since[1:], func(s time.Time) bool { return time.Since(s) > firstLook }) {
		t.Errorf("the cursor is not kept: %v", r.polls.since)
	}
}

// TestADeadCredentialStopsTheClockOfItsSourceOnly, is told once, and whatever
// it held up is asked for as soon as the source answers.
func TestADeadCredentialStopsTheClockOfItsSourceOnly(t *testing.T) {
	r := newRig(t)
	r.polls = &removals{err: &fault.Error{Class: fault.Auth, Code: "http_401"}}
	r.tms.status = func(int) int { return http.StatusUnauthorized }
	s := r.start(time.Millisecond)
	r.ask(s, request("a", record.FetchMissing))
	if _, code := r.polled(); code != "http_401" {
		t.Errorf("the poll ended with %q", code)
	}
	blocks, err := r.fetches.Blocks(t.Context())
	if err != nil || len(blocks) != 1 || !blocks[0].Until.IsZero() || blocks[0].Tenant != "envoy" || blocks[0].App != "tms" {
		t.Fatalf("blocks %+v, %v", blocks, err)
	}
	r.tms.mu.Lock()
	r.tms.status = nil
	r.tms.mu.Unlock()
	r.polls.mu.Lock()
	r.polls.err = nil
	r.polls.mu.Unlock()
	if _, code := r.polled(); code != "" {
		t.Errorf("the poll ended with %q", code)
	}
	if e := r.answers(1)["a"]; e.Outcome != record.OutcomePayload {
		t.Errorf("the answer is %+v", e)
	}
	if blocks, err = r.fetches.Blocks(t.Context()); err != nil || len(blocks) == 0 || slices.ContainsFunc(blocks, func(b postgres.Block) bool { return b.Until.IsZero() }) {
		t.Errorf("blocks %+v, %v; want none that lasts", blocks, err)
	}
	messages, err := r.notes.Outbox(t.Context(), 10)
	if err != nil || len(messages) != 1 {
		t.Errorf("support was told %d times, %v", len(messages), err)
	}
}
