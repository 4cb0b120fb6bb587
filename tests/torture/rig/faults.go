package rig

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// inflict does the schedule and returns when the last fault is over. What a
// fault could not do is an error: a run without its faults proves nothing.
func (r *Rig) inflict(ctx context.Context, acts []act, failed context.CancelCauseFunc) error {
	start := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, len(acts))
	for i, a := range acts {
		rest(ctx, time.Until(start.Add(a.at)))
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			if err := r.do(ctx, a); err != nil {
				errs[i] = fmt.Errorf("%s %s %s: %w", a.fault, a.kind, a.victim, err)
				failed(errs[i])
			}
		})
	}
	wg.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

func (r *Rig) do(ctx context.Context, a act) error {
	if a.kind != "poison" {
		r.note(a.fault+" "+a.kind, a.victim)
	}
	switch a.kind {
	case "SIGKILL":
		return r.killFor(ctx, r.byName(a.victim), a.lasts)
	case "SIGSTOP":
		return r.freezeFor(ctx, r.byName(a.victim), a.lasts)
	case "rebalance storm":
		return r.storm(ctx, a.victim, a.lasts)
	case "broker SIGKILL":
		return r.killBroker(ctx, a.victim, a.lasts)
	case "FLUSHALL":
		return r.flush(ctx)
	case "Redis down":
		return r.redisDown(ctx, a.lasts, nil)
	case "older Redis dump":
		return r.olderDump(ctx, a.lasts)
	case "PostgreSQL immediate stop":
		if err := r.crashPostgres(); err != nil {
			return err
		}
		rest(ctx, a.lasts)
		return r.bootPostgres(context.WithoutCancel(ctx))
	case "registry down":
		return r.registryDown(ctx, a.lasts)
	case "destination dead":
		return r.destinationDead(ctx, a.victim, a.lasts)
	case "bad days of the destinations":
		return r.badDays(ctx, a.lasts)
	case "broker disk full":
		return r.diskFull(ctx, a.lasts)
	case "tokens revoked":
		return r.revoke(ctx, a.victim, a.lasts)
	case "all tokens expired":
		return r.endTokens(ctx)
	case "network lost":
		return r.cut(ctx, a.victim, a.lasts)
	case "one tenth of its speed":
		return r.slow(ctx, r.byName(a.victim), a.lasts)
	case "flood":
		return r.flood(ctx, a.lasts)
	case "rolling SIGTERM":
		return r.roll(ctx)
	case "poison":
		return r.poison(ctx)
	case "killed after writing":
		return r.killAt(ctx, a.victim, written, a.lasts)
	case "frozen after writing":
		return r.freezeAt(ctx, a.victim, written, a.lasts)
	case "12 partitions":
		return r.morePartitions(ctx)
	case "answers lost":
		return r.writesGoWrong(ctx, rule{"action": "apply_then_reset", "probability": 0.25}, a.lasts)
	case "refused for now":
		return r.writesGoWrong(ctx, rule{"action": "status", "status": 503, "body": map[string]any{}, "probability": 0.15}, a.lasts)
	case "tokens end":
		return r.tokensEnd(ctx, a.lasts)
	}
	return errors.New("nobody knows how")
}

func (r *Rig) byName(name string) *process {
	for _, group := range r.all {
		for _, p := range group {
			if p.name == name {
				return p
			}
		}
	}
	return nil
}

func (r *Rig) killFor(ctx context.Context, p *process, down time.Duration) error {
	if err := p.kill(); err != nil {
		return err
	}
	rest(ctx, down)
	return p.start()
}

func (r *Rig) freezeFor(ctx context.Context, p *process, frozen time.Duration) error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	rest(ctx, frozen)
	r.note("F2 SIGCONT", p.name)
	return p.signal(syscall.SIGCONT)
}

// storm has one more member of a stage join and leave all the time.
func (r *Rig) storm(ctx context.Context, service string, lasts time.Duration) error {
	p, err := r.newService(service, "storm")
	if err != nil {
		return err
	}
	end := time.Now().Add(lasts)
	for time.Now().Before(end) && ctx.Err() == nil {
		if err := p.start(); err != nil {
			return err
		}
		// Long enough to have joined: a start takes about as long.
		rest(ctx, time.Second)
		if err := p.end(syscall.SIGTERM, patience); err != nil {
			return err
		}
	}
	r.note("F3 over", service)
	return nil
}

func (r *Rig) killBroker(ctx context.Context, node string, down time.Duration) error {
	if r.parts.broker != nil {
		return r.killFor(ctx, r.parts.broker, down)
	}
	r.brokerDown.Lock()
	defer r.brokerDown.Unlock()
	if _, err := r.script(ctx, nil, "kafka-up.sh", "--kill", r.parts.kafkaDir, node); err != nil {
		return err
	}
	rest(ctx, down)
	_, err := r.script(context.WithoutCancel(ctx), nil, "kafka-up.sh", "--start", r.parts.kafkaDir, node)
	return err
}

// flush tries until Redis is there: another fault may have it down.
func (r *Rig) flush(ctx context.Context) error {
	return await(ctx, "FLUSHALL is done", func() (bool, string) {
		err := redisOK(r.parts.redisHost, "FLUSHALL")
		return err == nil, fmt.Sprint(err)
	})
}

// redisDown kills Redis and starts it again, empty, or with what swap puts
// there.
func (r *Rig) redisDown(ctx context.Context, down time.Duration, swap func() error) error {
	if err := r.parts.redis.kill(); err != nil {
		return err
	}
	rest(ctx, down)
	if swap != nil {
		if err := swap(); err != nil {
			return err
		}
	}
	r.note("F6 Redis up", "redis")
	return r.parts.redis.start()
}

// olderDump saves Redis, lets the platform go on, and brings the save back.
func (r *Rig) olderDump(ctx context.Context, age time.Duration) error {
	dump, older := filepath.Join(r.parts.redisDir, "dump.rdb"), filepath.Join(r.dir, "older.rdb")
	if err := await(ctx, "Redis saves", func() (bool, string) {
		err := redisOK(r.parts.redisHost, "SAVE")
		return err == nil, fmt.Sprint(err)
	}); err != nil {
		return err
	}
	// Where it stays, every other restart would bring it back too.
	if err := os.Rename(dump, older); err != nil {
		return err
	}
	rest(ctx, age)
	r.note("F6 Redis restored from a dump "+age.Round(time.Second).String()+" old", "redis")
	return r.redisDown(ctx, 100*time.Millisecond, func() error { return os.Rename(older, dump) })
}

// registryDown kills the embedded registry, which remembers. The real one
// keeps its schemas in memory, so it falls silent instead.
func (r *Rig) registryDown(ctx context.Context, down time.Duration) error {
	if r.parts.registry != nil {
		return r.killFor(ctx, r.parts.registry, down)
	}
	if err := syscall.Kill(r.parts.registryPID, syscall.SIGSTOP); err != nil {
		return err
	}
	rest(ctx, down)
	return syscall.Kill(r.parts.registryPID, syscall.SIGCONT)
}

// rule is one line of the sandbox's fault script.
type rule map[string]any

// withRules has rules in force for a while. They are taken away by name.
func (r *Rig) withRules(ctx context.Context, prefix string, rules []rule, lasts time.Duration) error {
	for i := range rules {
		rules[i]["id"] = prefix + strconv.Itoa(i)
	}
	if _, err := r.ask(ctx, http.MethodPost, "/_sandbox/faults", rules); err != nil {
		return err
	}
	rest(ctx, lasts)
	var errs []error
	for i := range rules {
		_, err := r.ask(context.WithoutCancel(ctx), http.MethodDelete, "/_sandbox/faults/"+prefix+strconv.Itoa(i), nil)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// destinationDead is F9: everything that goes to one tenant's QuickBooks fails.
func (r *Rig) destinationDead(ctx context.Context, tenant string, lasts time.Duration) error {
	n, err := strconv.Atoi(tenant)
	if err != nil {
		return err
	}
	t := r.tenants[n%len(r.tenants)]
	began := time.Now()
	err = r.withRules(ctx, "dead-", []rule{
		{"app": "quickbooks", "account": t.Realm, "action": "status", "status": 500, "body": map[string]any{}},
	}, lasts)
	r.note("F9 destination back", t.ID)
	r.mu.Lock()
	r.outages = append(r.outages, outage{t, began, time.Now()})
	r.mu.Unlock()
	return err
}

// badDays is F8: the shares of reliability.md §3. Permanent refusals are left
// out, and a call hangs for as long as a caller may wait here.
func (r *Rig) badDays(ctx context.Context, lasts time.Duration) error {
	var rules []rule
	for n, at := range []struct{ app, object string }{{"quickbooks", "Vendor"}, {"hubspot", "companies"}} {
		for i, f := range []rule{
			{"action": "ratelimit", "retry_after": 1, "probability": 0.05},
			{"action": "status", "status": 500, "body": map[string]any{}, "probability": 0.05},
			{"action": "status", "status": 503, "body": map[string]any{}, "probability": 0.02},
			{"action": "hang", "delay": "5s", "probability": 0.01},
			{"action": "reset_before_apply", "probability": 0.01},
			{"action": "apply_then_reset", "probability": 0.02},
			{"action": "apply_then_500", "body": map[string]any{}, "probability": 0.01},
			{"action": "truncated_body", "probability": 0.007},
			{"action": "delay", "delay": "2s", "probability": 0.02},
			{"action": "stale", "probability": 0.02},
		} {
			if f["action"] == "stale" && at.app == "hubspot" {
				continue // it has no versions
			}
			f["app"], f["object"] = at.app, at.object
			// Seeds of JavaScript's safe range: they travel as JSON numbers.
			f["seed"] = (r.cfg.Seed + uint64(n*100+i)) & (1<<53 - 1)
			rules = append(rules, f)
		}
	}
	err := r.withRules(ctx, "bad-", rules, lasts)
	r.note("F8 over", "")
	return err
}

// roll restarts every process by SIGTERM, one after the other, each after the
// one before is ready.
func (r *Rig) roll(ctx context.Context) error {
	for _, name := range services() {
		for _, p := range r.all[name] {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the run is over
			}
			// One that another fault has frozen cannot end.
			if err := p.signal(syscall.SIGCONT); err != nil {
				return err
			}
			if err := p.end(syscall.SIGTERM, patience); err != nil {
				r.complain(err.Error())
			}
			if err := p.start(); err != nil {
				return err
			}
			// Another fault may keep it from being ready; the next is restarted then
			// all the same.
			waited, cancel := context.WithTimeout(ctx, 10*time.Second)
			_ = p.ready(waited)
			cancel()
		}
	}
	r.note("F18 over", "")
	return nil
}

// complain notes what is no violation and should be known.
func (r *Rig) complain(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.complaints = append(r.complaints, strings.TrimSpace(what))
}
