package kafka

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// gatherAtMost is how long records wait for those before them to be acknowledged.
// A broker in good health answers sooner; a silent one must not hold up what goes
// to the others.
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
	room     []brought   // for those that wait next
	limit    *time.Timer // while some wait
}

// brought are the records of one caller.
type brought struct {
	ctx     context.Context //nolint:containedctx // carries values to the client, nothing else
	recs    []*kgo.Record
	promise func(*kgo.Record, error)
}

// bring never waits for an answer.
func (g *gathering) bring(ctx context.Context, recs []*kgo.Record, promise func(*kgo.Record, error)) {
	b := brought{ctx, recs, promise}
	g.mu.Lock()
	n := g.group
	if g.underWay {
		if len(g.waiting) == 0 {
			g.limit = time.AfterFunc(gatherAtMost, func() { g.next(n) })
		}
		g.waiting = append(g.waiting, b)
		g.mu.Unlock()
		return
	}
	g.underWay = true
	g.mu.Unlock()
	g.order.Lock()
	defer g.order.Unlock()
	g.hand(n, []brought{b})
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
		g.limit.Stop()
		go g.handWaiting()
	}
}

// handWaiting may find nothing: what is closed is emptied first.
func (g *gathering) handWaiting() {
	runtime.Gosched() // whoever is about to bring some does so first
	g.order.Lock()
	defer g.order.Unlock()
	g.mu.Lock()
	n, group := g.group, g.waiting
	g.waiting, g.room = g.room[:0], nil
	g.mu.Unlock()
	if len(group) > 0 {
		g.hand(n, group)
	}
	clear(group)
	g.mu.Lock()
	g.room = group[:0]
	g.mu.Unlock()
}

func (g *gathering) hand(n int, group []brought) {
	first := group[0].promise
	group[0].promise = func(r *kgo.Record, err error) {
		first(r, err)
		g.next(n)
	}
	for _, b := range group {
		for _, r := range b.recs {
			g.produce(b.ctx, r, b.promise)
		}
	}
}
