package embedded

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestAMemberThatDiesWhileItJoinsIsRemoved: without the watch, the survivor
// keeps half of the partitions for ever.
func TestAMemberThatDiesWhileItJoinsIsRemoved(t *testing.T) {
	const partitions = 4
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ListenFn(loopback), kfake.SeedTopics(partitions, "topic"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go watchGhosts(t.Context(), c, 6*time.Second)

	var owned, rounds atomic.Int32
	survivor, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumerGroup("group"), kgo.ConsumeTopics("topic"),
		kgo.Balancers(kgo.RangeBalancer()), kgo.HeartbeatInterval(2*time.Second),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			owned.Store(int32(len(m["topic"])))
			rounds.Add(1)
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer survivor.Close()
	go survivor.PollFetches(t.Context())
	until(t, "the first member has all partitions", func() bool { return owned.Load() == partitions })

	victim, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	metadata := kmsg.NewConsumerMemberMetadata()
	metadata.Topics = []string{"topic"}
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = "group", "consumer", 15_000, 30_000
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: metadata.AppendTo(nil)}}
	named, err := join.RequestWith(t.Context(), victim)
	if err != nil {
		t.Fatal(err)
	}
	join.MemberID = named.MemberID
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		// It never gets its answer.
		_, _ = join.RequestWith(t.Context(), victim)
	}()
	admin, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	until(t, "the group waits for its first member to join again", func() bool {
		describe := kmsg.NewPtrDescribeGroupsRequest()
		describe.Groups = []string{"group"}
		resp, err := describe.RequestWith(t.Context(), admin)
		return err == nil && len(resp.Groups) == 1 && resp.Groups[0].State == "PreparingRebalance"
	})
	before := rounds.Load()
	victim.Close()
	<-gone
	until(t, "the survivor shares with the dead", func() bool { return rounds.Load() > before && owned.Load() == partitions/2 })
	until(t, "the survivor has all partitions again", func() bool { return owned.Load() == partitions })
}

// until polls: the broker tells nobody.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited a minute until %s", what)
		}
	}
}
