package rig

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture"
)

func config(seed uint64, d, mean time.Duration) Config {
	return Config{Broker: Broker{Kind: "embedded"}, Seed: seed, Tenants: 4, Copies: 2, Duration: d, KillMean: mean, Log: slog.New(slog.DiscardHandler)}
}

func TestOneScheduleForOneSeed(t *testing.T) {
	a, b, c := config(1, time.Minute, 3*time.Second), config(1, time.Minute, 3*time.Second), config(2, time.Minute, 3*time.Second)
	if !slices.Equal(schedule(&a), schedule(&b)) {
		t.Error("one seed laid out two schedules")
	}
	if slices.Equal(schedule(&a), schedule(&c)) {
		t.Error("two seeds laid out one schedule")
	}
}

// TestTheSmallRunIsNotTooSmall: what the test suite promises, for any seed.
func TestTheSmallRunIsNotTooSmall(t *testing.T) {
	for seed := range uint64(200) {
		cfg := config(seed, time.Minute, 3*time.Second)
		kills, seen := map[string]int{}, map[string]bool{}
		for _, a := range schedule(&cfg) {
			seen[a.fault] = true
			if a.at > cfg.Duration {
				t.Errorf("seed %d: %s %s begins after the load", seed, a.fault, a.kind)
			}
			if a.fault == "F1" {
				kills[strings.TrimRight(a.victim, "0123456789")]++
			}
		}
		sum := 0
		for _, name := range services() {
			sum += kills[name]
			if kills[name] == 0 {
				t.Errorf("seed %d: no kill of %s", seed, name)
			}
		}
		if sum < 15 {
			t.Errorf("seed %d: %d kills, want 15 or more", seed, sum)
		}
		for _, f := range possible(cfg.Broker) {
			if !seen[f] {
				t.Errorf("seed %d: no %s", seed, f)
			}
		}
	}
}

// TestTheLongRunIsLongEnough: by hand, at least 40 kills of each service.
func TestTheLongRunIsLongEnough(t *testing.T) {
	cfg := config(7, 24*time.Minute, 4500*time.Millisecond)
	kills := map[string]int{}
	for _, a := range schedule(&cfg) {
		if a.fault == "F1" {
			kills[strings.TrimRight(a.victim, "0123456789")]++
		}
	}
	for _, name := range services() {
		if kills[name] < 40 {
			t.Errorf("%d kills of %s", kills[name], name)
		}
	}
}

func TestThePictureShowsLoadWritesAndFaults(t *testing.T) {
	plan := torture.NewPlan(1, []torture.Tenant{{ID: "one", Realm: "1", Portal: "2"}}, torture.Size{Records: 1})
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ev := torture.Evidence{
		Plan: plan,
		Intents: []torture.Intent{
			{At: start, Event: torture.Sent, Edits: []string{"0:1"}},
			{At: start.Add(time.Second), Event: torture.Acked, Edits: []string{"0:1"}},
		},
		Ledger: []torture.Line{{Time: start.Add(3500 * time.Millisecond), App: "quickbooks", Object: "Vendor", Applied: true, Marker: "one Carrier 000000 r1"}},
	}
	line := newTimeline(ev, start)
	if len(line) != 4 || line[1].Acked != 1 || line[3].Applied != 1 || line[3].Median != 3500*time.Millisecond {
		t.Fatalf("timeline %+v", line)
	}
	svg := line.SVG(start, []torture.Deed{{At: start.Add(2 * time.Second), What: "F6 FLUSHALL <x>", Victim: "redis"}})
	for _, want := range []string{"<svg", "F6 FLUSHALL &lt;x&gt; redis", "throughput", "</svg>"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the picture lacks %q", want)
		}
	}
}
