package stage

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/kafka/kafkatest"
	"github.com/fluxnex/fluxnex/pkg/redis"
)

// The checks after a commit look who used a changed record. Whoever reads the
// record after them must find the change: else neither knows of the other.
func TestChecksComeAfterTheViewIsWritten(t *testing.T) {
	const partitions = 2
	b := newBed(t, partitions)
	ids := make([]redis.ViewID, partitions)
	for p := range ids {
		ids[p] = b.viewID("sums", b.topics.Replica(), int32(p))
	}
	var checked atomic.Int64
	var wrong atomic.Pointer[string]
	r, s := b.newRunner(nil)
	s.onSettle = func(changes []Change) {
		for _, c := range changes {
			checked.Add(1)
			answers, err := b.redis.Views().Read(context.Background(), []redis.Question{{ID: ids[kafka.Partition([]byte(c.Key), partitions)], Keys: []string{string(c.Key)}}})
			if err != nil || string(answers[0].Values[0]) != string(c.Value) {
				saw := fmt.Sprintf("checked after the change of %s to %q, the view has %+v, %v", c.Key, c.Value, answers, err)
				wrong.CompareAndSwap(nil, &saw)
			}
		}
	}
	b.run(r, s)
	b.feed(20, 3)
	b.check()
	kafkatest.Eventually(t, func() (bool, string) { n := checked.Load(); return n >= 20, fmt.Sprintf("%d changes checked", n) })
	if saw := wrong.Load(); saw != nil {
		t.Error(*saw)
	}
}
