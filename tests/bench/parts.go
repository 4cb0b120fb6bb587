package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/pkg/embedded"
)

// deliveryRows runs the benchmarks that live beside the code they measure: they
// need a destination and rows of their own, and know the limit themselves.
func deliveryRows(ctx context.Context, postgresURL string, count, rows int, progress func(string, ...any)) ([]*result, error) {
	const on = "PostgreSQL, fsync on"
	deliveries := &result{Name: "delivery, 50 ms destination, 256 in flight", On: on, Unit: "deliveries/s"}
	limit := 256 / 0.050
	h := look(ctx)
	runs, err := goBench(ctx, postgresURL, "./services/delivery", "^BenchmarkDelivery$", count, rows)
	if err != nil {
		return nil, err
	}
	var commits []float64
	for _, r := range runs {
		deliveries.Samples = append(deliveries.Samples, sample{
			Subject: r["rows/s"], Bare: limit, Ratio: r["rows/s"] / limit, Host: h,
			Note: fmt.Sprintf("a commit has %.0f rows claimed, %.0f stored, %.0f finished; a call takes %.1f ms; own CPU %.0f µs a delivery",
				r["rows/claim"], r["rows/store"], r["rows/finish"], 1000*r["s/call"], r["µs-CPU/row"]),
		})
		commits = append(commits, min(r["rows/claim"], r["rows/store"], r["rows/finish"]))
		progress("%s: %.0f/s of %.0f/s\n", deliveries.Name, r["rows/s"], limit)
	}
	deliveries.finish(func(r *result) []goal {
		return []goal{atLeast("of 256/50 ms", r.Ratio, 0.90), atLeast("rows a commit", median(commits), 50)}
	})
	deliveries.Notes = append(deliveries.Notes, fmt.Sprintf("bare = 256/50 ms; %d updates a sample, of which the first and the last tenth are not counted: then the window opens, and the slots run empty; "+
		"the destination is a process of its own that speaks just enough HTTP and checks that no record's update comes twice or out of order; go test -bench BenchmarkDelivery$ ./services/delivery", rows))

	h = look(ctx)
	if runs, err = goBench(ctx, postgresURL, "./pkg/postgres", "^BenchmarkDeliveryCycle$/^batch_100$", count, rows); err != nil {
		return nil, err
	}
	cycle := &result{Name: "delivery rows, upsert → claim → request → done → result, batches of 100", On: on, Unit: "rows/s"}
	for _, r := range runs {
		cycle.Samples = append(cycle.Samples, sample{Subject: r["rows/s"], Host: h})
		progress("%s: %.0f/s\n", cycle.Name, r["rows/s"])
	}
	cycle.finish(func(r *result) []goal { return []goal{atLeast("rows/s", r.Subject, 10_000)} })
	cycle.Notes = append(cycle.Notes, fmt.Sprintf("%d rows of about 1 KB a sample, 20,000 records, the applied payload kept, two claimers; go test -bench BenchmarkDeliveryCycle ./pkg/postgres", rows))

	h = look(ctx)
	if runs, err = goBench(ctx, postgresURL, "./pkg/postgres", "^BenchmarkDeliveryTableSize$", 1, sizeRounds); err != nil {
		return nil, err
	}
	size := &result{Name: fmt.Sprintf("delivery tables after %d rounds of 20,000 records, over three", sizeRounds), On: on, Unit: "MB"}
	for _, r := range runs {
		size.Samples = append(size.Samples, sample{Subject: r["MB-last"], Bare: r["MB-third"], Ratio: r["MB-last"] / r["MB-third"], Host: h})
	}
	size.finish(func(r *result) []goal { return []goal{atMost("growth", r.Ratio, 1.20)} })
	size.Notes = append(size.Notes, "tables and indexes; bare = after three rounds, when each record's payload was written to every slot once; nothing but PostgreSQL's own housekeeping, at its defaults; go test -bench BenchmarkDeliveryTableSize ./pkg/postgres")
	return []*result{deliveries, cycle, size}, nil
}

const sizeRounds = 10

// goBench runs a benchmark of this module and returns what each run reported,
// by unit.
func goBench(ctx context.Context, postgresURL, pkg, name string, count, rows int) ([]map[string]float64, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", name,
		"-benchtime", strconv.Itoa(rows)+"x", "-count", strconv.Itoa(count), "-timeout", "20m", pkg)
	cmd.Env = append(os.Environ(), "FLUXNEX_TEST_POSTGRES_URL="+postgresURL)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go test -bench %s %s: %w\n%s", name, pkg, err, out)
	}
	var runs []map[string]float64
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		run := map[string]float64{}
		for i := 3; i < len(f); i += 2 {
			if run[f[i]], err = strconv.ParseFloat(f[i-1], 64); err != nil {
				return nil, fmt.Errorf("%s: %w", lines.Text(), err)
			}
		}
		runs = append(runs, run)
	}
	if len(runs) == 0 {
		return nil, fmt.Errorf("go test -bench %s %s printed no result:\n%s", name, pkg, out)
	}
	return runs, nil
}

// durablePostgres is a private PostgreSQL with fsync on.
func durablePostgres(ctx context.Context, dir string) (*embedded.Server, error) {
	return embedded.LocalPostgres(ctx, filepath.Join(dir, "cache"), embedded.PostgresOptions{Dir: filepath.Join(dir, "postgres")})
}

// cpuPerRecord is what the three stages use for a record that is new while they
// know few others, and while they know many: flat, if nothing grows with the
// number of records.
func (r *rig) cpuPerRecord(ctx context.Context, turns, many int) (*result, error) {
	const few, chunk = 10_000, 50_000
	res := &result{Name: fmt.Sprintf("CPU of the three stages per record, among %d others over among %d", many, few), On: r.p.cluster.Name, Unit: "µs"}
	first := 10_000_000 // no account of another measure
	known := 0
	learn := func(n int) (float64, error) {
		_, cpu, err := r.flow(ctx, n, first)
		first, known = first+n, known+n
		return micros(cpu) / float64(n), err
	}
	if _, err := learn(few); err != nil {
		return nil, err
	}
	// Of each kind as many samples as turns, the first ones at the beginning.
	for range turns {
		h := look(ctx)
		per, err := learn(few)
		if err != nil {
			return nil, err
		}
		res.Samples = append(res.Samples, sample{Bare: per, Host: h})
	}
	for known < many {
		per, err := learn(min(chunk, many-known))
		if err != nil {
			return nil, err
		}
		r.progress("%s: %.0f µs a record up to %d\n", res.Name, per, known)
	}
	for i := range res.Samples {
		s := &res.Samples[i]
		if h := look(ctx); h.noisy() {
			s.Host = h
		}
		per, err := learn(few)
		if err != nil {
			return nil, err
		}
		s.Subject, s.Ratio = per, per/s.Bare
	}
	res.finish(func(r *result) []goal { return []goal{atMost("many over few", r.Ratio, 1.20)} })
	res.Notes = append(res.Notes, fmt.Sprintf("%d records a sample, each seen for the first time; replica, normalizer and router together", few))
	return res, nil
}

// waiting is the memory of the stages and of Redis for each record that waits
// for a parent nobody has.
func (r *rig) waiting(ctx context.Context, n int) (*result, error) {
	res := &result{Name: "memory per waiting record", On: r.p.cluster.Name, Unit: "bytes"}
	canonical, err := newSink(ctx, r.p.cluster.Brokers, r.p.kafka.Partitions, r.p.kafka.Topics().Canonical())
	if err != nil {
		return nil, err
	}
	defer canonical.cl.Close()
	park := func(n, first int) error {
		ms, err := invoices(r.p.codecs, n, first)
		if err != nil {
			return err
		}
		_, _, err = r.through(ctx, ms, r.p.kafka.Topics().Gateway(), canonical, n, nil)
		return err
	}
	first := 0
	for i := range 3 {
		h := look(ctx)
		redis, err := redisMemory(ctx, r.p.redis.URL)
		if err != nil {
			return nil, err
		}
		before := r.rss()
		if err := park(n, first); err != nil {
			return nil, err
		}
		first += n
		look(ctx) // the stages settle
		redisAfter, err := redisMemory(ctx, r.p.redis.URL)
		if err != nil {
			return nil, err
		}
		own, remote := float64(r.rss()-before)/float64(n), float64(redisAfter-redis)/float64(n)
		r.progress("%s: %.0f bytes in Redis, %.0f in the processes\n", res.Name, remote, own)
		if i == 0 {
			continue // heaps find their size
		}
		res.Samples = append(res.Samples, sample{Subject: remote, Host: h, Note: fmt.Sprintf("resident memory of the stages grew by %.0f bytes a record", own)})
	}
	res.finish(nil)
	res.Notes = append(res.Notes, fmt.Sprintf("%d invoices a sample, none of whose loads exist; Redis holds replica and canonical record, both views; the processes hold none of it but a cache of fixed size", n))
	return res, nil
}

func (r *rig) rss() int64 {
	var sum int64
	for _, p := range r.p.stages {
		sum += p.rss()
	}
	return sum
}

// redisMemory asks for used_memory in Redis' own protocol.
func redisMemory(ctx context.Context, url string) (int64, error) {
	address := strings.TrimPrefix(url, "redis://")
	address, _, _ = strings.Cut(address, "/")
	c, err := dial(ctx, address)
	if err != nil {
		return 0, err
	}
	defer c.c.Close()
	if err := c.c.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return 0, err
	}
	if _, err := fmt.Fprint(c.c, "INFO memory\r\n"); err != nil {
		return 0, err
	}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "used_memory:"); ok {
			return strconv.ParseInt(n, 10, 64)
		}
	}
}
