package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// resumeLimit is the promise: a killed stage goes on within this time of its
// restart.
const resumeLimit = 5 * time.Second

// killStages kills one victim after the other, each as soon as the last one has
// worked for a few seconds, until ctx ends. It returns how long each needed from
// its start to its first settled batch; there is work all the time.
func killStages(ctx context.Context, n *torture.Nemesis, victims ...*process) ([]time.Duration, error) {
	var took []time.Duration
	for i := 0; ; i++ {
		if err := n.Rest(ctx, n.Between(time.Second, 4*time.Second)); err != nil {
			return took, nil //nolint:nilerr // the storm is over
		}
		v := victims[i%len(victims)]
		if err := n.Kill(context.WithoutCancel(ctx), v.victim(), 100*time.Millisecond); err != nil {
			return took, err
		}
		started := n.Deeds[len(n.Deeds)-1].At
		settled, err := v.settledAfter(ctx, started)
		if err != nil {
			return took, err
		}
		if settled.IsZero() {
			return took, nil // the work ran out
		}
		took = append(took, settled.Sub(started))
	}
}

// settledAfter waits for the first record that a stage settles after a time, by
// its log; the zero time if ctx ends first.
func (p *process) settledAfter(ctx context.Context, began time.Time) (time.Time, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		log, err := os.ReadFile(p.log)
		if err != nil {
			return time.Time{}, err
		}
		// The newest lines are the interesting ones; logs get long.
		var first time.Time
		for len(log) > 0 {
			cut := bytes.LastIndexByte(log[:len(log)-1], '\n') + 1
			var line struct {
				Time time.Time
				Msg  string
			}
			// A killed process may have left half a line.
			if json.Unmarshal(log[cut:], &line) == nil {
				if line.Time.Before(began) {
					break
				}
				if line.Msg == "record.settled" {
					first = line.Time
				}
			}
			log = log[:cut]
		}
		if !first.IsZero() {
			return first, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Time{}, nil
		case <-deadline.C:
			return time.Time{}, fmt.Errorf("%s settled nothing within %s of its restart:\n%s", p.name, patience, tail(p.log, 5))
		}
	}
}

func judgeResumes(t testing.TB, took []time.Duration) {
	t.Helper()
	if len(took) < 2 { // each victim once, however slow the machine
		t.Errorf("only %d restarts were seen to go on", len(took))
		return
	}
	slices.Sort(took)
	t.Logf("%d restarts, from start to the first settled batch: median %s, longest %s; all: %v",
		len(took), took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond), rounded(took))
	if longest := took[len(took)-1]; longest > resumeLimit {
		t.Errorf("a restarted stage went on after %s, want %s at most", longest.Round(time.Millisecond), resumeLimit)
	}
}

func rounded(all []time.Duration) []time.Duration {
	out := make([]time.Duration, len(all))
	for i, d := range all {
		out[i] = d.Round(time.Millisecond)
	}
	return out
}
