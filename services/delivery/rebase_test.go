package delivery

import (
	"context"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/postgres"
)

// behind is a destination whose first read shows an older state than the second.
type behind struct {
	integration.Deliverer
	reads, merged []string
}

func (b *behind) Latest(context.Context, integration.Caller, integration.Operation) (*integration.Remote, error) {
	shows := b.reads[0]
	b.reads = b.reads[1:]
	return &integration.Remote{Body: []byte(shows)}, nil
}

func (b *behind) Merge(op integration.Operation, theirs integration.Remote) ([]byte, []string, error) {
	b.merged = append(b.merged, string(op.Payload))
	return theirs.Body, nil, nil
}

// TestEachLookIsMergedWithWhatTheRowWants: an older state that one read showed
// does not come back as ours.
func TestEachLookIsMergedWithWhatTheRowWants(t *testing.T) {
	d := &behind{reads: []string{"older", "newest"}}
	a := &attempt{s: &Service{}, row: &postgres.Row{Payload: []byte("wanted")}, deliver: d}
	a.op.Payload = a.row.Payload
	for range 2 {
		if err := a.rebase(t.Context(), fault.New(fault.Conflict, "stale", "another version")); err != nil {
			t.Fatal(err)
		}
	}
	for _, got := range d.merged {
		if got != "wanted" {
			t.Errorf("merged %q with what was read, want what the row wants", d.merged)
		}
	}
}
