package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// report prints the table and writes the files that were asked for.
func (b *bench) report(ctx context.Context, out io.Writer) error {
	for _, r := range b.results {
		if _, err := fmt.Fprintln(out, r.lines()); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprint(out, b.table()); err != nil {
		return err
	}
	if b.json != "" {
		text, err := json.MarshalIndent(map[string]any{"date": b.began.UTC(), "machine": machine(ctx), "results": b.results}, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(b.json, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if b.docs == "" {
		return nil
	}
	if b.brokers {
		if err := os.WriteFile(filepath.Join(b.docs, "benchmarks-brokers.svg"), []byte(plotWaits(b.results)), 0o644); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(b.docs, "benchmarks-brokers.md"), []byte(b.brokersPage(ctx)), 0o644)
	}
	if err := os.WriteFile(filepath.Join(b.docs, "benchmarks.svg"), []byte(plot(b.results)), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.docs, "benchmarks.md"), []byte(b.markdown(ctx)), 0o644)
}

func (b *bench) table() string {
	var t strings.Builder
	t.WriteString("| measure | on | result | bare | ratio | goals | |\n|---|---|---|---|---|---|---|\n")
	for _, r := range b.results {
		bare, ratio := "", ""
		if r.Bare > 0 {
			bare, ratio = number(r.Bare), fmt.Sprintf("%.2f", r.Ratio)
		}
		var goals []string
		for _, g := range r.Goals {
			goals = append(goals, g.String())
		}
		fmt.Fprintf(&t, "| %s | %s | %s %s | %s | %s | %s | %s |\n", r.Name, r.On, number(r.Subject), r.Unit, bare, ratio, strings.Join(goals, "; "), r.Verdict)
	}
	return t.String()
}

func (b *bench) markdown(ctx context.Context) string {
	var t strings.Builder
	fmt.Fprintf(&t, `# Benchmarks

Written by %[1]smake bench%[1]s (tests/bench) on %s; %s.
Everything runs on that machine at once: load generator, broker, services, Redis, PostgreSQL. Subject and baseline take turns; numbers are medians, ratios are medians over pairs. Absolute rates say little about another machine, ratios more.

- **Gateway**: bare is a net/http handler that reads the body, produces it with acks=all and answers, with the collector setting (GOGC) that the product has.
- **Pipeline**: bare is three processes that copy from topic to topic in exactly-once transactions of the same commit interval and do nothing else; the last one writes each record twice, as the pipeline does for its two destinations. The pipeline parses, merges with what Redis knows, normalises, maps and validates. A sample keeps the bare chain busy for about a second; what it makes of that differs more from run to run than what the pipeline does.
- **Latency**: from the moment a webhook is due until its command is read, both chains at the same rate.
- **CPU per record**: bare is the same while there are few: records that the stages know, tenants, partitions, processes.
- **Neighbours**: the whole platform with a hundred tenants; bare is the same load while every destination answers and no record waits.
- **Delivery**: bare is the arithmetic limit, 256 calls of 50 ms. PostgreSQL runs with fsync on.
- **What is missed, and why**: [ADR 13](adr/0013-what-bounds-gateway-and-pipeline.md).
- **Host**: before each pair the machine is looked at while nothing of ours works; where others used more than %.0f %% of it, or its cores were not worth their number, before most samples, the verdict is "host too noisy".

`, "`", b.began.UTC().Format("2006-01-02 15:04 MST"), machine(ctx), 100*maxForeign)
	t.WriteString(b.table())
	t.WriteString("\n![the pipeline beside the bare thing](benchmarks.svg)\n\n## Again\n\n```sh\nmake bench                                      # everything, on the parts this machine has; all samples are in benchmarks.json\n")
	fmt.Fprintf(&t, "go run ./tests/bench -only %s -on %s -pairs %d -records %d -seconds %d -many %d -warm %s  # this run\n```\n\n## Every sample\n\n```\n",
		b.only, b.on, b.pairs, b.records, b.seconds, b.many, b.warm)
	for _, r := range b.results {
		t.WriteString(r.lines() + "\n")
	}
	t.WriteString("```\n")
	return t.String()
}

// brokersPage is the report of a run with -brokers.
func (b *bench) brokersPage(ctx context.Context) string {
	var t strings.Builder
	fmt.Fprintf(&t, `# Three brokers

Written by %[1]smake bench-brokers%[1]s (tests/bench) on %[2]s; %[3]s.
Three brokers of Apache Kafka, replication 3, min.insync 2, each a controller too; gateway, replica, normalizer and router, one process each; everything on that machine. Accounts change at a low, steady rate; a webhook is sent until it is accepted, as a source does. A record's wait runs from the moment its webhook was due until its command, or a newer one of the same record, can be read at every destination. Judged over every command: none lost, none twice, none older than the one before it.

Of what decides these waits, two settings of the brokers are not Kafka's own; set them where these waits matter:

- broker.session.timeout.ms is 3 s (heartbeats each 500 ms). Until the controller has given a broker up, what that broker leads has no leader, and what is to be acknowledged waits for it: with Kafka's default of 9 s every wait here is 6 s longer, and a commit that meets it runs into the transaction timeout of 10 s and is made again.
- request.timeout.ms, between brokers, is 5 s. A transaction that was committed a moment before, and whose marker a frozen broker was to write, stays open until the coordinator gives that request up; its stage, and who reads that partition, stand still as long. With Kafka's default of 30 s a record waited for 22 s, as long as the broker was frozen, in one of nine turns.

%[4]s
![the longest wait of each turn](benchmarks-brokers.svg)

## Again

%[1]s%[1]s%[1]ssh
make bench-brokers                              # all samples are in benchmarks-brokers.json
go run ./tests/bench -brokers -turns %[5]d -steady %[6]s -warm %[7]s  # this run
%[1]s%[1]s%[1]s

## Every sample

%[1]s%[1]s%[1]s
`, "`", b.began.UTC().Format("2006-01-02 15:04 MST"), machine(ctx), b.table(), b.turns, b.steadyFor, b.warm)
	for _, r := range b.results {
		t.WriteString(r.lines() + "\n")
	}
	t.WriteString("```\n")
	return t.String()
}

// machine is what one must know to compare.
func machine(ctx context.Context) string {
	cpu := "unknown CPU"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				cpu = strings.TrimSpace(strings.TrimLeft(name, " \t:"))
				break
			}
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	revision := "unknown revision"
	if out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=10", "HEAD").Output(); err == nil {
		revision = "revision " + strings.TrimSpace(string(out))
	}
	return fmt.Sprintf("%d cores (%s), %s %s, %s, %s", runtime.NumCPU(), cpu, runtime.GOOS, strings.TrimSpace(string(kernel)), runtime.Version(), revision)
}

// plot draws, for each measure with a baseline, every sample's ratio, the
// median, and the goal.
func plot(results []*result) string {
	const left, width, row, top = 420, 460, 34, 56
	var rs []*result
	limit := 1.2
	for _, r := range results {
		if r.Bare > 0 {
			rs = append(rs, r)
			for _, s := range r.Samples {
				limit = max(limit, s.Ratio*1.05)
			}
		}
	}
	x := func(v float64) float64 { return left + width*v/limit }
	height := top + row*len(rs) + 30
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", left+width+60, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#ffffff"/><text x="12" y="24" font-size="15" fill="#1a2733">Subject over bare: bar = median, dots = samples, line = goal</text>`+"\n")
	for v := 0.0; v <= limit; v += 0.2 {
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#e3e8ec"/><text x="%.1f" y="%d" fill="#5b6b78" text-anchor="middle">%.1f</text>`+"\n", x(v), top-8, x(v), height-24, x(v), height-8, v)
	}
	for i, r := range rs {
		y := top + row*i
		color := "#2f7d5b"
		if r.Verdict != verdictMet {
			color = "#b4552d"
		}
		fmt.Fprintf(&b, `<text x="12" y="%d" fill="#1a2733">%s</text><text x="12" y="%d" fill="#5b6b78" font-size="10">%s</text>`+"\n", y+11, escape(r.Name), y+23, escape(r.On+", "+r.Verdict))
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="16" fill="%s" opacity="0.55"/>`+"\n", left, y+2, x(r.Ratio)-left, color)
		for _, s := range r.Samples {
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%d" r="3" fill="#1a2733"/>`, x(s.Ratio), y+10)
		}
		for _, g := range r.Goals {
			if strings.Contains(g.What, "ratio") || strings.Contains(g.What, "over") || strings.Contains(g.What, "of 256") {
				fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#b3202a" stroke-width="2"/>`, x(g.Want), y-2, x(g.Want), y+22)
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
