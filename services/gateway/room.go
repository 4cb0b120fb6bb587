package gateway

import (
	"sync"
	"time"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// room is the memory of one request, and then of another: nothing of a body is
// needed when its events are encoded, and nothing of the events when they are
// handed to the inbox and their ids are taken down.
type room struct {
	body    []byte
	events  []record.GatewayEvent
	headers []record.Header
	ids     []string
	timer   *time.Timer // for the answer; stopped between two requests
}

// What usual requests need, and the most that is kept of an unusual one.
const (
	usualBody     = 4 << 10
	largestKept   = 64 << 10
	mostKept      = 16
	storedHeaders = 5
)

type roomPool struct{ pool sync.Pool }

func (p *roomPool) get() *room {
	if r, ok := p.pool.Get().(*room); ok {
		return r
	}
	r := &room{
		body: make([]byte, 0, usualBody), events: make([]record.GatewayEvent, 0, 1),
		headers: make([]record.Header, 0, storedHeaders), ids: make([]string, 0, 1),
		timer: time.NewTimer(time.Hour),
	}
	r.timer.Stop()
	return r
}

func (p *roomPool) put(r *room) {
	if cap(r.body) > largestKept || cap(r.events) > mostKept {
		return
	}
	clear(r.events)
	clear(r.headers)
	clear(r.ids)
	r.body, r.events, r.headers, r.ids = r.body[:0], r.events[:0], r.headers[:0], r.ids[:0]
	r.timer.Stop()
	p.pool.Put(r)
}
