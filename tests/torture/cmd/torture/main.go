// Command torture hurts a whole installation under load and judges what became
// of every record: `make torture`. See package rig.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fluxnex/fluxnex/pkg/embedded"
	"github.com/fluxnex/fluxnex/tests/torture/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "torture: "+err.Error())
		stop()
		os.Exit(1) //nolint:gocritic // stop has run
	}
}

func run(ctx context.Context, args []string) error {
	// The embedded broker and registry are this program again, so that they can
	// be killed.
	if len(args) == 4 && args[0] == "broker" {
		return serveBroker(ctx, args[1], args[2], args[3])
	}
	if len(args) == 3 && args[0] == "registry" {
		return serveRegistry(ctx, args[1], args[2])
	}
	cfg := rig.Config{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	flags := flag.NewFlagSet("torture", flag.ContinueOnError)
	ci := flags.Bool("ci", false, "the small run of the test suite: a minute of load, 15 kills and more")
	flags.Uint64Var(&cfg.Seed, "seed", 0, "of load and faults; 0 takes a new one")
	flags.IntVar(&cfg.Events, "events", 300_000, "notifications, about")
	flags.IntVar(&cfg.Tenants, "tenants", 50, "tenants")
	flags.IntVar(&cfg.Copies, "copies", 2, "processes of each service")
	flags.DurationVar(&cfg.Duration, "duration", 24*time.Minute, "over which load and faults are spread")
	flags.DurationVar(&cfg.KillMean, "kill-mean", 4500*time.Millisecond, "between two kills of services (F1)")
	flags.DurationVar(&cfg.Drain, "drain", 10*time.Minute, "longest wait for quiet after the faults")
	flags.DurationVar(&cfg.Settle, "settle", 90*time.Second, "longest wait for views, notifications and groups after the last write")
	flags.StringVar(&cfg.Broker.Kind, "broker", "embedded", "embedded, real (started by tools/parts) or given (by -brokers-at and -registry-at)")
	flags.IntVar(&cfg.Broker.Nodes, "brokers", 1, "nodes of a real broker: 1 or 3")
	brokersAt := flags.String("brokers-at", "", "addresses of a given broker, comma separated")
	flags.StringVar(&cfg.Broker.Registry, "registry-at", "", "schema registry of a given broker")
	flags.StringVar(&cfg.Broker.Prefix, "prefix", "", "first word of the topics on a given broker")
	faults := flags.String("faults", "", "only these, such as F1,F6, or a provocation by its name (rig/provocation.go); all that can be done by default")
	flags.StringVar(&cfg.Binary, "bin", "", "the fluxnex to hurt; built from this tree by default")
	flags.StringVar(&cfg.Root, "root", ".", "the repository")
	flags.StringVar(&cfg.Keep, "keep", "", "folder for logs and ledgers of a wrong run")
	out := flags.String("out", "", "folder for the report; docs/proof for the long run, none with -ci")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *ci {
		small(&cfg, flags)
	} else if *out == "" {
		*out = filepath.Join(cfg.Root, "docs", "proof")
	}
	if cfg.Seed == 0 {
		cfg.Seed = rand.Uint64()
	}
	if *brokersAt != "" {
		cfg.Broker.Kind, cfg.Broker.Brokers = "given", strings.Split(*brokersAt, ",")
	}
	if *faults != "" {
		cfg.Faults = strings.Split(*faults, ",")
	}
	remove, err := binary(ctx, &cfg)
	if err != nil {
		return err
	}
	defer remove()
	fmt.Fprintf(os.Stderr, "seed: -seed %d\n", cfg.Seed)
	result, err := rig.Run(ctx, cfg)
	if err != nil {
		return fmt.Errorf("the run failed and proves nothing (seed %d): %w", cfg.Seed, err)
	}
	return report(result, command(args, cfg.Seed), *out)
}

// small is the run that the test suite has time for. What was asked for
// expressly stays.
func small(cfg *rig.Config, flags *flag.FlagSet) {
	asked := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { asked[f.Name] = true })
	if !asked["events"] {
		cfg.Events = 6000
	}
	if !asked["tenants"] {
		cfg.Tenants = 4
	}
	if !asked["duration"] {
		cfg.Duration = 60 * time.Second
	}
	if !asked["kill-mean"] {
		cfg.KillMean = 3 * time.Second
	}
	if !asked["drain"] {
		cfg.Drain = 4 * time.Minute
	}
}

// binary builds the binary under test where none is given; remove takes it
// away again.
func binary(ctx context.Context, cfg *rig.Config) (remove func(), err error) {
	if cfg.Binary != "" {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "fluxnex-torture-")
	if err != nil {
		return nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) } // in the system's temporary folder
	cfg.Binary = filepath.Join(dir, "fluxnex")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", cfg.Binary, "./cmd/fluxnex")
	cmd.Dir, cmd.Stderr = cfg.Root, os.Stderr
	if err := cmd.Run(); err != nil {
		remove()
		return nil, fmt.Errorf("build cmd/fluxnex: %w", err)
	}
	return remove, nil
}

// command is what to type for the same again.
func command(args []string, seed uint64) string {
	var line strings.Builder
	line.WriteString("go run ./tests/torture/cmd/torture")
	seeded := false
	for _, a := range args {
		line.WriteString(" " + a)
		seeded = seeded || strings.HasPrefix(strings.TrimLeft(a, "-"), "seed")
	}
	if !seeded {
		line.WriteString(" -seed " + strconv.FormatUint(seed, 10))
	}
	return line.String()
}

func report(result *rig.Result, command, out string) error {
	name := fmt.Sprintf("torture-%s-%s", result.Started.UTC().Format("2006-01-02"), result.Config.Broker.Kind)
	if n := result.Config.Broker.Nodes; n > 1 {
		name += strconv.Itoa(n)
	}
	text := result.Markdown(command, name+".svg")
	if out != "" {
		if err := os.MkdirAll(out, 0o755); err != nil {
			return err
		}
		files := map[string]string{name + ".md": text, name + ".svg": result.Timeline.SVG(result.Started, result.Deeds)}
		for file, content := range files {
			if err := os.WriteFile(filepath.Join(out, file), []byte(content), 0o644); err != nil {
				return err
			}
		}
		fmt.Fprintf(os.Stderr, "report: %s\n", filepath.Join(out, name+".md"))
	}
	fmt.Println(text)
	if !result.Right() {
		return fmt.Errorf("wrong, seed %d", result.Config.Seed)
	}
	return nil
}

func serveRegistry(ctx context.Context, port, path string) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	r, err := embedded.StartRegistry(ctx, path, n)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return r.Close()
}

func serveBroker(ctx context.Context, port, path, advertised string) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	told, err := strconv.Atoi(advertised)
	if err != nil {
		return err
	}
	b, err := embedded.StartBrokerBehind(ctx, path, n, told)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return b.Close()
}
