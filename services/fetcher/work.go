package fetcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/failpoint"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

const (
	// maxDepth is how far a chain of parents of parents is followed.
	maxDepth   = 8
	claimLimit = 2000
	gaugeEvery = 15 * time.Second
)

// work asks for due records until ctx ends; it returns when the calls in flight
// have.
func (s *Service) work(ctx context.Context) error {
	var calls sync.WaitGroup
	defer calls.Wait()
	slots := make(chan struct{}, s.cfg.InFlight)
	// What is in flight outlives ctx; its call and its lease bound it.
	inFlight := context.WithoutCancel(ctx)
	var gauged time.Time
	for ctx.Err() == nil {
		if now := s.deps.Clock(); now.Sub(gauged) >= gaugeEvery {
			gauged = now
			s.gauge(ctx, now)
		}
		batches, err := s.due(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("cannot look for fetches, trying again", slog.String("error", err.Error()))
		}
		for _, b := range batches {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return nil // the leases end by themselves
			}
			calls.Go(func() {
				defer func() { <-slots }()
				if err := s.fetch(inFlight, b); err != nil {
					s.log.Warn("fetch not finished, its lease ends by itself", slog.Any("app", b.app),
						slog.Any("object", b.object), slog.Any("records", len(b.fetches)), slog.String("error", err.Error()))
				}
			})
		}
		if len(batches) == 0 {
			s.idle(ctx)
		}
	}
	return nil
}

func (s *Service) idle(ctx context.Context) {
	timer := time.NewTimer(s.cfg.Poll)
	defer timer.Stop()
	select {
	case <-s.wake:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (s *Service) gauge(ctx context.Context, now time.Time) {
	n, oldest, err := s.deps.Fetches.Pending(ctx)
	if err != nil {
		return // the claim that follows reports it
	}
	s.metrics.pending.Set(float64(n))
	age := 0.0
	if !oldest.IsZero() {
		age = max(0, now.Sub(oldest).Seconds())
	}
	s.metrics.oldest.Set(age)
}

// batch is what one call asks for.
type batch struct {
	tenant     record.TenantID
	app        string
	object     string
	connection *controlplane.Connection
	fetcher    integration.Fetcher
	fetches    []*postgres.Fetch
}

type batchKey struct {
	tenant record.TenantID
	app    string
	object string
}

// due claims records and sorts them into calls. What need not or cannot be
// asked for is answered here.
func (s *Service) due(ctx context.Context) ([]*batch, error) {
	claimed, err := s.deps.Fetches.Claim(ctx, claimLimit, s.cfg.Lease)
	if err != nil || len(claimed) == 0 {
		return nil, err
	}
	failpoint.Hit("fetch-leased")
	if claimed, err = s.dropKnown(ctx, claimed); err != nil {
		return nil, err
	}
	groups := map[batchKey]*batch{}
	impossible := map[string][]*postgres.Fetch{}
	for _, f := range claimed {
		b, why := s.plan(f)
		if why != "" {
			impossible[why] = append(impossible[why], f)
			continue
		}
		key := batchKey{b.tenant, b.app, b.object}
		if groups[key] == nil {
			groups[key] = b
		}
		groups[key].fetches = append(groups[key].fetches, f)
	}
	for why, fetches := range impossible {
		if err := s.fail(ctx, fetches, why); err != nil {
			return nil, err
		}
	}
	blocked, err := s.blocked(ctx)
	if err != nil {
		return nil, err
	}
	var out []*batch
	for _, g := range groups {
		if b, ok := blocked[source{g.tenant, g.app}]; ok {
			if err := s.deps.Fetches.Again(ctx, g.fetches, b.RetryAt.Sub(s.deps.Clock()), b.Code, b.Detail, false); err != nil {
				return nil, err
			}
			continue
		}
		for chunk := range slices.Chunk(g.fetches, max(1, g.fetcher.Batch())) {
			b := *g
			b.fetches = chunk
			out = append(out, &b)
		}
	}
	return out, nil
}

// dropKnown ends the fetches of records that came by themselves. The reasons
// that know the record is there, and doubt it, always ask.
func (s *Service) dropKnown(ctx context.Context, claimed []*postgres.Fetch) ([]*postgres.Fetch, error) {
	var keys []record.Key
	for _, f := range claimed {
		if f.Reason == record.FetchMissing {
			keys = append(keys, f.Key())
		}
	}
	if len(keys) == 0 || s.deps.Replicas == nil {
		return claimed, nil
	}
	live, err := s.deps.Replicas.Live(ctx, keys)
	if err != nil {
		// A view that is not ready costs a call that might have been spared.
		s.log.Info("replica view not ready, asking the source", slog.String("error", err.Error()))
		return claimed, nil
	}
	var known, rest []*postgres.Fetch
	for _, f := range claimed {
		if f.Reason == record.FetchMissing && live[f.Key()] {
			known = append(known, f)
			s.metrics.answers.WithLabelValues(f.SourceApp, "known").Inc()
			continue
		}
		rest = append(rest, f)
	}
	if len(known) > 0 {
		if err := s.deps.Fetches.Answered(ctx, known); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// plan finds how to ask for a record; why is set where that is impossible.
func (s *Service) plan(f *postgres.Fetch) (b *batch, why string) {
	if f.Depth > maxDepth {
		return nil, fmt.Sprintf("it is needed %d steps away from what was sent; %d is the most", f.Depth, maxDepth)
	}
	app, ok := s.deps.Integrations(f.SourceApp)
	if !ok || app.Fetch == nil || app.Normalize == nil {
		return nil, fmt.Sprintf("%s cannot be asked for records", f.SourceApp)
	}
	object, ok := app.Normalize.Fetchable(f.EntityType)
	if !ok {
		return nil, fmt.Sprintf("%s has no records of the type %q to ask for", f.SourceApp, f.EntityType)
	}
	connection := s.connection(f.Tenant, f.SourceApp)
	if connection == nil {
		return nil, fmt.Sprintf("tenant %s has no connection to %s", f.Tenant, f.SourceApp)
	}
	return &batch{tenant: f.Tenant, app: f.SourceApp, object: object, connection: connection, fetcher: app.Fetch}, ""
}

// connection is the one that a tenant's records of an app are asked for over;
// nil if there is none.
func (s *Service) connection(tenant record.TenantID, app string) *controlplane.Connection {
	connections := s.deps.Snapshots.Current().ConnectionsOf(tenant, app)
	if len(connections) == 0 {
		return nil
	}
	return slices.MinFunc(connections, func(a, b *controlplane.Connection) int { return cmp.Compare(a.Name, b.Name) })
}

// fetch asks for one batch and sends the answers on their way.
func (s *Service) fetch(ctx context.Context, b *batch) error {
	began := s.deps.Clock()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Lease/2)
	defer cancel()
	ids := make([]string, len(b.fetches))
	byID := make(map[string]*postgres.Fetch, len(b.fetches))
	for i, f := range b.fetches {
		ids[i] = f.RecordID.Local()
		byID[ids[i]] = f
	}
	answers, err := b.fetcher.Fetch(ctx, &caller{s: s, b: b}, b.object, ids)
	s.metrics.callSeconds.Observe(s.deps.Clock().Sub(began).Seconds())
	if err != nil {
		return s.failed(ctx, b, fault.Of(err))
	}
	s.metrics.calls.WithLabelValues(b.app, "", "").Inc()
	if err := s.answered(ctx, b); err != nil {
		return err
	}
	var events []record.GatewayEvent
	var settled []*postgres.Fetch
	for _, a := range answers {
		f := byID[a.LocalID]
		if f == nil {
			continue // nobody asked
		}
		delete(byID, a.LocalID)
		settled = append(settled, f)
		events = append(events, s.event(f, a))
	}
	// What the answer leaves out is asked for again, and gives up like an error
	// nobody classified.
	if len(byID) > 0 {
		rest := *b
		rest.fetches = nil
		for _, f := range byID {
			rest.fetches = append(rest.fetches, f)
		}
		if err := s.failed(ctx, &rest, fault.New(fault.Unclassified, "not_answered", "the answer does not mention the record")); err != nil {
			return err
		}
	}
	return s.answer(ctx, events, settled)
}

// answer sends events, and only then ends the fetches: a crash between the two
// asks once more, which changes nothing.
func (s *Service) answer(ctx context.Context, events []record.GatewayEvent, settled []*postgres.Fetch) error {
	if len(events) == 0 {
		return nil
	}
	failpoint.Hit("fetch-answered")
	if _, err := s.deps.Inbox.Send(ctx, events, nil); err != nil {
		return fmt.Errorf("fetcher: %w", err)
	}
	failpoint.Hit("fetch-sent")
	if err := s.deps.Fetches.Answered(ctx, settled); err != nil {
		return err
	}
	for i := range events {
		e := &events[i]
		s.metrics.answers.WithLabelValues(e.SourceApp, string(e.Outcome)).Inc()
		s.log.Info("record.settled", slog.Any("tenant", e.TenantID), slog.Any("record", e.RecordID),
			slog.String("outcome", string(e.Outcome)), slog.String("reason", string(settled[i].Reason)), slog.Any("gateway_id", e.GatewayID), slog.String("waited", s.deps.Clock().Sub(settled[i].Requested).Round(time.Millisecond).String()))
	}
	return nil
}

func (s *Service) event(f *postgres.Fetch, a integration.Fetched) record.GatewayEvent {
	e := record.GatewayEvent{
		TenantID: f.Tenant, SourceApp: f.SourceApp, RecordID: f.RecordID, GatewayID: "gw-" + uuid.NewString(), Origin: record.OriginFetch,
		ReceivedAt: s.deps.Clock(), Outcome: a.Outcome, Detail: a.Detail, Format: a.Format, Payload: a.Payload,
		Depth: f.Depth,
	}
	if a.Outcome == record.OutcomePayload {
		e.ContentType = "application/json"
	}
	return e
}

func (s *Service) fail(ctx context.Context, fetches []*postgres.Fetch, why string) error {
	events := make([]record.GatewayEvent, len(fetches))
	for i, f := range fetches {
		events[i] = s.event(f, integration.Fetched{Outcome: record.OutcomeFailed, Detail: why})
	}
	return s.answer(ctx, events, fetches)
}

// failed gives each class of failure of a whole batch its end.
func (s *Service) failed(ctx context.Context, b *batch, f *fault.Error) error {
	s.metrics.calls.WithLabelValues(b.app, f.Class.String(), f.Code).Inc()
	attempt := b.fetches[0].Attempt
	for _, x := range b.fetches {
		attempt = min(attempt, x.Attempt)
	}
	s.log.Warn("fetch failed", slog.Any("tenant", b.tenant), slog.Any("app", b.app), slog.Any("object", b.object),
		slog.Any("records", len(b.fetches)), slog.String("class", f.Class.String()), slog.Any("code", f.Code), slog.Any("attempt", attempt+1), slog.String("error", f.Error()))
	switch f.Class {
	case fault.Business, fault.Poison, fault.Outdated, fault.Conflict:
		if len(b.fetches) > 1 {
			return s.split(ctx, b)
		}
		return s.fail(ctx, b.fetches, f.Error())
	case fault.Unclassified:
		if int(attempt)+1 >= s.cfg.Tries {
			return s.fail(ctx, b.fetches, f.Error())
		}
	case fault.Auth, fault.Retryable:
		if pause, ok := s.cause(f); ok {
			// Its clock stands still: no attempt is spent.
			if err := s.block(ctx, b, f, pause); err != nil {
				return err
			}
			return s.deps.Fetches.Again(ctx, b.fetches, pause, f.Code, f.Error(), false)
		}
	}
	return s.deps.Fetches.Again(ctx, b.fetches, s.backoff(int(attempt), f.After), f.Code, f.Error(), true)
}

// split asks for the halves of a batch that was refused as a whole, so that one
// bad id does not fail its neighbours.
func (s *Service) split(ctx context.Context, b *batch) error {
	var errs []error
	for half := range slices.Chunk(b.fetches, (len(b.fetches)+1)/2) {
		part := *b
		part.fetches = half
		errs = append(errs, s.fetch(ctx, &part))
	}
	return errors.Join(errs...)
}

func (s *Service) backoff(attempt int, after time.Duration) time.Duration {
	d := s.cfg.BackoffMax
	if attempt < 32 {
		if doubled := s.cfg.BackoffMin << attempt; doubled > 0 && doubled < d {
			d = doubled
		}
	}
	d -= time.Duration(rand.Float64() * float64(d) / 2) // #nosec G404 -- jitter
	return max(d, after)
}

// caller makes calls over the batch's connection.
type caller struct {
	s *Service
	b *batch
}

// Call implements [integration.Caller].
func (c *caller) Call(ctx context.Context, req integration.Request) (integration.Answer, error) {
	if err := c.rate(ctx); err != nil {
		return integration.Answer{}, err
	}
	answer, err := c.s.deps.HTTP.Do(ctx, c.b.connection.BaseURL, req, c.s.deps.Credentials.Authorizer(c.b.connection, nil))
	if err != nil {
		return integration.Answer{}, err
	}
	return answer, c.b.fetcher.Classify(answer)
}

// rate takes one token of the remote account's bucket. Sources have a daily
// quota rather than a rate, so only a limit the connection names is kept.
func (c *caller) rate(ctx context.Context) error {
	l := c.b.connection.Limits
	rate := l.PerSecond
	if perMinute := float64(l.PerMinute) / 60; perMinute > 0 && (rate == 0 || perMinute < rate) {
		rate = perMinute
	}
	if rate == 0 || c.s.deps.Limiter == nil {
		return nil
	}
	for {
		ok, wait, err := c.s.deps.Limiter.Take(ctx, c.b.app+"/"+c.b.connection.RemoteAccount, rate, max(1, rate), 1)
		if err != nil {
			wait = time.Second
		}
		if ok && err == nil {
			return nil
		}
		kafka.Wait(ctx, wait)
		if ctx.Err() != nil {
			return fault.Retry("rate_limit_wait", 0, context.Cause(ctx))
		}
	}
}
