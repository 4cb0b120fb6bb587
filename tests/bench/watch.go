package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A watch sends numbered states of a set of accounts at a low and steady rate,
// each until it is accepted, as a source does, and looks at every command that
// comes out: when, of which state, in which order.
type watch struct {
	p    *platform
	sink *kgo.Client

	mu    sync.Mutex
	sent  []state
	last  map[string]int          // newest version seen, by topic and key
	seen  map[string]map[int]bool // versions seen
	first map[string][]arrival    // by topic and key, versions increasing
	at    []time.Time             // of every command
	twice []string
	back  []string
	began int // versions before this watch
}

type state struct {
	key     string
	version int
	due     time.Time
}

type arrival struct {
	version int
	at      time.Time
}

const (
	watchKeys   = 600
	settleLimit = 2 * time.Minute
	retryAfter  = 200 * time.Millisecond
)

// A command carries the version in its phone number, whatever the destination
// calls the field.
var phoneOf = regexp.MustCompile(`207[ ).-]*555[ -]?(\d{4})`)

func newWatch(ctx context.Context, p *platform) (*watch, error) {
	w := &watch{p: p, last: map[string]int{}, seen: map[string]map[int]bool{}, first: map[string][]arrival{}}
	assigned := map[string]map[int32]kgo.Offset{}
	for _, topic := range p.outbound() {
		assigned[topic] = map[int32]kgo.Offset{}
		for i := range int32(partitions) {
			assigned[topic][i] = kgo.NewOffset().AtStart()
		}
	}
	var err error
	w.sink, err = kgo.NewClient(kgo.SeedBrokers(strings.Split(p.cluster.Brokers, ",")...), kgo.MetadataMinAge(metadataMinAge),
		kgo.RequestTimeoutOverhead(2*time.Second), kgo.DialTimeout(2*time.Second),
		kgo.ConsumePartitions(assigned), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	go w.read(ctx)
	return w, nil
}

func (w *watch) read(ctx context.Context) {
	for {
		fetches := w.sink.PollFetches(ctx)
		if fetches.IsClientClosed() || ctx.Err() != nil {
			return
		}
		now := time.Now()
		w.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) { w.note(r, now) })
		w.mu.Unlock()
	}
}

func (w *watch) note(r *kgo.Record, now time.Time) {
	m := phoneOf.FindSubmatch(r.Value)
	if m == nil {
		return
	}
	version, _ := strconv.Atoi(string(m[1])) // four digits
	id := r.Topic + " " + string(r.Key)
	w.at = append(w.at, now)
	if w.seen[id] == nil {
		w.seen[id] = map[int]bool{}
	}
	switch {
	case w.seen[id][version]:
		w.twice = append(w.twice, fmt.Sprintf("%s version %d", id, version))
	case version < w.last[id]:
		w.back = append(w.back, fmt.Sprintf("%s version %d after %d", id, version, w.last[id]))
	default:
		w.last[id] = version
		w.first[id] = append(w.first[id], arrival{version, now})
	}
	w.seen[id][version] = true
}

// send offers perSecond states a second until stop is closed.
func (w *watch) send(ctx context.Context, perSecond int, stop <-chan struct{}) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	start := time.Now()
	for i := 0; ; i++ {
		at := due(start, i, perSecond)
		timer := time.NewTimer(time.Until(at))
		select {
		case <-timer.C:
		case <-stop:
			timer.Stop()
			return nil
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		n, version := i%watchKeys, w.began+i/watchKeys+1
		hs, err := hooks(1, n, version, false, time.Now())
		if err != nil {
			return err
		}
		w.mu.Lock()
		w.sent = append(w.sent, state{key: hs[0].key, version: version, due: at})
		w.mu.Unlock()
		request := hs[0].request(w.p.listen, hs[0].path)
		wg.Go(func() { w.insist(ctx, request) })
	}
}

// insist repeats a request until it is accepted.
func (w *watch) insist(ctx context.Context, request []byte) {
	for ctx.Err() == nil {
		c, err := dial(ctx, w.p.listen)
		if err == nil {
			err = c.post(request)
			_ = c.c.Close() // one request
		}
		if err == nil {
			return
		}
		timer := time.NewTimer(retryAfter)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// settled waits until every state has come out, or a newer one of its record,
// at every destination, and reports how many never did.
func (w *watch) settled(ctx context.Context) (lost int) {
	end := time.NewTimer(settleLimit)
	defer end.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, lost = w.longest(time.Time{}, time.Now().Add(time.Hour)); lost == 0 {
			return 0
		}
		select {
		case <-tick.C:
		case <-end.C:
			return lost
		case <-ctx.Done():
			return lost
		}
	}
}

// longest is the longest time that a state due in [from, to] waited for itself
// or a newer one at each destination; lost counts those that still do.
func (w *watch) longest(from, to time.Time) (wait time.Duration, lost int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sent {
		if s.due.Before(from) || s.due.After(to) {
			continue
		}
		for _, topic := range w.p.outbound() {
			came := false
			for _, a := range w.first[topic+" "+s.key] {
				if a.version >= s.version {
					wait, came = max(wait, a.at.Sub(s.due)), true
					break
				}
			}
			if !came {
				lost++
			}
		}
	}
	return wait, lost
}

// next makes room for another turn, whose versions are greater.
func (w *watch) next() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sent {
		w.began = max(w.began, s.version)
	}
	w.sent, w.at, w.twice, w.back = nil, nil, nil, nil
}

func (w *watch) close() { w.sink.Close() }
