package rig

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// sessionTimeout is the services' Kafka session timeout (DESIGN.md §5): a
// process that is silent for longer has lost its partitions.
const sessionTimeout = 15 * time.Second

// act is one fault of the schedule.
type act struct {
	at     time.Duration // after the start of the load
	fault  string        // F1 … of reliability.md §3
	kind   string        // what faults.go does
	victim string        // a process, where one is hit
	lasts  time.Duration
}

// LeftOut are the faults of reliability.md §3 that are not done, with the
// reason.
func LeftOut(b Broker) map[string]string {
	out := map[string]string{
		"F5 broker disk full":         "needs a file system of its own, which only root can mount",
		"F10 token revoked":           "the drain after re-authorisation is another issue's; one refresh at a time and rotation are tests of services/delivery and pkg/httpapi/token",
		"F11 network partition":       "needs network namespaces, which only root can make; a frozen broker, registry or service (F2, F15) is the silence it makes",
		"F12 clock jumps":             "a process takes the machine's clock; tests inject theirs",
		"F13 compaction under load":   "the embedded broker compacts on request inside its own process only: tests of pkg/stage",
		"F16 replay under load":       "re-sync is another issue's",
		"F17 noisy tenant":            "judged by latency: tests/bench; the row's order under a hot key is tested in services/delivery",
		"F4 one-shot broker errors":   "the broker is another process: random faults of pkg/stage's tests",
		"F8 permanent refusals":       "the record's right end is then a person's: tests/e2e",
		"F18 two versions mixed":      "there is one version yet",
		"waiting and missing parents": "the load has accounts only, no invoices",
	}
	if b.Kind == "given" {
		out["F4 broker kill"] = "the broker was given by address, it is not ours to kill"
		out["F15 registry down"] = "the registry was given by address, it is not ours to stop"
	}
	return out
}

// possible are the faults that can be done to these parts.
func possible(b Broker) []string {
	out := []string{"F1", "F2", "F3", "F6", "F7", "F8", "F9", "F14", "F18"}
	if b.Kind != "given" {
		out = append(out, "F4", "F15")
	}
	return out
}

// schedule lays out the faults. The seed alone decides it, given the
// configuration.
func schedule(cfg *Config) []act {
	rng := rand.New(rand.NewPCG(cfg.Seed, 4))
	want := cfg.Faults
	if want == nil {
		want = possible(cfg.Broker)
	}
	on := func(f string) bool { return slices.Contains(want, f) }
	var out []act
	if on("F2") {
		out = append(out, freezes(cfg, rng)...)
	}
	frozen := out
	if on("F1") {
		out = append(out, kills(cfg, rng, frozen)...)
	}
	out = append(out, partFaults(cfg, rng, on)...)
	if on("F8") {
		out = append(out, act{fault: "F8", kind: "bad days of the destinations", lasts: cfg.Duration})
	}
	if on("F14") {
		const portions = 8
		for i := range portions {
			out = append(out, act{at: cfg.Duration * time.Duration(i+1) / (portions + 2), fault: "F14", kind: "poison"})
		}
	}
	slices.SortStableFunc(out, func(a, b act) int { return cmp.Compare(a.at, b.at) })
	return out
}

func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Int64N(int64(max(high-low, 1))))
}

// kills are F1: every service is hit once in turn, then random ones; two pairs
// at once.
func kills(cfg *Config, rng *rand.Rand, frozen []act) []act {
	var out []act
	turn := rng.Perm(len(services()))
	pairs := []time.Duration{cfg.Duration / 3, cfg.Duration * 2 / 3}
	for at := between(rng, cfg.KillMean/2, cfg.KillMean*3/2); at < cfg.Duration; at += between(rng, cfg.KillMean/2, cfg.KillMean*3/2) {
		n := 1
		if len(pairs) > 0 && at >= pairs[0] {
			pairs, n = pairs[1:], 2
		}
		for range n {
			service := services()[rng.IntN(len(services()))]
			if len(turn) > 0 {
				service, turn = services()[turn[0]], turn[1:]
			}
			victim := service + strconv.Itoa(rng.IntN(cfg.Copies))
			if slices.ContainsFunc(frozen, func(f act) bool { return f.victim == victim && at > f.at-time.Second && at < f.at+f.lasts+time.Second }) {
				// A killed process is not a frozen one: its twin, or nobody.
				if cfg.Copies < 2 {
					continue
				}
				victim = service + "1"
			}
			out = append(out, act{at: at, fault: "F1", kind: "SIGKILL", victim: victim, lasts: between(rng, 50*time.Millisecond, time.Second)})
		}
	}
	return out
}

// freezes are F2, of each service's first process: two at a time in a short
// run, each five times in a long one.
func freezes(cfg *Config, rng *rand.Rand) []act {
	const lasts = sessionTimeout * 3 / 2
	const pause = 8 * time.Second
	turns := min(5*len(services()), int((cfg.Duration-pause)/(lasts+pause))*2)
	var out []act
	at := pause
	for i := 0; i < turns; i += 2 {
		two := rng.Perm(len(services()))[:2]
		for _, n := range two {
			out = append(out, act{at: at, fault: "F2", kind: "SIGSTOP", victim: services()[n] + "0", lasts: lasts})
		}
		at += lasts + pause
	}
	return out
}

// partFaults are those of the parts and the rolling ones, shuffled over the
// run. A run of ten minutes and more has each several times.
func partFaults(cfg *Config, rng *rand.Rand, on func(string) bool) []act {
	times := 1
	if cfg.Duration >= 10*time.Minute {
		times = 3
	}
	length := func(full time.Duration) time.Duration { return min(full, cfg.Duration/8) }
	var out []act
	add := func(fault, kind, victim string, n int, lasts time.Duration) {
		for range n {
			if on(fault) {
				out = append(out, act{fault: fault, kind: kind, victim: victim, lasts: lasts})
			}
		}
	}
	add("F3", "rebalance storm", []string{"replica", "normalizer", "router"}[rng.IntN(3)], 1, length(time.Minute))
	// Five kills in a long run, over all nodes in turn.
	nodes := max(cfg.Broker.Nodes, 1)
	for i := range max(2*times-1, min(nodes, 3)) {
		add("F4", "broker SIGKILL", strconv.Itoa(i%nodes+1), 1, length(3*time.Second))
	}
	add("F6", "FLUSHALL", "redis", times, 0)
	add("F6", "Redis down", "redis", 1, length(30*time.Second))
	add("F6", "older Redis dump", "redis", 1, length(time.Minute))
	add("F7", "PostgreSQL immediate stop", "postgres", times, length(2*time.Second))
	add("F9", "destination dead", strconv.Itoa(rng.IntN(cfg.Tenants)), 1, length(5*time.Minute))
	add("F15", "registry down", "registry", 1, length(30*time.Second))
	add("F18", "rolling SIGTERM", "", 1, 0)
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	slot := cfg.Duration * 8 / 10 / time.Duration(max(len(out), 1))
	for i := range out {
		out[i].at = cfg.Duration/20 + slot*time.Duration(i) + between(rng, 0, slot/2)
	}
	return out
}
