package rig

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A provocation is a fault with a name of its own, aimed at one mistake
// (tests/mutants): it is done when it is asked for, and never beside the others
// of a whole run.
type provocation struct {
	env    []string // further environment of everything
	points []string // failpoints of the stages; nothing happens there before its act
	acts   func(cfg *Config) []act
}

func provocations() map[string]provocation {
	all := map[string]provocation{
		"none": {},
		"killed-after-writing": {points: []string{written}, acts: func(cfg *Config) []act {
			var out []act
			for i, s := range stages() {
				out = append(out, act{at: cfg.Duration/10 + time.Duration(i)*300*time.Millisecond, fault: "R9", kind: "killed after writing", victim: s, lasts: cfg.Duration / 2})
			}
			return out
		}},
		"frozen-after-writing": {points: []string{written + "=stop"}, acts: func(cfg *Config) []act {
			var out []act
			for i, s := range stages() {
				out = append(out, act{at: cfg.Duration/10 + time.Duration(i)*300*time.Millisecond, fault: "R9", kind: "frozen after writing", victim: s, lasts: sessionTimeout * 6 / 5})
			}
			return out
		}},
		"older-views": {acts: func(cfg *Config) []act {
			return []act{{at: cfg.Duration * 3 / 10, fault: "F6", kind: "older Redis dump", victim: "redis", lasts: cfg.Duration * 4 / 10}}
		}},
		"more-partitions": {env: []string{partitions + "=6"}, acts: func(cfg *Config) []act {
			return []act{{at: cfg.Duration / 2, fault: "R16", kind: "12 partitions"}}
		}},
	}
	maps.Copy(all, edgeProvocations())
	return all
}

// written is the failpoint between a stage's writes and its commit.
const written = "produced"

// partitions is how many a topic has.
const partitions = "FLUXNEX_PARTITIONS"

// stages are the services that read, write and commit in one transaction.
func stages() []string { return []string{"replica", "normalizer", "router"} }

// known refuses a fault that nobody can do: a run without it would be right.
func (c *Config) known() error {
	for _, f := range c.Faults {
		_, named := provocations()[f]
		n, err := strconv.Atoi(strings.TrimPrefix(f, "F"))
		if !named && (err != nil || n < 1 || n > 18 || !strings.HasPrefix(f, "F")) {
			return fmt.Errorf("there is no fault %q", f)
		}
	}
	return nil
}

// provoked are the provocations that were asked for.
func (c *Config) provoked() []provocation {
	var out []provocation
	for name, p := range provocations() {
		if slices.Contains(c.Faults, name) {
			out = append(out, p)
		}
	}
	return out
}

// ambush gives a stage its failpoints, which seem to have fired until an act
// wants them.
func (r *Rig) ambush(service string) (env []string, err error) {
	var points []string
	for _, p := range r.cfg.provoked() {
		points = append(points, p.points...)
	}
	if len(points) == 0 || !slices.Contains(stages(), service) {
		return nil, nil
	}
	env, err = r.armed(service, points)
	if err != nil {
		return nil, err
	}
	for _, p := range points {
		name, _, _ := strings.Cut(p, "=")
		if err := os.WriteFile(r.fired(service, name), nil, 0o600); err != nil {
			return nil, err
		}
	}
	return env, nil
}

func (r *Rig) fired(service, point string) string {
	return filepath.Join(r.dir, "fired-"+service, point)
}

// trap lets the next process of a service that comes by a failpoint fire it,
// and says which process it was.
func (r *Rig) trap(ctx context.Context, service, point string) (pid int, err error) {
	if err := os.Remove(r.fired(service, point)); err != nil {
		return 0, err
	}
	err = await(ctx, service+" comes by "+point, func() (bool, string) {
		b, err := os.ReadFile(r.fired(service, point))
		if err == nil {
			pid, err = strconv.Atoi(string(b))
		}
		return err == nil, fmt.Sprint(err)
	})
	return pid, err
}

// killAt has processes of a stage kill themselves at a failpoint, three times in
// the time given: the load must still bring them there.
func (r *Rig) killAt(ctx context.Context, service, point string, lasts time.Duration) error {
	const times = 3
	for range times {
		next := time.Now().Add(lasts / times)
		if _, err := r.trap(ctx, service, point); err != nil {
			return err
		}
		rest(ctx, time.Until(next))
	}
	return nil
}

// freezeAt has a process of a stage freeze itself at a failpoint and lets it go
// on long after its partitions have another owner.
func (r *Rig) freezeAt(ctx context.Context, service, point string, lasts time.Duration) error {
	pid, err := r.trap(ctx, service, point)
	if err != nil {
		return err
	}
	rest(ctx, lasts)
	r.note("R9 goes on", service)
	return syscall.Kill(pid, syscall.SIGCONT)
}

// morePartitions is an operator who wants 12 partitions instead of 6. Where
// that is refused, with what to do instead, the processes are left alone.
func (r *Rig) morePartitions(ctx context.Context) error {
	grown := with(r.env, partitions+"=12")
	if _, err := r.runIn(ctx, grown, "topics", "apply"); err != nil {
		if !strings.Contains(err.Error(), "a count never changes in place") {
			return err
		}
		r.note("R16 refused", "")
		return nil
	}
	r.note("R16 accepted", "")
	for _, name := range services() {
		for _, p := range r.all[name] {
			if err := p.end(syscall.SIGTERM, patience); err != nil {
				r.complain(err.Error())
			}
		}
	}
	var errs []error
	for _, name := range services() {
		for _, p := range r.all[name] {
			p.env = with(p.env, partitions+"=12")
			errs = append(errs, p.start())
		}
	}
	return errors.Join(errs...)
}

// with is an environment with a variable more, or set anew.
func with(env []string, kv string) []string {
	name, _, _ := strings.Cut(kv, "=")
	return append(slices.DeleteFunc(slices.Clone(env), func(old string) bool { return strings.HasPrefix(old, name+"=") }), kv)
}
