package rig

import (
	"context"
	"errors"
	"slices"
	"time"
)

// The provocations at the gateway, at the destinations and at the token endpoint.
const (
	// lostAnswers: one write in four is made and not answered, at companies that
	// remember no request ids.
	lostAnswers = "lost-answers"
	// endingTokens: all access tokens end every two seconds, the token endpoint
	// takes its time, and takes no token that it has replaced.
	endingTokens = "ending-tokens"
	// brokerAway: the broker is dead for half of the load, which is longer than a
	// sender waits and repeats.
	brokerAway = "broker-away"
)

func edgeProvocations() map[string]provocation {
	return map[string]provocation{
		lostAnswers: {acts: func(cfg *Config) []act {
			return []act{{fault: "F8", kind: "answers lost", lasts: cfg.Duration}}
		}},
		endingTokens: {acts: func(cfg *Config) []act {
			return []act{{fault: "F10", kind: "tokens end", lasts: cfg.Duration}}
		}},
		brokerAway: {acts: func(cfg *Config) []act {
			return []act{{at: cfg.Duration / 4, fault: "F4", kind: "broker SIGKILL", victim: "1", lasts: cfg.Duration / 2}}
		}},
	}
}

// asked reports whether a fault is wanted by name.
func (c *Config) asked(fault string) bool { return slices.Contains(c.Faults, fault) }

func (r *Rig) loseAnswers(ctx context.Context, lasts time.Duration) error {
	var rules []rule
	for _, at := range []struct{ app, object string }{{"quickbooks", "Vendor"}, {"quickbooks", "Customer"}, {"quickbooks", "Invoice"}, {"hubspot", "companies"}} {
		for _, op := range []string{"write", "create", "update", "upsert"} {
			rules = append(rules, rule{
				"app": at.app, "object": at.object, "op": op, "action": "apply_then_reset", "probability": 0.25, "seed": (r.cfg.Seed + uint64(len(rules))) & (1<<53 - 1),
			})
		}
	}
	return r.withRules(ctx, "lost-", rules, lasts)
}

// tokensEnd leaves each process time for a call with its new token, so that it
// does not take it for a bad one.
func (r *Rig) tokensEnd(ctx context.Context, lasts time.Duration) error {
	slow := make(chan error, 1)
	go func() {
		slow <- r.withRules(ctx, "slow-token-", []rule{{"app": "quickbooks", "object": "token", "action": "delay", "delay": "250ms"}}, lasts)
	}()
	var err error
	for end := time.Now().Add(lasts); err == nil && time.Now().Before(end) && ctx.Err() == nil; {
		rest(ctx, 2*time.Second)
		err = r.endTokens(ctx)
	}
	return errors.Join(err, <-slow)
}
