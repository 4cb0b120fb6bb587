package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options of a run.
type options struct {
	bin     string
	only    string
	on      string
	docs    string
	json    string
	keep    string
	pairs   int
	records int
	seconds int
	many    int
	warm    time.Duration

	brokers   bool
	turns     int
	steadyFor time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, os.Stderr, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out, progress io.Writer, args []string) error {
	if len(args) > 1 && args[0] == roleFlag {
		return runRole(ctx, out, args[1:])
	}
	var o options
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.StringVar(&o.bin, "bin", "bin/fluxnex", "the binary that is measured")
	set.StringVar(&o.only, "only", "gateway,pipeline,latency,cpu,waiting,scale,neighbours,delivery", "measures to take")
	set.StringVar(&o.on, "on", "embedded,kafka", "brokers to use")
	set.StringVar(&o.docs, "docs", "", "folder in which benchmarks.md and its plot are written; empty: nowhere")
	set.StringVar(&o.json, "json", "", "file for all samples; empty: nowhere")
	set.StringVar(&o.keep, "dir", "", "folder for logs and data, kept; empty: a temporary one")
	set.IntVar(&o.pairs, "pairs", 5, "samples of each measure")
	set.IntVar(&o.records, "records", 200_000, "records of a pipeline sample: the bare chain has to run for a second too")
	set.IntVar(&o.seconds, "seconds", 5, "length of a gateway or latency sample")
	set.IntVar(&o.many, "many", 1_000_000, "records that the stages know in the second half of the CPU measure")
	set.DurationVar(&o.warm, "warm", 45*time.Second, "bare load before the first sample on Apache Kafka, whose broker is two to four times slower at first")
	set.BoolVar(&o.brokers, "brokers", false, "instead, three brokers of Apache Kafka: a steady while, then one killed or frozen")
	set.IntVar(&o.turns, "turns", 3, "faults of each kind, with -brokers")
	set.DurationVar(&o.steadyFor, "steady", 10*time.Minute, "length of the steady while, with -brokers")
	if err := set.Parse(args); err != nil {
		return err
	}
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return err
	}
	if _, err := os.Stat(bin); err != nil {
		return fmt.Errorf("%w: run `make build` first", err)
	}
	o.bin = bin
	dir := o.keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "fluxnex-bench-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
	}
	// PostgreSQL runs under another account and must get to its folder.
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return err
	}
	b := &bench{options: o, dir: dir, began: time.Now(), progress: func(format string, a ...any) {
		_, _ = fmt.Fprintf(progress, format, a...) // a terminal that is gone stops nothing
	}}
	// What was measured before a failure is reported all the same.
	measure := b.all
	if b.brokers {
		measure = b.threeBrokers
	}
	err = measure(ctx)
	return errors.Join(err, b.report(context.WithoutCancel(ctx), out))
}

// bench is one run.
type bench struct {
	options
	dir      string
	began    time.Time
	results  []*result
	progress func(format string, a ...any)
}

// length of a gateway or latency sample.
func (b *bench) length() time.Duration { return time.Duration(b.seconds) * time.Second }

func ceilHalf(n int) int { return (n + 1) / 2 }

func (b *bench) wants(measure string) bool {
	return slices.Contains(strings.Split(b.only, ","), measure)
}

func (b *bench) add(rs ...*result) {
	for _, r := range rs {
		b.results = append(b.results, r)
		b.progress("%s\n", r.lines())
	}
}

func (b *bench) all(ctx context.Context) error {
	b.progress("host: %s\n", look(ctx))
	pg, err := durablePostgres(ctx, b.dir)
	if err != nil {
		return err
	}
	defer func() { _ = pg.Close() }()
	brokers, err := clusters(ctx, b.dir)
	if err != nil {
		return err
	}
	for i, c := range brokers {
		if c.process != nil {
			defer c.process.stop()
		}
		short := map[string]string{embeddedName: "embedded", kafkaName: "kafka"}[c.Name]
		if !slices.Contains(strings.Split(b.on, ","), short) {
			continue
		}
		dir := filepath.Join(b.dir, fmt.Sprint("cluster", i))
		if b.wants("gateway") {
			if err := b.measureGateway(ctx, c, dir+"-gateway", pg.URL); err != nil {
				return err
			}
		}
		if err := b.measurePipeline(ctx, c, dir+"-pipeline", pg.URL); err != nil {
			return err
		}
		// What is not bound by the broker is measured once.
		if b.wants("scale") && c.Name == embeddedName {
			rs, err := b.scale(ctx, c, dir+"-scale", pg.URL)
			if err != nil {
				return fmt.Errorf("scale on the %s: %w", c.Name, err)
			}
			b.add(rs...)
		}
		// Its companies' tokens are stored once, and used up by the first sandbox.
		if b.wants("neighbours") && c.Name == embeddedName {
			res, err := b.neighbours(ctx, c, dir+"-neighbours", pg.URL)
			if err != nil {
				return fmt.Errorf("neighbours on the %s: %w", c.Name, err)
			}
			b.add(res)
		}
	}
	if b.wants("delivery") {
		rs, err := deliveryRows(ctx, pg.URL, b.pairs, 20_000, b.progress)
		if err != nil {
			return err
		}
		b.add(rs...)
	}
	return nil
}

func (b *bench) measureGateway(ctx context.Context, c cluster, dir, postgresURL string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	p, err := install(ctx, c, dir, b.bin, postgresURL, shape{config: configuration}, "gateway")
	if err != nil {
		return err
	}
	defer p.close()
	r, err := newRig(ctx, p, 0, b.progress)
	if err != nil {
		return err
	}
	defer r.close()
	if err := b.warmUp(ctx, r); err != nil {
		return err
	}
	for _, soap := range []bool{false, true} {
		res, err := r.webhooks(ctx, b.pairs, soap, b.length())
		if err != nil {
			return err
		}
		b.add(res)
	}
	return nil
}

func (b *bench) measurePipeline(ctx context.Context, c cluster, dir, postgresURL string) error {
	if !b.wants("pipeline") && !b.wants("latency") && !b.wants("cpu") && !b.wants("waiting") {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	p, err := install(ctx, c, dir, b.bin, postgresURL, shape{config: configuration}, "gateway", "replica", "normalizer", "router")
	if err != nil {
		return err
	}
	defer p.close()
	r, err := newRig(ctx, p, 3, b.progress)
	if err != nil {
		return err
	}
	defer r.close()
	if err := b.warmUp(ctx, r); err != nil {
		return err
	}
	type measure struct {
		name string
		take func() (*result, error)
	}
	for _, m := range []measure{
		{"pipeline", func() (*result, error) { return r.pipeline(ctx, b.pairs, b.records) }},
		{"pipeline", func() (*result, error) { return r.burst(ctx, ceilHalf(b.pairs)) }},
		{"latency", func() (*result, error) { return r.latency(ctx, b.pairs, latencyRate, b.length()) }},
		{"latency", func() (*result, error) { return r.latency(ctx, ceilHalf(b.pairs), latencyRate/5, b.length()) }},
		{"latency", func() (*result, error) { return r.latency(ctx, ceilHalf(b.pairs), latencyRate*3, b.length()) }},
		{"cpu", func() (*result, error) { return r.cpuPerRecord(ctx, b.pairs, b.many) }},
		{"waiting", func() (*result, error) { return r.waiting(ctx, 20_000) }},
	} {
		// What is not bound by the broker is measured once.
		if !b.wants(m.name) || c.Name == kafkaName && (m.name == "cpu" || m.name == "waiting") {
			continue
		}
		res, err := m.take()
		if err != nil {
			return fmt.Errorf("%s on the %s: %w", m.name, c.Name, err)
		}
		b.add(res)
	}
	return nil
}

// warmUp keeps a broker that compiles itself while it runs busy for a while.
func (b *bench) warmUp(ctx context.Context, r *rig) error {
	if r.p.cluster.Name != kafkaName || b.warm <= 0 {
		return nil
	}
	b.progress("warming the broker for %s\n", b.warm)
	if len(r.c.copies) == 0 {
		hs, err := hooks(1000, 0, 1, false, time.Now())
		if err != nil {
			return err
		}
		requests := make([][]byte, len(hs))
		for i := range hs {
			requests[i] = hs[i].request(r.c.listen, "/")
		}
		_, err = hammer(ctx, r.c.listen, requests, 64, b.warm)
		return err
	}
	for end := time.Now().Add(b.warm); time.Now().Before(end); {
		if _, _, err := r.bareFlow(ctx, b.records, 0); err != nil {
			return err
		}
	}
	return nil
}
