package rig

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// The provocations at the gateway, at the destinations and at the token endpoint.
const (
	// lostAnswers: one write in four is made and not answered, at companies that
	// remember no request ids.
	lostAnswers = "lost-answers"
	// refusedForNow: one write in six is refused with 503, and not made.
	refusedForNow = "refused-for-now"
	// endingTokens: access tokens end a second after they are given out, the token
	// endpoint takes its time, and takes no token that it has replaced.
	endingTokens = "ending-tokens"
	// killedGateways: every two seconds all of them.
	killedGateways = "killed-gateways"
)

func edgeProvocations() map[string]provocation {
	return map[string]provocation{
		lostAnswers: {acts: func(cfg *Config) []act {
			return []act{{fault: "F8", kind: "answers lost", lasts: cfg.Duration}}
		}},
		refusedForNow: {acts: func(cfg *Config) []act {
			return []act{{fault: "F8", kind: "refused for now", lasts: cfg.Duration}}
		}},
		endingTokens: {acts: func(cfg *Config) []act {
			return []act{{fault: "F10", kind: "tokens end", lasts: cfg.Duration}}
		}},
		killedGateways: {acts: func(cfg *Config) []act {
			var out []act
			for at := time.Second; at < cfg.Duration; at += 2 * time.Second {
				for i := range cfg.Copies {
					out = append(out, act{at: at, fault: "F1", kind: "SIGKILL", victim: "gateway" + strconv.Itoa(i), lasts: 100 * time.Millisecond})
				}
			}
			return out
		}},
	}
}

// asked reports whether a fault is wanted by name.
func (c *Config) asked(fault string) bool { return slices.Contains(c.Faults, fault) }

// writesGoWrong has a share of the writes at every destination go wrong in one
// way.
func (r *Rig) writesGoWrong(ctx context.Context, how rule, lasts time.Duration) error {
	var rules []rule
	for _, at := range []struct{ app, object, op string }{
		{"quickbooks", "Vendor", "write"},
		{"quickbooks", "Customer", "write"},
		{"quickbooks", "Invoice", "write"},
		{"hubspot", "companies", "create"},
		{"hubspot", "companies", "update"},
		{"hubspot", "companies", "upsert"},
	} {
		// Seeds of JavaScript's safe range: they travel as JSON numbers.
		one := rule{"app": at.app, "object": at.object, "op": at.op, "seed": (r.cfg.Seed + uint64(len(rules))) & (1<<53 - 1)}
		maps.Copy(one, how)
		rules = append(rules, one)
	}
	return r.withRules(ctx, "write-", rules, lasts)
}

// tokensEnd ends a company's tokens once a call was accepted with the newest
// one, and not sooner than a second after that was given out: a token that ends
// before its first call is rightly taken for a bad one.
func (r *Rig) tokensEnd(ctx context.Context, lasts time.Duration) error {
	slow := make(chan error, 1)
	go func() {
		slow <- r.withRules(ctx, "slow-token-", []rule{{"app": "quickbooks", "object": "token", "action": "delay", "delay": "250ms"}}, lasts)
	}()
	fresh := map[string]time.Time{} // by company: when the token was given out
	var ledger []torture.Line
	err := error(nil)
	for end := time.Now().Add(lasts); err == nil && time.Now().Before(end) && ctx.Err() == nil; rest(ctx, 100*time.Millisecond) {
		var more []torture.Line
		if more, err = r.ledgerSince(ctx, ledger); len(more) > 0 {
			ledger = more
		}
		for i := range more {
			l := &more[i]
			switch given := fresh[l.Account]; {
			case l.App != "quickbooks" || !l.Applied:
			case l.Object == "token":
				fresh[l.Account] = l.Time
			case !given.IsZero() && l.Time.Sub(given) > time.Second:
				delete(fresh, l.Account)
				_, failed := r.ask(ctx, http.MethodPost, "/_sandbox/quickbooks/"+l.Account+"/expire", nil)
				err = errors.Join(err, failed)
			}
		}
	}
	return errors.Join(err, <-slow)
}
