package kafka_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/kafka/kafkatest"
)

// TestATransactionEndsBeforeItsOwnersMembership: an owner that stands still with
// a transaction open holds up whoever reads its partitions, other tenants' too.
// The broker ends the transaction before the group gives the partitions away, so
// that their new owner never waits for one that nobody can end.
func TestATransactionEndsBeforeItsOwnersMembership(t *testing.T) {
	c := kafkatest.New(t, 1)
	var transaction, membership atomic.Int64 // milliseconds
	c.Fake.ControlKey(kmsg.InitProducerID.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.Fake.KeepControl()
		if init, ok := r.(*kmsg.InitProducerIDRequest); ok && init.TransactionalID != nil {
			transaction.Store(int64(init.TransactionTimeoutMillis))
		}
		return nil, nil, false
	})
	c.Fake.ControlKey(kmsg.JoinGroup.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.Fake.KeepControl()
		if join, ok := r.(*kmsg.JoinGroupRequest); ok {
			membership.Store(int64(join.SessionTimeoutMillis))
		}
		return nil, nil, false
	})
	s, err := kafka.NewSession(t.Context(), kafka.SessionConfig{
		Kafka: c.Config, Group: "stage", TransactionalID: "stage.1", Topic: c.Config.Topics().Gateway(),
	}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	kafkatest.Eventually(t, func() (bool, string) { return membership.Load() > 0, "no member joined" })
	if tx, m := transaction.Load(), membership.Load(); tx <= 0 || tx >= m || tx > (10*time.Second).Milliseconds() {
		t.Errorf("a transaction may stay open for %d ms and a silent member keeps its partitions for %d ms; want less, and at most 10 s", tx, m)
	}
}

// TestAGroupThatNeverReadBeginsAtTheStart, whatever came before it.
func TestAGroupThatNeverReadBeginsAtTheStart(t *testing.T) {
	c := kafkatest.New(t, 1)
	topic := c.Config.Topics().FetchRequest()
	one := func(v string) kafka.Message { return kafka.Message{Key: []byte("k"), Value: []byte(v)} }
	c.Produce(topic, one("before"))
	got := &collector{}
	consume(t, kafka.ConsumerConfig{Kafka: c.Config, Group: "fetcher", Topics: []string{topic}, MaxBatch: 10}, got)
	kafkatest.Eventually(t, func() (bool, string) {
		c.Produce(topic, one("after")) // whoever begins at the end sees only these
		return len(got.values()) > 0, "nothing was read"
	})
	if first := got.values()[0]; first != "before" {
		t.Errorf("the first record read is %q, which was written when the group was there; want the one from before", first)
	}
}
