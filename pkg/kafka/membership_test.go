package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/kafka/kafkatest"
	"github.com/fluxnex/fluxnex/tests/parts"
)

const memberGroup = "members"

// eachNamed runs the test on both brokers, with a consumer that has a name.
func eachNamed(t *testing.T, test func(t *testing.T, c *kafkatest.Cluster, cfg kafka.ConsumerConfig)) {
	t.Helper()
	parts.EachKafka(t, func(t *testing.T, k parts.Cluster) {
		c := kafkatest.On(t, kafka.Config{Brokers: k.Brokers, Prefix: k.Prefix, Partitions: 1})
		named := c.Config
		named.Instance = "one"
		test(t, c, kafka.ConsumerConfig{Kafka: named, Group: memberGroup, Topics: []string{c.Config.Topics().FetchRequest()}, MaxBatch: 10})
	})
}

func members(t *testing.T, cfg kafka.Config) []string {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	group := kafka.GroupName(cfg, memberGroup)
	groups, err := kadm.NewClient(cl).DescribeGroups(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range groups[group].Members {
		out = append(out, m.MemberID)
	}
	return out
}

// TestAKilledConsumerGoesOnUnderItsName, although its session has minutes to go.
func TestAKilledConsumerGoesOnUnderItsName(t *testing.T) {
	eachNamed(t, func(t *testing.T, c *kafkatest.Cluster, cfg kafka.ConsumerConfig) {
		topic := cfg.Topics[0]
		msgs, want := numbers(0, 3)
		c.Produce(topic, msgs...)
		life, kill := context.WithCancel(t.Context())
		defer kill()
		dead, err := kgo.NewClient(kgo.SeedBrokers(cfg.Kafka.Brokers...), kgo.WithContext(life), kgo.InstanceID("one"),
			kgo.ConsumerGroup(kafka.GroupName(cfg.Kafka, memberGroup)), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
			kgo.Balancers(kgo.RangeBalancer()), kgo.SessionTimeout(5*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if got := dead.PollFetches(life); got.Err() != nil || got.NumRecords() == 0 {
			t.Fatalf("the first consumer read %d records, %v", got.NumRecords(), got.Err())
		}
		kill()
		dead.Close()
		if left := members(t, cfg.Kafka); len(left) != 1 {
			t.Fatalf("after the kill the group has the members %v, want the dead one", left)
		}
		second := &collector{}
		consume(t, cfg, second)
		second.wait(t, want)
	})
}

func TestAConsumerThatIsToldToStopGivesItsPlaceUp(t *testing.T) {
	eachNamed(t, func(t *testing.T, c *kafkatest.Cluster, cfg kafka.ConsumerConfig) {
		msgs, want := numbers(0, 3)
		c.Produce(cfg.Topics[0], msgs...)
		got := &collector{}
		stop := consume(t, cfg, got)
		got.wait(t, want)
		stop()
		if left := members(t, cfg.Kafka); len(left) != 0 {
			t.Errorf("the group still has %v", left)
		}
	})
}

func TestOfTwoConsumersWithOneNameTheOlderEnds(t *testing.T) {
	eachNamed(t, func(t *testing.T, c *kafkatest.Cluster, cfg kafka.ConsumerConfig) {
		topic := cfg.Topics[0]
		consumer, err := kafka.NewConsumer(cfg, quiet())
		if err != nil {
			t.Fatal(err)
		}
		older := &collector{}
		ended := make(chan error, 1)
		go func() { ended <- consumer.Run(t.Context(), older.handle) }()
		msgs, want := numbers(0, 3)
		c.Produce(topic, msgs...)
		older.wait(t, want)
		c.WaitLag(memberGroup, topic)

		newer := &collector{}
		consume(t, cfg, newer)
		kafkatest.Eventually(t, func() (bool, string) {
			select {
			case err = <-ended:
				return true, ""
			default:
				return false, fmt.Sprintf("the older one runs; members %v", members(t, cfg.Kafka))
			}
		})
		if !errors.Is(err, kafka.ErrSuperseded) || !strings.Contains(err.Error(), "FLUXNEX_INSTANCE") {
			t.Errorf("the older one ended with %v, want %v and what to do", err, kafka.ErrSuperseded)
		}
		msgs, want = numbers(3, 6)
		c.Produce(topic, msgs...)
		newer.wait(t, want)
	})
}

// TestASessionKeepsItsPlaceForTheNextOne: a transaction of unknown outcome costs
// the other members of the group nothing.
func TestASessionKeepsItsPlaceForTheNextOne(t *testing.T) {
	eachNamed(t, func(t *testing.T, _ *kafkatest.Cluster, cfg kafka.ConsumerConfig) {
		open := func() *kafka.Session {
			s, err := kafka.NewSession(t.Context(), kafka.SessionConfig{
				Kafka: cfg.Kafka, Group: memberGroup, TransactionalID: cfg.Kafka.Prefix + ".members.one", Topic: cfg.Topics[0],
				TransactionTimeout: 4 * time.Minute, SessionTimeout: 5 * time.Minute,
			}, quiet())
			if err != nil {
				t.Fatal(err)
			}
			kafkatest.Eventually(t, func() (bool, string) {
				_, owned := s.Assignment()
				return len(owned) == 1, fmt.Sprintf("the session owns %v; members %v", owned, members(t, cfg.Kafka))
			})
			return s
		}
		open().Close()
		if left := members(t, cfg.Kafka); len(left) != 1 {
			t.Errorf("after the first session the group has the members %v, want one", left)
		}
		open().Leave(t.Context())
		if left := members(t, cfg.Kafka); len(left) != 0 {
			t.Errorf("after a clean stop the group has the members %v", left)
		}
	})
}
