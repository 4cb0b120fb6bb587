package stage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/kafka/kafkatest"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/redis"
	"github.com/fluxnex/fluxnex/pkg/redis/redistest"
)

func TestEveryRecordIsFoldedOnceAndInOrder(t *testing.T) {
	b := newBed(t, 4)
	b.feed(50, 5)
	r := b.start(nil)
	b.check()
	b.feed(50, 5)
	b.check()
	kafkatest.Eventually(t, func() (bool, string) { err := r.Ready(); return err == nil, fmt.Sprint(err) })
}

func TestEveryChangeIsSettled(t *testing.T) {
	b := newBed(t, 4)
	r := b.start(nil)
	b.feed(20, 3)
	b.check()
	kafkatest.Eventually(t, func() (bool, string) {
		got := r.stage.settledStates()
		for key := range b.fed {
			if want := "3 6 3"; got[record.Key(key)] != want {
				return false, fmt.Sprintf("settled state of %s is %q, want %q", key, got[record.Key(key)], want)
			}
		}
		return true, ""
	})
}

func TestTwoMembersShareTheWorkThroughRebalances(t *testing.T) {
	b := newBed(t, 6)
	first := b.start(nil)
	b.feed(100, 5)
	kafkatest.Eventually(t, func() (bool, string) {
		n := first.stage.records.Load()
		return n > 0, fmt.Sprintf("first member handled %d", n)
	})
	second := b.start(nil)
	kafkatest.Eventually(t, func() (bool, string) {
		b.feed(100, 1)
		n := second.stage.records.Load()
		return n > 0, fmt.Sprintf("second member handled %d", n)
	})
	b.feed(100, 3)
	first.end()
	b.feed(100, 3)
	third := b.start(nil)
	b.feed(100, 3)
	second.end()
	b.feed(100, 3)
	b.check()
	if third.stage.records.Load() == 0 {
		t.Error("the third member handled nothing")
	}
}

func TestAMemberWithoutPartitionsIsReady(t *testing.T) {
	b := newBed(t, 1)
	members := []*running{b.start(nil), b.start(nil)}
	for _, m := range members {
		kafkatest.Eventually(t, func() (bool, string) { err := m.Ready(); return err == nil, fmt.Sprint(err) })
	}
}

func TestLostRedisCostsTimeButNoFields(t *testing.T) {
	b := newBed(t, 4)
	b.start(nil)
	for range 5 {
		b.feed(50, 2)
		redistest.Flush(t, b.url)
		b.feed(50, 2)
	}
	b.check()
}

func TestIdleOwnerNoticesALostView(t *testing.T) {
	b := newBed(t, 2)
	b.start(nil)
	b.feed(10, 2)
	b.check()
	redistest.Flush(t, b.url)
	b.check() // nothing is fed: the owner has to find out by itself
}

func TestRestoredOlderDumpIsFoldedForward(t *testing.T) {
	b := newBed(t, 2)
	b.start(nil)
	b.feed(10, 2)
	b.check()
	restore := redistest.Snapshot(t, b.url)
	b.feed(10, 3)
	b.check()
	restore()
	b.feed(10, 1)
	b.check()
}

func TestCommitWhoseReplyIsLostIsNotRepeated(t *testing.T) {
	for name, fault := range map[string]func(*kafkatest.Cluster) func() int64{
		"connection closed":    func(c *kafkatest.Cluster) func() int64 { return c.LoseCommitReplies(2) },
		"unknown server error": func(c *kafkatest.Cluster) func() int64 { return c.MisreportCommits(2) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, 2)
			b.start(nil)
			b.feed(10, 2)
			b.check()
			lost := fault(b.kafka)
			b.feed(10, 3)
			kafkatest.Eventually(t, func() (bool, string) { n := lost(); return n > 0, fmt.Sprintf("%d replies lost", n) })
			b.feed(10, 3)
			b.check()
		})
	}
}

func TestCrashBetweenCommitAndApply(t *testing.T) { crashAt(t, "committed") }

func TestCrashBetweenApplyAndSettle(t *testing.T) { crashAt(t, "applied") }

// crashAt lets the first member die at a failpoint after some commits, and
// looks whether the next one makes up for what it left undone.
func crashAt(t *testing.T, point string) {
	b := newBed(t, 2)
	r, s := b.newRunner(named("one"))
	var armed atomic.Bool
	r.failpoint = func(at string) error {
		if at == point && armed.Load() {
			return errCrash
		}
		return nil
	}
	first := b.run(r, s)
	b.feed(10, 2)
	b.check()
	armed.Store(true)
	b.feed(10, 1)
	if err := <-first.ended; !errors.Is(err, errCrash) {
		t.Fatalf("the first member ended with %v, want the crash", err)
	}
	first.ended <- nil
	second := b.start(named("one"))
	kafkatest.Eventually(t, func() (bool, string) {
		return len(second.Owned()) == 2, fmt.Sprintf("partitions %v of 2 are folded", second.Owned())
	})
	b.kafka.WaitLag("sums", b.topics.Gateway())
	// Changes are settled one batch after the other: with this one all before it
	// are, and what is not then never will be.
	last := record.Key("acme/app:last")
	b.fed[string(last)]++
	b.kafka.Produce(b.topics.Gateway(), kafka.Message{Key: []byte(last), Value: []byte("1")})
	kafkatest.Eventually(t, func() (bool, string) {
		got := second.stage.settledStates()[last]
		return got == "1 1 1", fmt.Sprintf("the last change is settled as %q", got)
	})
	got := s.settledStates()
	maps.Copy(got, second.stage.settledStates())
	for key := range b.fed {
		if record.Key(key) != last && got[record.Key(key)] != "3 6 3" {
			t.Fatalf("settled state of %s is %q, want \"3 6 3\"", key, got[record.Key(key)])
		}
	}
	b.feed(10, 1)
	b.check()
}

// TestChecksAreMadeWhereOnlyAnotherPartitionsViewIsLost: a batch of two
// partitions, one of whose views is gone when it is applied.
func TestChecksAreMadeWhereOnlyAnotherPartitionsViewIsLost(t *testing.T) {
	b := newBed(t, 2)
	r, s := b.newRunner(nil)
	var armed atomic.Bool
	r.failpoint = func(at string) error {
		if at == "committed" && armed.CompareAndSwap(true, false) {
			for _, key := range redistest.Do(t, b.url, "KEYS", "*{view:sums:*:0}").([]any) { //nolint:forcetypeassert // what KEYS answers
				redistest.Do(t, b.url, "DEL", key)
			}
		}
		return nil
	}
	b.run(r, s)
	const rounds = 4
	for n := 1; n <= rounds; n++ {
		armed.Store(n > 1)
		b.feed(10, 1)
		want := fmt.Sprintf("%d %d %d", n, n*(n+1)/2, n)
		kafkatest.Eventually(t, func() (bool, string) {
			got := s.settledStates()
			for key := range b.fed {
				if got[record.Key(key)] != want {
					return false, fmt.Sprintf("round %d: settled state of %s is %q, want %q", n, key, got[record.Key(key)], want)
				}
			}
			return true, ""
		})
	}
	if armed.Load() {
		t.Error("no view was lost")
	}
	b.check()
}

func TestPoisonRecordIsIsolatedAndItsNeighboursGoOn(t *testing.T) {
	b := newBed(t, 1)
	b.feed(20, 2)
	b.kafka.Produce(b.topics.Gateway(), kafka.Message{Key: []byte("acme/app:3"), Value: []byte("panic")})
	b.feed(20, 2)
	r, s := b.newRunner(nil)
	s.poison.Store(true)
	b.run(r, s)
	b.check()
	dead := b.kafka.Committed(b.topics.DeadLetter())
	if len(dead) != 1 || string(dead[0].Value) != "panic:panic" || string(dead[0].Key) != "acme/app:3" {
		t.Errorf("dead letters %v, want the one poisoned record", dead)
	}
}

func TestMisplacedKeyIsADeadLetter(t *testing.T) {
	b := newBed(t, 2)
	key := []byte("acme/app:1")
	wrong := 1 - kafka.Partition(key, 2)
	b.kafka.ProduceTo(b.topics.Gateway(), wrong, kafka.Message{Key: key, Value: []byte("9")})
	b.feed(10, 1)
	b.start(nil)
	b.check()
	dead := b.kafka.Committed(b.topics.DeadLetter())
	if len(dead) != 1 || !strings.HasPrefix(string(dead[0].Value), "misplaced_key") {
		t.Errorf("dead letters %v, want the misplaced one", dead)
	}
}

func TestDependencyAwayPausesWithoutDeadLetters(t *testing.T) {
	b := newBed(t, 2)
	r, s := b.newRunner(nil)
	s.away.Store(true)
	b.run(r, s)
	b.feed(10, 3)
	kafkatest.Eventually(t, func() (bool, string) {
		err := r.Ready()
		return err != nil && strings.Contains(err.Error(), "registry away") || len(b.kafka.Committed(b.topics.DeadLetter())) > 0, fmt.Sprint(err)
	})
	s.away.Store(false)
	b.check()
	if dead := b.kafka.Committed(b.topics.DeadLetter()); len(dead) > 0 {
		t.Errorf("dead letters %v, want none", dead)
	}
}

// Another stage's view that is not there yet is no empty view.
func TestAViewThatIsNotReadyHoldsTheBatchBack(t *testing.T) {
	b := newBed(t, 1)
	other := b.viewID("other", b.topics.Canonical(), 0)
	r, s := b.newRunner(func(c *Config) { c.Foreign = map[View]string{"other": b.topics.Canonical()} })
	s.foreign = true
	b.run(r, s)
	b.feed(5, 1)
	wait := func() {
		t.Helper()
		kafkatest.Eventually(t, func() (bool, string) {
			err := r.Ready()
			return err != nil && strings.Contains(err.Error(), "not ready") || s.records.Load() > 0, fmt.Sprint(err)
		})
	}
	wait()
	apply := func(batch redis.Batch) {
		t.Helper()
		batch.ID = other
		if ok, err := b.redis.Views().Apply(context.Background(), []redis.Batch{batch}); err != nil || !ok[0] {
			t.Fatalf("apply: %v %v", ok, err)
		}
	}
	apply(redis.Batch{From: redis.NoCheckpoint, To: 3, Building: true})
	wait()
	if n := s.records.Load(); n > 0 {
		t.Errorf("%d records were computed on a view that is not ready", n)
	}
	apply(redis.Batch{From: 3, To: 5})
	b.check()
}

func TestFailingSettleHoldsTheNextCommitBackAndHeals(t *testing.T) {
	b := newBed(t, 1)
	r := b.start(nil)
	r.stage.mu.Lock()
	r.stage.failing = true
	r.stage.mu.Unlock()
	b.feed(5, 1)
	kafkatest.Eventually(t, func() (bool, string) {
		n := len(b.kafka.Committed(b.topics.Replica()))
		return n == 5, fmt.Sprintf("%d changes", n)
	})
	r.stage.mu.Lock()
	r.stage.failing = false
	r.stage.mu.Unlock()
	b.feed(5, 1)
	b.check()
}

// A member that stands still longer than its session timeout, with a
// transaction open, must not write anything when it goes on.
func TestZombieWritesNothing(t *testing.T) {
	t.Run("its partitions go to another", func(t *testing.T) { zombie(t, "", nil) })
	t.Run("its place goes to one of its name", func(t *testing.T) { zombie(t, "one", kafka.ErrSuperseded) })
}

func zombie(t *testing.T, name string, end error) {
	t.Helper()
	b := newBed(t, 2)
	frozen, thaw := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	b.kafka.Fake.ControlKey(kmsg.TxnOffsetCommit.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		if once.Swap(true) {
			return nil, nil, false
		}
		b.kafka.Fake.SleepControl(func() { close(frozen); <-thaw })
		return nil, nil, false
	})
	zombie := b.start(func(c *Config) {
		named(name)(c)
		c.TransactionTimeout, c.SessionTimeout = time.Second, 2*time.Second
	})
	b.feed(10, 2)
	<-frozen
	other := b.start(named(name))
	b.feed(10, 2)
	kafkatest.Eventually(t, func() (bool, string) {
		n := other.stage.records.Load()
		return n > 0, fmt.Sprintf("the other member handled %d", n)
	})
	close(thaw)
	b.feed(10, 2)
	b.check()
	if end == nil {
		return
	}
	if err := <-zombie.ended; !errors.Is(err, end) {
		t.Errorf("the zombie ended with %v, want %v", err, end)
	}
	zombie.ended <- nil
}

func TestTraceContextFollowsTheRecord(t *testing.T) {
	b := newBed(t, 1)
	b.fed["acme/app:1"] = 1
	b.kafka.Produce(b.topics.Gateway(), kafka.Message{Key: []byte("acme/app:1"), Value: []byte("1"), Headers: []kafka.Header{
		{Key: "traceparent", Value: []byte("00-abc-def-01")}, {Key: "x-other", Value: []byte("1")},
	}})
	b.start(nil)
	b.check()
	got := b.kafka.Committed(b.topics.Replica())[0].Headers
	want := []kafka.Header{{Key: "traceparent", Value: []byte("00-abc-def-01")}}
	if !slices.EqualFunc(got, want, func(a, b kafka.Header) bool { return a.Key == b.Key && string(a.Value) == string(b.Value) }) {
		t.Errorf("headers %v, want %v", got, want)
	}
}

func TestIdleCommitsDoNotWaitForTheInterval(t *testing.T) {
	b := newBed(t, 1)
	r := b.start(func(c *Config) { c.CommitInterval = 50 * time.Millisecond })
	for range 5 {
		b.feed(1, 1)
		b.check()
	}
	if got := r.stage.batches.Load(); got < 5 {
		t.Errorf("%d batches for 5 single records, want one each", got)
	}
}
