package stage

import (
	"context"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// rounds asks for one key after the other, the next when the last was found.
type rounds struct {
	keys  []record.Key
	asked int
}

func (r *rounds) Lookups(found Views) []Lookup {
	if r.asked > 0 && found.Get("sums", r.keys[r.asked-1]) == nil || r.asked == len(r.keys) {
		return nil
	}
	r.asked++
	return []Lookup{{View: "sums", Key: r.keys[r.asked-1]}}
}

func (r *rounds) Compute(context.Context, Views) (Result, error) { return Result{}, nil }

func TestAStageAsksOnWhereAllWasInMemory(t *testing.T) {
	m := &member{Runner: &Runner{cfg: Config{Name: "sums", ChangelogView: "sums"}}, recent: newRecent()}
	w := &rounds{keys: []record.Key{"t/a:1", "t/a:2", "t/a:3"}}
	for _, k := range w.keys {
		m.recent.put(k, []byte(k))
	}
	found, err := m.lookUp(t.Context(), w, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range w.keys {
		if got := found.Get("sums", k); string(got) != string(k) {
			t.Errorf("%s was answered with %q after %d questions", k, got, w.asked)
		}
	}
}
