package torture_test

import (
	"testing"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// TestAHotRecordHasItsStatesInOrder: its truth is the last of them, and all are
// sent.
func TestAHotRecordHasItsStatesInOrder(t *testing.T) {
	plan := torture.NewPlan(3, []torture.Tenant{{ID: "one"}, {ID: "two"}}, torture.Size{Records: 40, DeleteShare: 0.05, TieShare: 0.1, PartialShare: 0.1})
	const states = 300
	i := plan.Heat(1, states)
	if i < 0 {
		t.Fatal("no record of tenant two can be hot")
	}
	r := &plan.Records[i]
	if r.Tenant != 1 || len(r.Edits) != states || r.Edits[states-1].Rank != states {
		t.Fatalf("record %d of tenant %d has %d edits, the last is r%d", i, r.Tenant, len(r.Edits), r.Edits[len(r.Edits)-1].Rank)
	}
	for n := 1; n < states; n++ {
		if !r.Edits[n].Stamp.After(r.Edits[n-1].Stamp) {
			t.Errorf("r%d is not newer than r%d", r.Edits[n].Rank, r.Edits[n-1].Rank)
		}
	}
	if m, ok := torture.ParseMarker(r.Truth.Name); !ok || m.Record != i || m.Rank != states {
		t.Errorf("the truth is %q", r.Truth.Name)
	}
	messages, err := plan.Messages()
	if err != nil {
		t.Fatal(err)
	}
	sent := map[int]bool{}
	for _, m := range messages {
		for _, e := range m.Edits {
			if e.Record == i {
				sent[e.Rank] = true
			}
		}
	}
	if len(sent) != states {
		t.Errorf("%d states are sent", len(sent))
	}
}
