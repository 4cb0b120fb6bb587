package delivery

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/postgres"
)

const (
	// breakerWindow: failures that are further apart than this are no outage.
	breakerWindow = time.Minute
	// breakerLongest bounds how long a destination that is back waits for a call.
	breakerLongest = 30 * time.Second
	// breakerRamp is the outage after which a lane is drained with a ramp: what
	// was down that long may not take everything at once.
	breakerRamp = 30 * time.Second
)

// breakers is what this process knows of the lanes' breakers. They stand in the
// lanes' rows, for all processes; counted are the failures that this one saw.
type breakers struct {
	mu     sync.Mutex
	byLane map[int32]*breaker
}

type breaker struct {
	failures int       // without an answer between them
	first    time.Time // of these
	openings int32     // as last heard; 0: closed
}

func newBreakers() *breakers { return &breakers{byLane: map[int32]*breaker{}} }

func (b *breakers) of(lane int32) *breaker {
	x := b.byLane[lane]
	if x == nil {
		x = &breaker{}
		b.byLane[lane] = x
	}
	return x
}

// learn takes over how often a lane's breaker has opened.
func (b *breakers) learn(lane, openings int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.of(lane).openings = openings
}

// learnAll takes over all lanes: those not among the broken ones are closed.
func (b *breakers) learnAll(broken []postgres.Lane) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range b.byLane {
		x.openings = 0
	}
	for _, l := range broken {
		b.of(l.ID).openings = l.Breaker.Openings
	}
}

// shut reports that no call may go but a trial: what was claimed while the
// breaker was closed turns back.
func (b *breakers) shut(lane int32) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.of(lane).openings > 0
}

// answered forgets the failures, and reports whether the breaker has to be
// closed.
func (b *breakers) answered(lane int32) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.of(lane)
	x.failures = 0
	return x.openings > 0
}

// failed counts a call that had no answer, and reports whether the breaker has
// to open, and after how many openings. A trial's failure is enough; one of a
// call that was under way when it opened says nothing new.
func (b *breakers) failed(lane int32, trial bool, now time.Time, after int) (seen int32, open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.of(lane)
	if x.openings > 0 {
		return x.openings, trial
	}
	if x.failures == 0 || now.Sub(x.first) > breakerWindow {
		x.failures, x.first = 0, now
	}
	if x.failures++; x.failures < after {
		return 0, false
	}
	x.failures = 0
	return 0, true
}

// broke tells the lane's breaker how a call went. err is of the connection,
// status of the answer.
func (a *attempt) broke(ctx context.Context, status int, err error) {
	s, lane := a.s, a.row.Lane
	if err != nil && fault.Of(err).Class != fault.Retryable {
		return // the destination was not asked
	}
	trial := a.probing || !a.trial.IsZero()
	a.trial = time.Time{} // further calls are no trial any more
	if err == nil && status < 500 {
		if s.breakers.answered(lane) {
			a.closeBreaker(ctx)
		}
		return
	}
	code := "http_5xx"
	if err != nil {
		code = fault.Of(err).Code
	}
	if seen, open := s.breakers.failed(lane, trial, s.deps.Clock(), s.cfg.BreakerAfter); open {
		a.openBreaker(ctx, seen, code)
	}
}

// breakerTimeout bounds a write whose call may have used its own time up.
const breakerTimeout = 5 * time.Second

func (a *attempt) openBreaker(ctx context.Context, seen int32, code string) {
	s, r := a.s, a.row
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), breakerTimeout)
	defer cancel()
	stands, opened, err := s.deps.Rows.OpenBreaker(ctx, r.Lane, seen, s.cfg.BreakerPause, min(s.cfg.BackoffMax, breakerLongest), code)
	if err != nil {
		s.log.Warn("breaker opened in this process only", slog.String("tenant", string(r.Tenant)), slog.String("connection", a.connection.Name), slog.String("error", err.Error()))
		s.breakers.learn(r.Lane, seen+1)
		return
	}
	s.breakers.learn(r.Lane, stands.Openings)
	if !opened {
		return // another process was first
	}
	s.metrics.breaks.WithLabelValues(r.App).Inc()
	if seen == 0 {
		s.log.Warn("destination is down, its rows wait", slog.String("tenant", string(r.Tenant)), slog.String("connection", a.connection.Name),
			slog.String("account", r.RemoteAccount), slog.String("code", code))
	}
}

func (a *attempt) closeBreaker(ctx context.Context) {
	s, r := a.s, a.row
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), breakerTimeout)
	defer cancel()
	closed, err := s.deps.Rows.CloseBreaker(ctx, r.Lane, breakerRamp)
	if err != nil {
		// The next call that is answered tries again.
		s.log.Warn("breaker not closed", slog.String("tenant", string(r.Tenant)), slog.String("connection", a.connection.Name), slog.String("error", err.Error()))
		return
	}
	s.breakers.learn(r.Lane, 0)
	if closed {
		s.log.Info("destination answers again", slog.String("tenant", string(r.Tenant)), slog.String("connection", a.connection.Name), slog.String("account", r.RemoteAccount))
		s.nudge()
	}
}

// trials takes the one call of each half-open lane that has due rows, where
// nobody else has it: of so many at a time that the others keep their slots.
func (s *Service) trials(ctx context.Context, halfOpen []postgres.Lane) (map[int32]time.Time, error) {
	mine := map[int32]time.Time{}
	for _, l := range halfOpen {
		if int(s.trialing.Load())+len(mine) >= max(1, s.cfg.InFlight/4) {
			break
		}
		until, err := s.deps.Rows.TakeTrial(ctx, l.ID, s.cfg.Lease)
		if err != nil {
			return mine, err
		}
		if !until.IsZero() {
			mine[l.ID] = until
		}
	}
	return mine, nil
}

// try makes an attempt with its lane's trial call.
func (s *Service) try(ctx, work context.Context, a *attempt) {
	s.trialing.Add(1)
	defer s.trialing.Add(-1)
	a.run(ctx, work)
	if !a.trial.IsZero() {
		s.dropTrial(work, a.row.Lane, a.trial)
	}
}

// dropTrial gives back a trial that came to no call.
func (s *Service) dropTrial(ctx context.Context, lane int32, trial time.Time) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), breakerTimeout)
	defer cancel()
	if err := s.deps.Rows.DropTrial(ctx, lane, trial); err != nil {
		s.log.Warn("trial call not given back, it ends with its lease", slog.Int("lane", int(lane)), slog.String("error", err.Error()))
	}
}

// lookAtBreakers takes over what other processes found out of lanes that this
// one has no due rows of.
func (s *Service) lookAtBreakers(ctx context.Context) error {
	broken, err := s.deps.Rows.Broken(ctx)
	if err != nil {
		return err
	}
	s.breakers.learnAll(broken)
	s.metrics.breakers.Reset()
	for _, l := range broken {
		s.metrics.breakers.WithLabelValues(l.App).Inc()
	}
	return nil
}
