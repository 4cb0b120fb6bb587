package rig

import (
	"context"
	"log/slog"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// floodFactor is how much faster than usual F17's tenant sends.
const floodFactor = 50

// hotStates of one record are in the flood.
func hotStates(events int) int { return min(1000, events/30) }

// noisy is F17's tenant.
func noisy(tenants int) int { return tenants - 1 }

// withhold takes from the load what the noisy tenant would send after the flood
// has begun: it is the flood.
func withhold(messages []torture.Message, tenant int, at, duration time.Duration) (usual, flood []torture.Message) {
	from := int(float64(len(messages)) * at.Seconds() / duration.Seconds())
	for i := range messages {
		if messages[i].Tenant == tenant && i >= from {
			flood = append(flood, messages[i])
		} else {
			usual = append(usual, messages[i])
		}
	}
	return usual, flood
}

// prepareFlood heats one record of the noisy tenant and splits the load.
func (r *Rig) prepareFlood(acts []act, load *torture.Load) error {
	for _, a := range acts {
		if a.kind != "flood" {
			continue
		}
		tenant := noisy(len(r.tenants))
		load.Plan.Heat(tenant, hotStates(r.cfg.Events))
		messages, err := load.Plan.Messages()
		if err != nil {
			return err
		}
		burst := *load
		load.Messages, burst.Messages = withhold(messages, tenant, a.at, r.cfg.Duration)
		r.burst = &burst
	}
	return nil
}

// flood sends what was withheld.
func (r *Rig) flood(ctx context.Context, lasts time.Duration) error {
	load := *r.burst
	load.Spread = lasts
	sum, err := load.Run(ctx)
	r.burstSum = sum
	r.cfg.Log.Info("the flood is over", slog.Int("messages", sum.Messages), slog.Int("notifications", sum.Notifications), slog.Duration("took", sum.Took))
	r.note("F17 flood over", r.tenants[noisy(len(r.tenants))].ID)
	return err
}
