package gateway

import (
	"context"
	"errors"
	"testing"
)

// The sender repeats what was not acknowledged. Nothing of the failed try may make
// the repetition look like a duplicate.
func TestWhatIsRepeatedAfterAFailureIsStored(t *testing.T) {
	b := newBed(t)
	b.inbox.before = func(context.Context) error { return errors.New("the broker is away") }
	if got := b.post(hookPath+"?key="+key, "n1:A one\n"); got.code != 500 || len(b.inbox.all()) != 0 {
		t.Fatalf("with the broker away: %d with %d events stored", got.code, len(b.inbox.all()))
	}
	b.inbox.before = nil
	got := b.post(hookPath+"?key="+key, "n1:A one\n")
	if events := b.inbox.all(); got.code != 200 || len(events) != 1 || string(events[0].Payload) != "n1:A one" {
		t.Errorf("the repetition was answered %d with %+v stored, want the event", got.code, events)
	}
}
