package kafka

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// gatherAtMost is how long records wait for those before them to be acknowledged,
// twice that at worst. A broker in good health answers sooner; a silent one must
// not hold up what goes to the others.
const gatherAtMost = time.Millisecond

// gathering hands to the client at once what many callers bring at about the
// same time. The client by itself sends what it has whenever it may: where 64
// callers wait, eight records in a request, and a request costs this process and
// the broker several times what a record in it does.
//
// What comes while nothing is under way goes without delay. The rest goes
// together as soon as the first record of those before is acknowledged.
type gathering struct {
	produce func(context.Context, *kgo.Record, func(*kgo.Record, error)) // must not wait

	// order is held while records are handed over, so that the client gets them
	// in the order in which they were brought.
	order sync.Mutex

	mu       sync.Mutex
	underWay bool
	group    int // number of the one under way
	waiting  []brought
	room     []brought // for those that wait next
	watched  bool      // a timer will look whether they still wait
}

// brought are the records of one caller.
type brought struct {
	ctx     context.Context //nolint:containedctx // carries values to the client, nothing else
	recs    []*kgo.Record
	promise func(*kgo.Record, error)
}

// bring never waits.
func (g *gathering) bring(ctx context.Context, recs []*kgo.Record, promise func(*kgo.Record, error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, brought{ctx, recs, promise})
	if g.underWay {
		g.watch()
		return
	}
	g.underWay = true
	go g.hand()
}

// next ends the wait for a group, the first time that it is called for it.
func (g *gathering) next(group int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if group != g.group {
		return
	}
	g.group++
	g.underWay = len(g.waiting) > 0
	if g.underWay {
		go g.hand()
	}
}

// watch ends the wait for a group that stays under way. One timer serves many
// groups: one for each would wake the process more often than they do.
func (g *gathering) watch() {
	if g.watched {
		return
	}
	g.watched = true
	n := g.group
	time.AfterFunc(gatherAtMost, func() {
		g.next(n)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.watched = false
		if len(g.waiting) > 0 {
			g.watch()
		}
	})
}

// hand gives the client all that waits. It may find nothing: what is closed is
// emptied first.
func (g *gathering) hand() {
	runtime.Gosched() // whoever is about to bring something does so first
	g.order.Lock()
	defer g.order.Unlock()
	g.mu.Lock()
	n, group := g.group, g.waiting
	g.waiting, g.room = g.room[:0], nil
	g.mu.Unlock()
	for i, b := range group {
		promise := b.promise
		if i == 0 {
			promise = func(r *kgo.Record, err error) {
				b.promise(r, err)
				g.next(n)
			}
		}
		for _, r := range b.recs {
			g.produce(b.ctx, r, promise)
		}
	}
	clear(group)
	g.mu.Lock()
	g.room = group[:0]
	g.mu.Unlock()
}
