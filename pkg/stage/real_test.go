package stage

import (
	"fmt"
	"testing"

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
