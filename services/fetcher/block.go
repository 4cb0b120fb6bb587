package fetcher

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// shortPause is what a rate limit asks for; a longer one is a quota, and a
// person should know.
const shortPause = time.Minute

type source struct {
	tenant record.TenantID
	app    string
}

// cause reports a failure that holds for everything the source is asked, and
// how long to leave it alone: its credential is dead, or its quota used up.
func (s *Service) cause(f *fault.Error) (pause time.Duration, ok bool) {
	switch {
	case f.Class == fault.Auth:
		return max(f.After, s.cfg.BackoffMax/5), true
	case f.Class == fault.Retryable && f.Scope == fault.ScopeAccount && f.After > shortPause:
		return f.After, true
	}
	return 0, false
}

// blocked are the sources to leave alone for now.
func (s *Service) blocked(ctx context.Context) (map[source]postgres.Block, error) {
	all, err := s.deps.Fetches.Blocks(ctx)
	if err != nil {
		return nil, err
	}
	out := map[source]postgres.Block{}
	for _, b := range all {
		if b.Until.IsZero() && b.RetryAt.After(s.deps.Clock()) {
			out[source{b.Tenant, b.App}] = b
		}
	}
	return out, nil
}

// asksOver reports the connection that records are fetched over: another one's
// troubles hold nobody up.
func (s *Service) asksOver(b *batch) bool {
	used := s.connection(b.tenant, b.app)
	return used != nil && used.Name == b.connection.Name
}

func fingerprint(b *batch) string { return "fetcher/" + b.connection.Name + "/blocked" }

// block makes the clock of whatever waits for this source stand, and tells
// support once.
func (s *Service) block(ctx context.Context, b *batch, f *fault.Error, pause time.Duration) error {
	if !s.asksOver(b) {
		return nil // nothing waits for this one
	}
	remedy := f.Remedy
	switch {
	case f.Class == fault.Auth:
		remedy = fmt.Sprintf("Re-authorise connection %q: apply it with fresh credentials. What waits is then fetched, and nothing fails for it meanwhile.", b.connection.Name)
	case remedy == "":
		remedy = "Wait, or raise the quota; `fluxnex connection poll` then tries at once. Nothing fails for it meanwhile."
	}
	s.metrics.blocked.WithLabelValues(b.app, f.Code).Inc()
	return s.deps.Fetches.Block(ctx, b.tenant, b.app, f.Code, f.Error(), pause, &record.Notification{
		TenantID: b.tenant, SourceApp: b.app, Audience: record.AudienceSupport, Stage: "fetcher", Class: f.Class.String(), Code: f.Code,
		Message: f.Error(), Remedy: remedy, Target: b.connection.Name, Fingerprint: fingerprint(b), At: s.deps.Clock(),
	})
}

// answered ends a block: the source can be asked again.
func (s *Service) answered(ctx context.Context, b *batch) error {
	if !s.asksOver(b) {
		return nil
	}
	ended, err := s.deps.Fetches.Unblock(ctx, b.tenant, b.app, b.connection.Name, fingerprint(b))
	if ended {
		s.log.Info("the source answers again", slog.String("tenant", string(b.tenant)), slog.String("connection", b.connection.Name))
	}
	return err
}
