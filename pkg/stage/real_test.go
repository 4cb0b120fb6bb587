package stage

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/kafka/kafkatest"
	"github.com/fluxnex/fluxnex/pkg/redis/redistest"
	"github.com/fluxnex/fluxnex/tests/parts"
)

// The whole protocol once, on the embedded and on the real cluster: members
// come and go, Redis is lost on the way, a foreign transaction stays open.
func TestMembersComeAndGoWhileRedisIsLost(t *testing.T) {
	parts.EachKafka(t, func(t *testing.T, k parts.Cluster) {
		b := bedOn(t, kafkatest.On(t, kafka.Config{Brokers: k.Brokers, Prefix: k.Prefix, Partitions: 6}))
		first := b.start(nil)
		b.feed(200, 3)
		kafkatest.Eventually(t, func() (bool, string) {
			n := first.stage.records.Load()
			return n > 0, fmt.Sprintf("first member handled %d", n)
		})
		second := b.start(nil)
		for range 5 {
			b.feed(200, 1)
			redistest.Flush(t, b.url)
			b.feed(200, 1)
		}
		kafkatest.Eventually(t, func() (bool, string) {
			b.feed(200, 1)
			n := second.stage.records.Load()
			return n > 0, fmt.Sprintf("second member handled %d", n)
		})
		first.end()
		b.feed(200, 2)
		b.check()
	})
}

// An old owner's transaction is open when the partition changes hands: its
// records lie below the high watermark but above the last stable offset. When
// it commits, the new owner must have waited for it.
func TestFoldWaitsForAnOpenTransaction(t *testing.T) {
	parts.EachKafka(t, func(t *testing.T, k parts.Cluster) {
		foldWaits(t, bedOn(t, kafkatest.On(t, kafka.Config{Brokers: k.Brokers, Prefix: k.Prefix, Partitions: 1})))
	})
}

func foldWaits(t *testing.T, b *bed) {
	t.Helper()
	b.feed(3, 1)
	first := b.start(nil)
	b.check()
	first.end()

	// A foreign transaction in the changelog, as an old owner's in flight.
	finish := b.kafka.OpenTransaction("old-owner", 20*time.Second, b.topics.Replica(),
		kafka.Message{Key: []byte("acme/app:0"), Value: []byte("2 3 2")})
	b.fed["acme/app:0"]++
	second := b.start(func(c *Config) { c.TransactionTimeout, c.SessionTimeout = 10*time.Second, 15*time.Second })
	kafkatest.Eventually(t, func() (bool, string) {
		err := second.Ready()
		// One that owns the partition already has not waited, and writes what check finds.
		return len(second.Owned()) > 0 || err != nil && strings.Contains(err.Error(), "changelog"), fmt.Sprint(err)
	})
	// What comes now must build on the state that the transaction will commit.
	key := "acme/app:0"
	b.fed[key]++
	b.kafka.Produce(b.topics.Gateway(), kafka.Message{Key: []byte(key), Value: []byte("3")})
	finish(true)
	b.check()
}
