package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

const (
	stageName = "delivery"
	// accountPause is how long an account rests after a 429 that says no time.
	accountPause = 30 * time.Second
)

func (a *attempt) released() postgres.Finished {
	return postgres.Finished{Row: a.row, Ending: postgres.EndReleased, Sent: a.sent, Doubt: a.doubt, Remote: a.progress}
}

// applied ends an operation that is complete. remote is the outcome; nil where
// nothing was sent and nothing is there.
func (a *attempt) applied(remote *integration.Remote) postgres.Finished {
	f := postgres.Finished{Row: a.row, Ending: postgres.EndApplied, Sent: a.sent || a.row.Doubt != nil, Remote: remote, Digest: a.wanted, References: a.without}
	if string(a.op.Payload) != string(a.row.Payload) {
		f.Payload = a.op.Payload
	}
	return f
}

// failed ends in a standing that only a person or a newer state changes.
func (a *attempt) failed(f *fault.Error) postgres.Finished {
	out := a.end(postgres.EndFailed, f)
	audience := record.AudienceSupport
	if f.Class == fault.Business {
		audience = record.AudienceCustomer
	} else {
		out.DeadLetter = a.deadLetter(f)
	}
	out.Notification = a.notification(audience, f)
	return out
}

func (a *attempt) end(ending postgres.Ending, f *fault.Error) postgres.Finished {
	return postgres.Finished{
		Row: a.row, Ending: ending, Sent: a.sent, Doubt: a.doubt, Remote: a.progress,
		Class: f.Class.String(), Code: f.Code, Detail: f.Cause(),
	}
}

// refused gives each class of failure its one end.
func (a *attempt) refused(ctx context.Context, err error) (postgres.Finished, error) {
	if errors.Is(err, errLeaseOver) {
		return a.released(), nil
	}
	f := fault.Of(err)
	if f.Class == fault.Retryable && f.Scope == fault.ScopeAccount {
		f = a.pause(ctx, f)
	}
	switch f.Class {
	case fault.Retryable:
		return a.retry(f), nil
	case fault.Conflict:
		// Somebody else edits the same object all the time: give way for a while.
		return a.retry(f), nil
	case fault.Business:
		return a.failed(f), nil
	case fault.Auth:
		return a.blocked(ctx, f), nil
	case fault.Outdated:
		return a.applied(a.op.Applied), nil
	case fault.Poison:
		return a.failed(f), nil
	case fault.Unclassified:
		if int(a.row.Attempt)+1 < a.s.cfg.Tries {
			return a.retry(f), nil
		}
		return a.failed(f), nil
	}
	return postgres.Finished{}, fmt.Errorf("delivery: unknown class %d", f.Class)
}

// noticeQuota names notifications about an account's used-up quota.
const noticeQuota = "quota"

// longPause is one that somebody should know of.
const longPause = 10 * time.Minute

// pause stops the account for all processes. The answer says how long.
func (a *attempt) pause(ctx context.Context, f *fault.Error) *fault.Error {
	g := *f
	if g.After == 0 {
		g.After = accountPause
	}
	if midnight := a.midnight(); g.Daily && midnight > 0 {
		g.After = midnight
	}
	if err := a.s.deps.Rows.Pause(ctx, a.row.App, a.row.RemoteAccount, g.After, g.Code); err != nil {
		a.s.log.Warn("account not paused", slog.Any("app", a.row.App), slog.Any("account", a.row.RemoteAccount), slog.String("error", err.Error()))
	}
	if g.After >= longPause {
		n := a.connectionNotice(&g, noticeQuota)
		n.Code = noticeQuota
		n.Remedy = "Nothing need be done: what waits is sent when the quota is there again. If this happens often, raise the account's quota or lower the connection's limits."
		n.Message = fmt.Sprintf("the quota of account %s is used up (%s): paused for %s", a.row.RemoteAccount, f.Code, g.After.Round(time.Minute))
		if err := a.s.deps.Rows.Notify(ctx, n); err != nil {
			a.s.log.Warn("used-up quota not told", slog.Any("app", a.row.App), slog.Any("account", a.row.RemoteAccount), slog.String("error", err.Error()))
		}
	}
	return &g
}

// midnight is how long the account's day lasts still; 0 where its connection
// does not say in which time zone that is.
func (a *attempt) midnight() time.Duration {
	name, _ := a.connection.Settings["time_zone"].(string)
	zone, err := time.LoadLocation(name)
	if name == "" || err != nil {
		return 0
	}
	now := a.s.deps.Clock().In(zone)
	return time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, zone).Sub(now)
}

func (a *attempt) retry(f *fault.Error) postgres.Finished {
	out := a.end(postgres.EndRetry, f)
	out.Delay = backoff(a.s.cfg, int(a.row.Attempt), f.After, rand.Float64()) // #nosec G404 -- jitter
	return out
}

// backoff doubles from BackoffMin to BackoffMax, less up to half of it by
// chance; what the destination asked for is never undercut.
func backoff(cfg Config, attempt int, after time.Duration, chance float64) time.Duration {
	d := cfg.BackoffMax
	if attempt < 32 {
		if doubled := cfg.BackoffMin << attempt; doubled > 0 && doubled < d {
			d = doubled
		}
	}
	d -= time.Duration(chance * float64(d) / 2)
	if after > 0 {
		return after + time.Duration(chance*float64(min(after/10, cfg.BackoffMax)))
	}
	return d
}

// blocked stops the lane: its credential is dead. The row goes back as it came.
func (a *attempt) blocked(ctx context.Context, f *fault.Error) postgres.Finished {
	version, err := a.s.deps.Credentials.Version(ctx, a.connection)
	if err == nil {
		n := a.connectionNotice(f, "auth")
		n.Remedy = strings.TrimSpace(fmt.Sprintf("%s Run `fluxnex connection reauthorize %s %q`; what waits is then sent.", n.Remedy, a.row.Tenant, a.connection.Name))
		var first bool
		if first, err = a.s.deps.Rows.Block(ctx, a.row.Lane, version, f.Code, n); first {
			a.s.metrics.blocks.WithLabelValues(a.row.App).Inc()
			a.s.log.Warn("connection blocked", slog.Any("tenant", a.row.Tenant),
				slog.Any("connection", a.connection.Name), slog.Any("code", f.Code), slog.String("error", f.Error()))
		}
	}
	if err != nil {
		a.s.log.Warn("connection not blocked, trying again", slog.Any("tenant", a.row.Tenant), slog.Any("connection", a.connection.Name), slog.String("error", err.Error()))
		return a.retry(f)
	}
	out := a.released()
	out.Class, out.Code, out.Detail = f.Class.String(), f.Code, f.Cause()
	return out
}

func (a *attempt) notification(audience record.Audience, f *fault.Error) *record.Notification {
	r := a.row
	message := f.Error()
	if f.Err != nil {
		message = f.Err.Error()
	}
	return &record.Notification{
		TenantID: r.Tenant, SourceApp: r.SourceApp, RecordID: r.RecordID, Audience: audience, Stage: stageName,
		Class: f.Class.String(), Code: f.Code, Message: message, Remedy: f.Remedy, Target: r.TargetName, Object: r.Object,
		Fingerprint: fingerprint(r.RecordID, r.TargetName, r.Object, f.Code), Revision: r.Version.Revision,
		At: a.s.deps.Clock(), Lineage: r.Lineage,
	}
}

func fingerprint(id record.ID, target, object, code string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{stageName, string(id), target, object, code}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// deadLetter keeps what could not be processed. There are no original bytes of
// a topic any more: the row's payload is what is left to look at.
func (a *attempt) deadLetter(f *fault.Error) *record.DeadLetter {
	r := a.row
	return &record.DeadLetter{
		TenantID: r.Tenant, SourceApp: r.SourceApp, RecordID: r.RecordID, Topic: a.s.deps.Topics.Outbound(r.App), Partition: r.Lineage.Partition,
		Offset: r.Version.Source, Key: []byte(r.Key()), Value: r.Payload, Stage: stageName, Class: f.Class.String(), Code: f.Code, Error: f.Error(),
		At: a.s.deps.Clock(),
	}
}

// describe adds the result that is published, where there is something to tell.
func (a *attempt) describe(f *postgres.Finished) {
	r := a.row
	outcome := ""
	switch f.Ending {
	case postgres.EndApplied:
		outcome = "applied"
		if !f.Sent {
			outcome = "unchanged"
		}
	case postgres.EndFailed:
		outcome = "failed"
	case postgres.EndWaiting:
		outcome = "waiting"
	case postgres.EndRetry:
		if r.Attempt != 0 {
			return // the first retry was told; the rest is in the metrics
		}
		outcome = "retrying"
	case postgres.EndReleased:
		if a.doubt || !a.takenBack() {
			return
		}
		outcome = "withdrawn"
		if a.noRoute {
			f.Code, f.Detail = postgres.ReasonRouteRemoved, postgres.RouteRemoved
		}
	}
	now := a.s.deps.Clock()
	result := &record.DeliveryResult{
		TenantID: r.Tenant, SourceApp: r.SourceApp, RecordID: r.RecordID, App: r.App, RemoteAccount: r.RemoteAccount, TargetName: r.TargetName,
		Object: r.Object, Type: r.Type, Verb: r.Verb, Outcome: outcome, Attempts: r.Attempt + 1, Class: f.Class, Code: f.Code, Detail: f.Detail,
		At: now, Revision: r.Version.Revision, Lineage: r.Lineage.WithHop(stageName, now),
		LatencyMillis: now.Sub(r.Lineage.ReceivedAt).Milliseconds(),
	}
	remote := f.Remote
	if remote == nil {
		remote = r.Applied
	}
	if remote != nil {
		result.DestinationID, result.DestinationVersion = remote.ID, remote.Version
		if remote.Type != "" {
			result.Type = remote.Type
		}
	}
	f.Result = result
}

// settled is the one line and the counts of an attempt that is over.
func (a *attempt) settled(ctx context.Context, f *postgres.Finished, held bool) {
	outcome := string(f.Ending)
	if f.Result != nil {
		outcome = f.Result.Outcome
	}
	if !held {
		outcome = "lease_lost"
		a.s.metrics.leasesLost.Inc()
	}
	m, r, now := a.s.metrics, a.row, a.s.deps.Clock()
	m.attempts.WithLabelValues(r.App, outcome, f.Class, f.Code).Inc()
	m.attemptSeconds.Observe(now.Sub(a.began).Seconds())
	if outcome == "applied" {
		m.endToEnd.WithLabelValues(r.App).Observe(now.Sub(r.Lineage.ReceivedAt).Seconds())
	}
	level := slog.LevelInfo
	if f.Ending == postgres.EndFailed || !held {
		level = slog.LevelWarn
	}
	a.s.log.LogAttrs(ctx, level, "record.settled",
		slog.String("tenant", string(r.Tenant)), slog.String("record", string(r.RecordID)), slog.String("target", r.TargetName), slog.String("object", r.Object),
		slog.String("revision", r.Version.Revision.String()), slog.String("outcome", outcome), slog.String("class", f.Class), slog.String("code", f.Code),
		slog.Int("attempt", int(r.Attempt)+1), slog.Duration("duration", now.Sub(a.began)), slog.String("gateway_id", r.Lineage.GatewayID))
}
