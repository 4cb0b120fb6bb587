package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fluxnex/fluxnex/pkg/kafka"
)

const patience = 30 * time.Second

// Cluster is a Kafka cluster and a configuration for it.
type Cluster struct {
	t      testing.TB
	Config kafka.Config
	// Fake is the broker, for faults; nil on a real cluster.
	Fake *kfake.Cluster
	cl   *kgo.Client

	mu      sync.Mutex
	commits []func() (answer func() (kmsg.Response, error, bool), ok bool) // whose answers are replaced
	copied  map[string]bool                                                // producer and epoch of commits being carried out
}

// New starts an embedded broker on loopback, with the installation's topics.
func New(t testing.TB, partitions int32, apps ...string) *Cluster {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(time.Second),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			var lc net.ListenConfig
			return lc.Listen(t.Context(), network, net.JoinHostPort("127.0.0.1", port))
		}))
	if err != nil {
		t.Fatalf("start the embedded broker: %v", err)
	}
	t.Cleanup(fake.Close)
	c := On(t, kafka.Config{Brokers: fake.ListenAddrs(), Prefix: "test", Partitions: partitions}, apps...)
	c.Fake = fake
	return c
}

// On uses a cluster that runs already and creates the installation's topics.
func On(t testing.TB, cfg kafka.Config, apps ...string) *Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := kafka.Apply(ctx, cfg, apps, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatalf("create topics: %v", err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatalf("test client: %v", err)
	}
	t.Cleanup(cl.Close)
	return &Cluster{t: t, Config: cfg, cl: cl, copied: make(map[string]bool)}
}

// Produce appends records in order.
func (c *Cluster) Produce(topic string, msgs ...kafka.Message) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), patience)
	defer cancel()
	recs := make([]*kgo.Record, len(msgs))
	for i, m := range msgs {
		recs[i] = &kgo.Record{Topic: topic, Key: m.Key, Value: m.Value}
		for _, h := range m.Headers {
			recs[i].Headers = append(recs[i].Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	if err := c.cl.ProduceSync(ctx, recs...).FirstErr(); err != nil {
		c.t.Fatalf("produce to %s: %v", topic, err)
	}
}

// ProduceTo appends one record to a partition that its key does not choose.
func (c *Cluster) ProduceTo(topic string, partition int32, m kafka.Message) {
	c.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Config.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		c.t.Fatalf("test client: %v", err)
	}
	defer cl.Close()
	r := &kgo.Record{Topic: topic, Partition: partition, Key: m.Key, Value: m.Value}
	if err := cl.ProduceSync(context.WithoutCancel(c.t.Context()), r).FirstErr(); err != nil {
		c.t.Fatalf("produce to %s partition %d: %v", topic, partition, err)
	}
}

// OpenTransaction writes messages and leaves their transaction open, as an
// owner that stands still; finish ends it.
func (c *Cluster) OpenTransaction(id string, timeout time.Duration, topic string, msgs ...kafka.Message) (finish func(commit bool)) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), patience)
	c.t.Cleanup(cancel)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Config.Brokers...), kgo.TransactionalID(c.Config.Prefix+"."+id),
		kgo.TransactionTimeout(timeout), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		c.t.Fatalf("test client: %v", err)
	}
	c.t.Cleanup(cl.Close)
	if err := cl.BeginTransaction(); err != nil {
		c.t.Fatalf("begin transaction: %v", err)
	}
	for _, m := range msgs {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: m.Key, Value: m.Value}).FirstErr(); err != nil {
			c.t.Fatalf("produce in a transaction: %v", err)
		}
	}
	return func(commit bool) {
		c.t.Helper()
		if err := cl.EndTransaction(ctx, kgo.TransactionEndTry(commit)); err != nil {
			c.t.Fatalf("end transaction: %v", err)
		}
	}
}

// Committed reads every committed record of a topic, partition by partition.
func (c *Cluster) Committed(topic string) []kafka.Record {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), patience)
	defer cancel()
	r, err := kafka.NewReader(c.Config, slog.New(slog.DiscardHandler))
	if err != nil {
		c.t.Fatalf("reader: %v", err)
	}
	defer r.Close()
	ends, err := r.StableOffsets(ctx, topic)
	if err != nil {
		c.t.Fatalf("ends of %s: %v", topic, err)
	}
	var out []kafka.Record
	for p := range int32(len(ends)) {
		err := r.Range(ctx, topic, p, 0, ends[p], func(page []kafka.Record, _ int64) error {
			out = append(out, page...)
			return nil
		})
		if err != nil {
			c.t.Fatalf("read %s partition %d: %v", topic, p, err)
		}
	}
	return out
}

// WaitLag waits until the group has consumed every record of the topic.
func (c *Cluster) WaitLag(group, topic string) {
	c.t.Helper()
	Eventually(c.t, func() (bool, string) {
		lags, err := kafka.Lag(context.WithoutCancel(c.t.Context()), c.Config, map[string][]string{group: {topic}}, slog.New(slog.DiscardHandler))
		if err != nil {
			return false, err.Error()
		}
		behind := int64(0)
		var parts []string
		for _, l := range lags {
			behind += l.Records
			if l.Records > 0 {
				parts = append(parts, fmt.Sprintf("%d: %d behind (%d of %d)", l.Partition, l.Records, l.Committed, l.End))
			}
		}
		return behind == 0, "lag of " + group + ": " + strings.Join(parts, ", ")
	})
}

// WaitCommitted waits until a consumer has seen n committed records of a topic.
func (c *Cluster) WaitCommitted(topic string, n int) {
	c.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Config.Brokers...), kgo.ConsumeTopics(topic),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		c.t.Fatalf("test client: %v", err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), 4*patience)
	defer cancel()
	for seen := 0; seen < n; {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			c.t.Fatalf("saw %d of %d records of %s", seen, n, topic)
		}
		seen += fetches.NumRecords()
	}
}

// Copy moves records from topic to topic with exactly-once transactions, until
// ctx ends: what a benchmark of a stage compares itself with.
func (c *Cluster) Copy(ctx context.Context, group, from, to string, interval time.Duration) {
	s, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(c.Config.Brokers...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(from),
		kgo.TransactionalID(c.Config.Prefix+"."+group), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.Balancers(kgo.RangeBalancer()), kgo.ProducerLinger(2*time.Millisecond),
		kgo.MaxBufferedRecords(1<<20))
	if err != nil {
		c.t.Errorf("copy %s to %s: %v", from, to, err)
		return
	}
	defer s.Close()
	for ctx.Err() == nil {
		fetches := s.PollFetches(ctx)
		if fetches.NumRecords() == 0 {
			continue
		}
		if err := s.Begin(); err != nil {
			c.t.Errorf("copy %s to %s: %v", from, to, err)
			return
		}
		end := time.NewTimer(interval)
		for over := false; !over; {
			fetches.EachRecord(func(r *kgo.Record) {
				s.Produce(context.WithoutCancel(ctx), &kgo.Record{Topic: to, Key: r.Key, Value: r.Value}, nil)
			})
			select {
			case <-end.C:
				over = true
			default:
				pctx, cancel := context.WithTimeout(ctx, interval)
				fetches = s.PollFetches(pctx)
				cancel()
			}
		}
		if _, err := s.End(context.WithoutCancel(ctx), kgo.TryCommit); err != nil {
			c.t.Errorf("copy %s to %s: %v", from, to, err)
			return
		}
	}
}

// Eventually polls until ok, and fails with what was seen last.
func Eventually(t testing.TB, probe func() (ok bool, saw string)) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, saw := probe()
		if ok {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("not within %s; saw: %s", patience, saw)
		case <-tick.C:
		}
	}
}

// LoseCommitReplies makes the broker carry out the next n commits of
// transactions and close the connection instead of answering.
func (c *Cluster) LoseCommitReplies(n int64) (lost func() int64) {
	return c.carryOut(n, func() (kmsg.Response, error, bool) { return nil, errors.New("reply lost"), true })
}

// MisreportCommits makes the broker carry out the next n commits of
// transactions and answer UNKNOWN_SERVER_ERROR.
func (c *Cluster) MisreportCommits(n int64) (lost func() int64) {
	return c.carryOut(n, func() (kmsg.Response, error, bool) {
		resp := kmsg.NewPtrEndTxnResponse()
		resp.ErrorCode = kerr.UnknownServerError.Code
		return resp, nil, true
	})
}

func (c *Cluster) carryOut(n int64, answer func() (kmsg.Response, error, bool)) (lost func() int64) {
	c.t.Helper()
	var count atomic.Int64
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commits = append(c.commits, func() (func() (kmsg.Response, error, bool), bool) {
		if count.Load() >= n {
			return nil, false
		}
		count.Add(1)
		return answer, true
	})
	if len(c.commits) == 1 {
		c.Fake.ControlKey(kmsg.EndTxn.Int16(), c.onEndTxn)
	}
	return count.Load
}

// onEndTxn lets everything pass but a commit whose answer is to be replaced.
func (c *Cluster) onEndTxn(req kmsg.Request) (kmsg.Response, error, bool) {
	c.Fake.KeepControl()
	end, ok := req.(*kmsg.EndTxnRequest)
	if !ok || !end.Commit {
		return nil, nil, false
	}
	who := fmt.Sprint(end.ProducerID, "/", end.ProducerEpoch)
	c.mu.Lock()
	if c.copied[who] { // our own copy of the request
		c.mu.Unlock()
		return nil, nil, false
	}
	var answer func() (kmsg.Response, error, bool)
	for _, next := range c.commits {
		if answer, ok = next(); ok {
			break
		}
	}
	if answer == nil {
		c.mu.Unlock()
		return nil, nil, false
	}
	c.copied[who] = true
	c.mu.Unlock()
	c.Fake.SleepControl(func() {
		same := kmsg.NewPtrEndTxnRequest()
		same.TransactionalID, same.ProducerID, same.ProducerEpoch, same.Commit = end.TransactionalID, end.ProducerID, end.ProducerEpoch, true
		resp, err := same.RequestWith(context.WithoutCancel(c.t.Context()), c.cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if err != nil {
			c.t.Errorf("carry out the commit whose reply is to be lost: %v", err)
		}
		c.mu.Lock()
		delete(c.copied, who)
		c.mu.Unlock()
	})
	resp, err, handled := answer()
	if resp != nil {
		resp.SetVersion(req.GetVersion())
	}
	return resp, err, handled
}
