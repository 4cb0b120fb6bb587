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
		"F10 kill between token reply and commit": "crash points token-answered and token-stored",
		"F13 compaction each second":              "a real broker compacts when it thinks fit; the embedded one compacts past its last stable offset: what an open transaction wrote removes the state before it, and when that transaction is aborted neither is left (seen)",
		"F12 clock jumps":                         "a process takes the machine's clock, and Linux gives no process another one; tests inject theirs",
		"F16 replay under load":                   "re-sync is another issue's",
		"F4 one-shot broker errors":               "the broker is another process: random faults of pkg/stage's tests",
		"F8 permanent refusals":                   "the record's right end is then a person's: tests/e2e",
		"F18 two versions mixed":                  "there is one version yet",
	}
	switch {
	case b.Kind == "embedded":
		out["F5 broker disk full"] = "the embedded broker forgets an abort whose marker the disk has no room for, and shows what was aborted as committed (seen: three of nine runs of F1 and F5 were wrong, by states that stand twice in a stage's topic, and its log names the markers that it could not write there); a real broker is filled up"
	case !b.Disk:
		out["F5 broker disk full"] = "needs a file system of its own for the broker, which only root can mount, and not for one given by address"
	}
	if b.Kind == "given" {
		out["F4 broker kill"] = "the broker was given by address, it is not ours to kill"
		out["F11 network lost at the broker"] = "the broker was given by address, nothing of ours stands before it"
		out["F15 registry down"] = "the registry was given by address, it is not ours to stop"
	}
	return out
}

// possible are the faults that can be done to these parts.
func possible(b Broker) []string {
	out := []string{"F1", "F2", "F3", "F6", "F7", "F8", "F9", "F10", "F11", "F13", "F14", "F17", "F18"}
	if b.Kind != "given" {
		out = append(out, "F4", "F15")
	}
	if b.Disk && b.Kind != "embedded" {
		out = append(out, "F5")
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
	if on("F17") {
		at := cfg.Duration * 6 / 10
		out = append(out, act{at: at, fault: "F17", kind: "flood", victim: "tenant " + strconv.Itoa(noisy(cfg.Tenants)+1), lasts: (cfg.Duration - at) / floodFactor})
	}
	if on("F8") {
		out = append(out, act{fault: "F8", kind: "bad days of the destinations", lasts: cfg.Duration})
	}
	if on("F14") {
		const portions = 8
		for i := range portions {
			out = append(out, act{at: cfg.Duration * time.Duration(i+1) / (portions + 2), fault: "F14", kind: "poison"})
		}
	}
	for _, p := range cfg.provoked() {
		if p.acts != nil {
			out = append(out, p.acts(cfg)...)
		}
	}
	slices.SortStableFunc(out, func(a, b act) int { return cmp.Compare(a.at, b.at) })
	return out
}

func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Int64N(int64(max(high-low, 1))))
}

// kills are F1: in each round every service is hit once, in an order of the
// round's own; two pairs at once.
func kills(cfg *Config, rng *rand.Rand, frozen []act) []act {
	var out []act
	var turn []int
	pairs := []time.Duration{cfg.Duration / 3, cfg.Duration * 2 / 3}
	for at := between(rng, cfg.KillMean/2, cfg.KillMean*3/2); at < cfg.Duration; at += between(rng, cfg.KillMean/2, cfg.KillMean*3/2) {
		n := 1
		if len(pairs) > 0 && at >= pairs[0] {
			pairs, n = pairs[1:], 2
		}
		for range n {
			if len(turn) == 0 {
				turn = rng.Perm(len(services()))
			}
			service := services()[turn[0]]
			turn = turn[1:]
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
	add("F5", "broker disk full", "broker", 1, length(20*time.Second))
	// The tenants whose destination is dead and whose tokens are revoked are
	// different ones, and none is F17's, which is silent after its flood.
	quiet := max(cfg.Tenants-1, 1)
	first := rng.IntN(quiet)
	add("F9", "destination dead", strconv.Itoa(first), 1, length(5*time.Minute))
	for i := range min(times, quiet-1) {
		add("F10", "tokens revoked", strconv.Itoa((first+1+i)%quiet), 1, length(30*time.Second))
	}
	add("F10", "all tokens expired", "", times, 0)
	for _, part := range cutParts(cfg, rng, times) {
		add("F11", "network lost", part+[]string{" there", " back"}[rng.IntN(2)], 1, length(10*time.Second))
	}
	add("F13", "one tenth of its speed", "replica"+strconv.Itoa(cfg.Copies-1), 1, length(time.Minute))
	add("F15", "registry down", "registry", 1, length(30*time.Second))
	add("F18", "rolling SIGTERM", "", 1, 0)
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	slot := cfg.Duration * 8 / 10 / time.Duration(max(len(out), 1))
	for i := range out {
		out[i].at = cfg.Duration/20 + slot*time.Duration(i) + between(rng, 0, slot/2)
	}
	return out
}

// cutParts are what F11 cuts off: two parts in a short run, each in a long one.
func cutParts(cfg *Config, rng *rand.Rand, times int) []string {
	parts := []string{"broker", "postgres", "destinations"}
	if cfg.Broker.Kind == "given" {
		parts = parts[1:]
	}
	rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	if times == 1 {
		return parts[:2]
	}
	return append(parts, parts...)
}
