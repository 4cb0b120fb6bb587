package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// rig is one installation beside its bare chain, and the ends of both.
type rig struct {
	p         *platform
	c         *chain
	source    *source
	out, bare *sink
	versions  int // of the accounts, so that every sample changes them
	progress  func(format string, args ...any)
}

// newRig starts the baseline with that many hops.
func newRig(ctx context.Context, p *platform, hops int, progress func(string, ...any)) (r *rig, err error) {
	r = &rig{p: p, progress: progress}
	if r.c, err = startChain(ctx, p, hops); err != nil {
		return nil, err
	}
	if r.source, err = newSource(p.cluster.Brokers); err != nil {
		return nil, err
	}
	if r.out, err = newSink(ctx, p.cluster.Brokers, p.kafka.Partitions, p.outbound()...); err != nil {
		return nil, err
	}
	r.bare, err = newSink(ctx, p.cluster.Brokers, p.kafka.Partitions, r.c.out...)
	return r, err
}

func (r *rig) close() {
	if r.source != nil {
		r.source.cl.Close()
	}
	for _, s := range []*sink{r.out, r.bare} {
		if s != nil {
			s.cl.Close()
		}
	}
	r.c.close()
}

// webhooks measures the gateway against the bare handler. The stages of neither
// side may run: they would be measured along.
func (r *rig) webhooks(ctx context.Context, pairs int, soap bool, d time.Duration) (*result, error) {
	const conns, distinct = 64, 5000
	kind := "1.5 KB JSON, signed"
	if soap {
		kind = "SOAP outbound message"
	}
	res := &result{Name: "gateway, " + kind + ", c=64", On: r.p.cluster.Name, Unit: "requests/s"}
	r.versions++
	hs, err := hooks(distinct, 0, r.versions, soap, time.Now())
	if err != nil {
		return nil, err
	}
	subject, bare := make([][]byte, len(hs)), make([][]byte, len(hs))
	for i := range hs {
		subject[i] = hs[i].request(r.p.listen, hs[i].path)
		bare[i] = hs[i].request(r.c.listen, "/")
	}
	res.Notes = append(res.Notes, fmt.Sprintf("body of %d bytes, %d distinct records", len(hs[0].body), distinct))
	for i := range pairs + 1 {
		h := look(ctx)
		b0 := r.c.handler.cpu()
		b, err := hammer(ctx, r.c.listen, bare, conns, d)
		if err != nil {
			return nil, fmt.Errorf("bare handler: %w", err)
		}
		b1, s0 := r.c.handler.cpu(), r.p.gateway.cpu()
		s, err := hammer(ctx, r.p.listen, subject, conns, d)
		if err != nil {
			return nil, fmt.Errorf("gateway: %w", err)
		}
		s1 := r.p.gateway.cpu()
		if i == 0 {
			continue // the first pair warms up
		}
		n := func(rate float64) float64 { return rate * d.Seconds() }
		res.Samples = append(res.Samples, sample{
			Subject: s.PerSecond, Bare: b.PerSecond, Ratio: s.PerSecond / b.PerSecond, Host: h,
			Note: fmt.Sprintf("p50/p99 %.1f/%.1f ms, bare %.1f/%.1f; own CPU %.0f µs a request, bare %.0f",
				milliseconds(s.P50), milliseconds(s.P99), milliseconds(b.P50), milliseconds(b.P99),
				micros(s1-s0)/n(s.PerSecond), micros(b1-b0)/n(b.PerSecond)),
		})
		r.progress("%s, %s: %.0f/s, bare %.0f/s\n", res.Name, res.On, s.PerSecond, b.PerSecond)
	}
	res.finish(func(r *result) []goal { return []goal{atLeast("ratio", r.Ratio, 0.80)} })
	return res, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// flow sends n accounts through the pipeline and reports how long it took from
// the first record written to the last command read, and what the stages used.
func (r *rig) flow(ctx context.Context, n, first int) (took, cpu time.Duration, err error) {
	r.versions++
	return r.flowOf(ctx, 1, n, first)
}

// flowOf is a flow of the accounts of several tenants in turn.
func (r *rig) flowOf(ctx context.Context, tenants, n, first int) (took, cpu time.Duration, err error) {
	ms, err := accounts(r.p.codecs, tenants, n, first, r.versions)
	if err != nil {
		return 0, 0, err
	}
	return r.through(ctx, ms, r.p.kafka.Topics().Gateway(), r.out, n*len(destinations()), r.p.stages)
}

func (r *rig) bareFlow(ctx context.Context, n, first int) (took, cpu time.Duration, err error) {
	ms, err := accounts(r.p.codecs, 1, n, first, r.versions)
	if err != nil {
		return 0, 0, err
	}
	return r.through(ctx, ms, r.c.topics[0], r.bare, n*len(r.c.out), r.c.copies)
}

func (r *rig) through(ctx context.Context, ms []message, topic string, end *sink, want int, ps []*process) (took, cpu time.Duration, err error) {
	runtime.GC() // what making the messages left behind is nobody's work in the run
	before := cpuOf(ps)
	began := time.Now()
	arrived := make(chan error, 1)
	go func() { arrived <- end.await(ctx, want, nil) }()
	if err := r.source.fill(ctx, topic, ms); err != nil {
		return 0, 0, err
	}
	if err := <-arrived; err != nil {
		return 0, 0, err
	}
	return time.Since(began), cpuOf(ps) - before, nil
}

// pipeline measures the three stages against three bare copies.
func (r *rig) pipeline(ctx context.Context, pairs, n int) (*result, error) {
	ratio, rate := 0.30, 10_000.0
	if r.p.cluster.Name == kafkaName {
		ratio, rate = 0.25, 8_000
	}
	return r.flows(ctx, fmt.Sprintf("pipeline, gateway topic → outbound topics, %d records", n), pairs, n, func(r *result) []goal {
		return []goal{atLeast("ratio", r.Ratio, ratio), atLeast("records/s", r.Subject, rate)}
	})
}

// burst is the pipeline with a quarter of the records. The bare chain is through
// with them in a third of a second, and on Kafka gets less out of it than out of
// a longer run; the pipeline makes the same of both.
func (r *rig) burst(ctx context.Context, pairs int) (*result, error) {
	const n = 50_000
	return r.flows(ctx, fmt.Sprintf("pipeline, a burst of %d records", n), pairs, n, nil)
}

func (r *rig) flows(ctx context.Context, name string, pairs, n int, goals func(*result) []goal) (*result, error) {
	res := &result{Name: name, On: r.p.cluster.Name, Unit: "records/s"}
	for i := range pairs + 1 {
		h := look(ctx)
		bt, bc, err := r.bareFlow(ctx, n, 0)
		if err != nil {
			return nil, fmt.Errorf("bare chain: %w", err)
		}
		st, sc, err := r.flow(ctx, n, 0)
		if err != nil {
			return nil, fmt.Errorf("pipeline: %w", err)
		}
		s, b := float64(n)/st.Seconds(), float64(n)/bt.Seconds()
		r.progress("%s, %s: %.0f/s, bare %.0f/s\n", res.Name, res.On, s, b)
		if i == 0 {
			continue // every record is new in the first turn, which also warms up
		}
		res.Samples = append(res.Samples, sample{
			Subject: s, Bare: b, Ratio: s / b, Host: h,
			Note: fmt.Sprintf("took %.1f s, bare %.1f; CPU %.0f µs a record, bare %.0f", st.Seconds(), bt.Seconds(), micros(sc)/float64(n), micros(bc)/float64(n)),
		})
	}
	res.finish(goals)
	res.Notes = append(res.Notes, fmt.Sprintf("each record becomes %d messages, on both sides; exactly once, commit interval %s on both sides, %d partitions; the clock runs from the first record written to the last command read",
		len(destinations()), commitInterval, partitions))
	return res, nil
}

// latencyRate is the rate at which the latency has a goal.
const latencyRate = 1000

// latency measures from the moment a webhook is due to its command.
func (r *rig) latency(ctx context.Context, pairs, perSecond int, d time.Duration) (*result, error) {
	res := &result{Name: fmt.Sprintf("webhook → outbound command at %d records/s, p99", perSecond), On: r.p.cluster.Name, Unit: "ms"}
	n := int(d.Seconds() * float64(perSecond))
	for i := range pairs + 1 {
		h := look(ctx)
		r.versions++
		hs, err := hooks(n, 0, r.versions, false, time.Now())
		if err != nil {
			return nil, err
		}
		bare, err := r.paced(ctx, hs, r.c.listen, true, r.bare, len(r.c.out), perSecond)
		if err != nil {
			return nil, fmt.Errorf("bare chain: %w", err)
		}
		subject, err := r.paced(ctx, hs, r.p.listen, false, r.out, len(destinations()), perSecond)
		if err != nil {
			return nil, fmt.Errorf("pipeline: %w", err)
		}
		s, b := milliseconds(percentile(subject, 0.99)), milliseconds(percentile(bare, 0.99))
		r.progress("%s, %s: %.1f ms, bare %.1f ms\n", res.Name, res.On, s, b)
		if i == 0 {
			continue
		}
		res.Samples = append(res.Samples, sample{
			Subject: s, Bare: b, Ratio: s / b, Host: h,
			Note: fmt.Sprintf("p50 %.1f, p90 %.1f, max %.1f; bare %.1f, %.1f, %.1f",
				milliseconds(percentile(subject, 0.5)), milliseconds(percentile(subject, 0.9)), milliseconds(percentile(subject, 1)),
				milliseconds(percentile(bare, 0.5)), milliseconds(percentile(bare, 0.9)), milliseconds(percentile(bare, 1))),
		})
	}
	res.finish(func(res *result) []goal {
		if perSecond != latencyRate {
			return nil
		}
		goals := []goal{atMost("p99 over the bare chain's", res.Ratio, 2)}
		if r.p.cluster.Name == embeddedName {
			goals = append(goals, atMost("p99 in ms", res.Subject, 60))
		}
		return goals
	})
	res.Notes = append(res.Notes, "counted from the moment the request was due, whether or not it could be sent then; every command of a record counts")
	return res, nil
}

func (r *rig) paced(ctx context.Context, hs []hook, address string, bare bool, end *sink, fan, perSecond int) ([]time.Duration, error) {
	requests := make([][]byte, len(hs))
	index := make(map[string]int, len(hs))
	for i := range hs {
		path := hs[i].path
		if bare {
			path = "/"
		}
		requests[i], index[hs[i].key] = hs[i].request(address, path), i
	}
	start := time.Now().Add(100 * time.Millisecond)
	took := make([]time.Duration, 0, len(hs)*fan)
	arrived := make(chan error, 1)
	go func() {
		arrived <- end.await(ctx, len(hs)*fan, func(rec *kgo.Record) {
			if i, ok := index[string(rec.Key)]; ok {
				took = append(took, time.Since(due(start, i, perSecond)))
			}
		})
	}()
	if err := pace(ctx, address, requests, start, perSecond); err != nil {
		return nil, err
	}
	if err := <-arrived; err != nil {
		return nil, err
	}
	return took, nil
}
