package stage

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/redis/redistest"
)

// slot is one place for a process; like an orchestrator it starts a new one
// where one has crashed.
type slot struct {
	mu   sync.Mutex
	stop context.CancelFunc // of the process that runs
	quit bool
	done chan struct{}
}

func (b *bed) slot(name string, failpoint func(string) error) *slot {
	s := &slot{done: make(chan struct{})}
	b.t.Cleanup(func() {
		s.mu.Lock()
		s.quit = true
		s.mu.Unlock()
		s.restart()
		<-s.done
	})
	go func() {
		defer close(s.done)
		for {
			r, _ := b.newRunner(named(name))
			r.failpoint = failpoint
			ctx, cancel := context.WithCancel(context.Background())
			s.mu.Lock()
			s.stop = cancel
			quit := s.quit
			s.mu.Unlock()
			if quit {
				cancel()
				return
			}
			if err := r.Run(ctx); err != nil && !errors.Is(err, errCrash) {
				b.t.Errorf("a member ended with %v", err)
			}
			cancel()
		}
	}()
	return s
}

func (s *slot) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		s.stop()
	}
}

// Members crash at every step, come and go, commits lose their replies and
// Redis forgets, at random; the changelog must read as if nothing had happened.
func TestChangelogIsRightThroughRandomFaults(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	b := newBed(t, 4)
	var crashes, armed atomic.Int64
	failpoint := func(string) error {
		if n := armed.Load(); n > 0 && armed.CompareAndSwap(n, n-1) {
			crashes.Add(1)
			return errCrash
		}
		return nil
	}
	slots := []*slot{b.slot("one", failpoint), b.slot("two", failpoint)}
	var lost []func() int64
	for range 20 {
		b.feed(60, 1)
		switch rng.IntN(6) {
		case 0:
			redistest.Flush(t, b.url)
		case 1:
			lost = append(lost, b.kafka.LoseCommitReplies(1))
		case 2:
			lost = append(lost, b.kafka.MisreportCommits(1))
		case 3:
			slots[rng.IntN(len(slots))].restart()
		case 4, 5:
			armed.Add(1)
		}
		b.feed(60, 1)
		if rng.IntN(3) > 0 {
			b.check() // else the next fault comes on top of this one
		}
	}
	b.check()
	total := int64(0)
	for _, l := range lost {
		total += l()
	}
	t.Logf("%d crashes, %d commits without their answer", crashes.Load(), total)
}
