package stage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/kafka/kafkatest"
	"github.com/fluxnex/fluxnex/tests/parts"
)

// named gives a member the name of its process; "" is none.
func named(name string) func(*Config) {
	return func(c *Config) { c.Kafka.Instance = name }
}

// longLived is a named member whose session and transaction outlive the test's
// patience: whoever waits for their end is seen.
func longLived(name string) func(*Config) {
	return func(c *Config) {
		named(name)(c)
		c.TransactionTimeout, c.SessionTimeout = 4*time.Minute, 5*time.Minute
	}
}

func eachBed(t *testing.T, partitions int32, test func(*testing.T, *bed)) {
	t.Helper()
	parts.EachKafka(t, func(t *testing.T, k parts.Cluster) {
		test(t, bedOn(t, kafkatest.On(t, kafka.Config{Brokers: k.Brokers, Prefix: k.Prefix, Partitions: partitions})))
	})
}

func TestAKilledMemberGoesOnUnderItsName(t *testing.T) {
	eachBed(t, 4, func(t *testing.T, b *bed) {
		neighbour := b.start(longLived("neighbour"))
		for range 3 {
			r, s := b.newRunner(longLived("victim"))
			r.failpoint = func(point string) error {
				if point == "committed" && s.batches.Load() > 3 {
					return errCrash
				}
				return nil
			}
			victim := b.run(r, s)
			awaitCrash(t, b, victim)
		}
		restarted := b.start(longLived("victim"))
		b.feed(40, 2)
		b.check()
		for who, r := range map[string]*running{"the neighbour": neighbour, "the restarted member": restarted} {
			if len(r.Owned()) == 0 {
				t.Errorf("%s owns nothing", who)
			}
		}
	})
}

// awaitCrash feeds until the victim meets its failpoint.
func awaitCrash(t *testing.T, b *bed, victim *running) {
	t.Helper()
	kafkatest.Eventually(t, func() (bool, string) {
		select {
		case err := <-victim.ended:
			victim.ended <- nil
			return errors.Is(err, errCrash), fmt.Sprintf("ended with %v", err)
		default:
			b.feed(40, 1)
			return false, fmt.Sprintf("%d batches, ready: %v", victim.stage.batches.Load(), victim.Ready())
		}
	})
}

// A process is killed with a transaction open: its successor neither waits for
// the transaction's end nor takes its records for committed.
func TestARestartedMemberEndsItsPredecessorsTransaction(t *testing.T) {
	eachBed(t, 1, func(t *testing.T, b *bed) {
		b.feed(3, 1)
		first := b.start(longLived("victim"))
		b.check()
		first.end()
		cfg := first.cfg
		life, kill := context.WithCancel(context.Background())
		defer kill()
		dead, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(b.kafka.Config.Brokers...), kgo.WithContext(life),
			kgo.ConsumerGroup(kafka.GroupName(cfg.Kafka, cfg.Group)), kgo.ConsumeTopics(cfg.Input), kgo.InstanceID("victim"),
			kgo.Balancers(kgo.RangeBalancer()), kgo.SessionTimeout(5*time.Minute),
			kgo.TransactionalID(first.txnID), kgo.TransactionTimeout(4*time.Minute), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		if err != nil {
			t.Fatal(err)
		}
		b.feed(1, 1)
		if got := dead.PollFetches(life); got.Err() != nil || got.NumRecords() != 1 {
			t.Fatalf("the predecessor read %d records, %v", got.NumRecords(), got.Err())
		}
		if err := dead.Begin(); err != nil {
			t.Fatal(err)
		}
		if err := dead.Client().ProduceSync(life, &kgo.Record{Topic: cfg.Changelog, Key: []byte("acme/app:0"), Value: []byte("never committed")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		kill()
		dead.Close()

		b.start(longLived("victim"))
		b.feed(3, 1)
		b.check()
	})
}

func TestACleanStopHandsOverAtOnce(t *testing.T) {
	eachBed(t, 4, func(t *testing.T, b *bed) {
		goes, stays := b.start(longLived("goes")), b.start(longLived("stays"))
		b.feed(40, 2)
		for _, r := range []*running{goes, stays} {
			kafkatest.Eventually(t, func() (bool, string) {
				return len(r.Owned()) == 2, fmt.Sprintf("%d partitions of 2 are owned", len(r.Owned()))
			})
		}
		goes.end()
		b.feed(40, 2)
		b.check()
		if n := len(stays.Owned()); n != 4 {
			t.Errorf("who stays owns %d partitions of 4", n)
		}
	})
}

// Two live processes have one name: the older one ends and says why, and what
// both did reads as if one had.
func TestOfTwoWithOneNameTheOlderEnds(t *testing.T) {
	eachBed(t, 2, func(t *testing.T, b *bed) {
		older := b.start(longLived("one"))
		b.feed(20, 2)
		kafkatest.Eventually(t, func() (bool, string) {
			n := older.stage.records.Load()
			return n > 0, fmt.Sprintf("the older one handled %d", n)
		})
		newer := b.start(longLived("one"))
		var end error
		kafkatest.Eventually(t, func() (bool, string) {
			select {
			case end = <-older.ended:
				older.ended <- nil
				return true, ""
			default:
				b.feed(20, 1)
				return false, fmt.Sprintf("the older one runs, ready: %v", older.Ready())
			}
		})
		if !errors.Is(end, kafka.ErrSuperseded) || !strings.Contains(end.Error(), "FLUXNEX_INSTANCE") {
			t.Errorf("the older one ended with %v, want %v and what to do", end, kafka.ErrSuperseded)
		}
		b.feed(20, 2)
		b.check()
		if newer.stage.records.Load() == 0 {
			t.Error("the newer one handled nothing")
		}
	})
}
