package delivery

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/fluxnex/fluxnex/pkg/postgres"
)

// account is one remote account, whichever tenants use it.
type account struct{ app, remote string }

// accounts knows how much of this process each remote account may use, so that
// a dead or slow one costs the others nothing.
type accounts struct {
	each  int           // calls in flight to one account
	total int           // to all: a quarter more, so one that hangs cannot have everything
	slots chan struct{} // one for each call in flight

	mu   sync.Mutex
	byID map[account]*accountState
	held int
}

type accountState struct {
	held  int           // claimed and not finished
	slots chan struct{} // one for each call in flight to it
	// window is how much it may hold: it grows by one with each answer and is
	// halved by each silence, so a dead account soon holds one row at a time.
	window int
	limit  int       // held at most, by its rate and limits; 0 = none
	until  time.Time // its rate is used up until then
	failed time.Time // of the last halving: one burst of timeouts counts once
}

const (
	firstWindow  = 32
	halvingPause = time.Second
	// few rows an account may hold however much the others do, and they do not
	// wait long for a batch to fill.
	few = 4
)

func newAccounts(each int) *accounts {
	total := each + max(1, each/4)
	return &accounts{each: each, total: total, slots: make(chan struct{}, total), byID: map[account]*accountState{}}
}

// prefetch is how many rows are held beyond the slots: being prepared, stored
// and finished takes as long as a fast call, longer on a busy machine, and a
// slot that becomes free has to find one prepared.
func (a *accounts) prefetch() int { return max(2*a.each, claimMin) }

// slot waits for one of the account's, then for one of the process's.
func (a *accounts) slot(ctx context.Context, id account) (release func(), err error) {
	a.mu.Lock()
	own := a.state(id).slots
	a.mu.Unlock()
	select {
	case own <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case a.slots <- struct{}{}:
	case <-ctx.Done():
		<-own
		return nil, context.Cause(ctx)
	}
	return func() { <-a.slots; <-own }, nil
}

func (a *accounts) state(id account) *accountState {
	s := a.byID[id]
	if s == nil {
		s = &accountState{window: firstWindow, slots: make(chan struct{}, a.each)}
		a.byID[id] = s
	}
	return s
}

// room is how many rows may be claimed in all.
func (a *accounts) room() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.total + a.prefetch() - a.held
}

// quotas shares room between the lanes that have due rows: evenly, and what one
// account may not use goes to the others.
func (a *accounts) quotas(lanes []postgres.Lane, room int, now time.Time) []postgres.Quota {
	a.mu.Lock()
	defer a.mu.Unlock()
	using := 0 // slots, by all accounts, with what is given here
	for _, s := range a.byID {
		using += min(s.held, a.each)
	}
	free, perAccount := map[account]int{}, map[account]int{}
	for _, l := range lanes {
		id := account{l.App, l.RemoteAccount}
		free[id] = a.free(id, 0, using, now)
		perAccount[id]++
	}
	// In random order, so that a remainder is not always the same lane's.
	order := rand.Perm(len(lanes)) // #nosec G404 -- fairness, not secrecy
	slices.SortStableFunc(order, func(i, j int) int {
		return cmp.Compare(free[account{lanes[i].App, lanes[i].RemoteAccount}], free[account{lanes[j].App, lanes[j].RemoteAccount}])
	})
	given := map[account]int{}
	var out []postgres.Quota
	for n, i := range order {
		l := lanes[i]
		id := account{l.App, l.RemoteAccount}
		// Smallest first, so what it cannot use is there for those behind it.
		share := ceilDiv(room, len(order)-n)
		// Asked again, because those before it were given something: accounts that
		// nobody knows yet would else have more than there is, together.
		give := min(share, ceilDiv(a.free(id, given[id], using, now), perAccount[id]), room)
		perAccount[id]--
		if give <= 0 {
			continue
		}
		using += a.slotsOf(id, given[id]+give) - a.slotsOf(id, given[id])
		given[id] += give
		room -= give
		out = append(out, postgres.Quota{Lane: l.ID, Limit: int32(give)}) // #nosec G115 -- at most the process's capacity
	}
	return out
}

// free is how many rows more the account may be given, after those it was given
// already, while all accounts together may be using that many slots.
func (a *accounts) free(id account, given, using int, now time.Time) int {
	s := a.state(id)
	may := s.window
	if s.limit > 0 {
		may = min(may, s.limit)
	}
	if others := using - a.slotsOf(id, given); others > 0 {
		// Never all of what the others left: a fresh one has to find something.
		may = min(may, max(few, (a.total-others)*3/4))
	} else {
		may = min(may, a.each+a.prefetch())
	}
	if now.Before(s.until) {
		may = 0
	}
	// With every slot taken there is time to claim many at once.
	if s.held >= a.each && may-s.held < min(claimMin, a.prefetch()/2) {
		return 0
	}
	return max(0, may-s.held-given)
}

// slotsOf is how many slots the account may be using.
func (a *accounts) slotsOf(id account, given int) int {
	return min(a.state(id).held+given, a.each)
}

// quiet reports an account with so little on its way that nothing but the wait
// for others keeps its rows.
func (a *accounts) quiet(id account) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state(id).held <= few
}

func ceilDiv(a, b int) int {
	if a <= 0 || b <= 0 {
		return 0
	}
	return (a + b - 1) / b
}

func (a *accounts) take(id account, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state(id).held += n
	a.held += n
}

func (a *accounts) give(id account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state(id).held--
	a.held--
}

// answered and silent are told of each call.
func (a *accounts) answered(id account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.state(id)
	s.window = min(s.window+1, a.each+a.prefetch())
}

func (a *accounts) silent(id account, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.state(id)
	if now.Sub(s.failed) < halvingPause {
		return
	}
	s.failed = now
	s.window = max(1, s.window/2)
}

// exhausted keeps further rows of the account from being claimed for a while.
func (a *accounts) exhausted(id account, until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.state(id); until.After(s.until) {
		s.until = until
	}
}

func (a *accounts) limit(id account, hold int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state(id).limit = hold
}
