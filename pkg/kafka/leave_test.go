package kafka_test

import (
	"context"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/kafka/kafkatest"
)

// TestConsumerEndsWhileTheGroupWaitsForAnother: a member that is told to stop
// while it waits to join does not wait for the others' rebalance.
func TestConsumerEndsWhileTheGroupWaitsForAnother(t *testing.T) {
	c := kafkatest.New(t, 1, "quickbooks")
	topic := c.Config.Topics().Outbound("quickbooks")
	cfg := kafka.ConsumerConfig{Kafka: c.Config, Group: "leaving", Topics: []string{topic}, MaxBatch: 10}
	busy, release := make(chan struct{}), make(chan struct{})
	slow, err := kafka.NewConsumer(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	slowDone := make(chan error, 1)
	go func() {
		slowDone <- slow.Run(ctx, func(context.Context, []kafka.Record) error {
			close(busy)
			<-release // no rebalance while a batch is handled
			return nil
		})
	}()
	defer func() {
		stop()
		close(release)
		if err := <-slowDone; err != nil {
			t.Errorf("the slow consumer ended with %v", err)
		}
	}()
	c.Produce(topic, kafka.Message{Key: []byte("k"), Value: []byte("v")})
	<-busy

	second, err := kafka.NewConsumer(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	joining, told := context.WithCancel(t.Context())
	defer told()
	done := make(chan error, 1)
	go func() { done <- second.Run(joining, func(context.Context, []kafka.Record) error { return nil }) }()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Config.Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	group := kafka.GroupName(c.Config, "leaving")
	kafkatest.Eventually(t, func() (bool, string) {
		groups, err := kadm.NewClient(cl).DescribeGroups(t.Context(), group)
		if err != nil {
			return false, err.Error()
		}
		return strings.EqualFold(groups[group].State, "PreparingRebalance"), groups[group].State
	})
	told()
	if err := <-done; err != nil {
		t.Errorf("the joining consumer ended with %v", err)
	}
	// The slow one, which holds its batch all the while, loses its place when the
	// rebalance ends without it.
	groups, err := kadm.NewClient(cl).DescribeGroups(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	if g := groups[group]; len(g.Members) == 0 {
		t.Errorf("the consumer ended only after the rebalance: the group is %s and empty", g.State)
	}
}
