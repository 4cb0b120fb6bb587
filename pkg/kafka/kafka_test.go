package kafka_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/kafka/kafkatest"
	"github.com/fluxnex/fluxnex/pkg/record"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func payload(dst []byte, e *record.GatewayEvent) ([]byte, error) {
	return append(dst, e.Payload...), nil
}

func event(n int) record.GatewayEvent {
	return record.GatewayEvent{TenantID: "acme", RecordID: record.NewID("app", fmt.Sprint(n)), Payload: []byte(fmt.Sprint(n))}
}

func TestApplyIsIdempotentAndCheckAgrees(t *testing.T) {
	c := kafkatest.New(t, 3, "quickbooks")
	ctx := context.Background()
	again, err := kafka.Apply(ctx, c.Config, []string{"quickbooks"}, quiet())
	if err != nil || len(again) != 0 {
		t.Errorf("second apply: %v, %v; want no change", again, err)
	}
	if err := kafka.Check(ctx, c.Config, []string{"quickbooks"}, quiet()); err != nil {
		t.Errorf("check after apply: %v", err)
	}
	changes, err := kafka.Apply(ctx, c.Config, []string{"hubspot", "quickbooks"}, quiet())
	if err != nil || len(changes) != 1 || !strings.Contains(changes[0], "outbound.hubspot") {
		t.Errorf("apply with one more app: %v, %v; want one topic created", changes, err)
	}
}

func TestCheckRefusesAnotherPartitionCountWithARemedy(t *testing.T) {
	c := kafkatest.New(t, 3)
	grown := c.Config
	grown.Partitions = 6
	err := kafka.Check(context.Background(), grown, []string{"quickbooks"}, quiet())
	for _, want := range []string{"has 3 partitions", "wants 6", "kafka.partitions", "test.outbound.quickbooks does not exist", "topics apply"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("check says %v, want it to say %q", err, want)
		}
	}
	if _, err := kafka.Apply(context.Background(), grown, nil, quiet()); err == nil {
		t.Error("apply changed a partition count or stayed silent")
	}
}

func TestPasswordsNeverPrint(t *testing.T) {
	cfg := kafka.Config{Brokers: []string{"x:1"}, RegistryPassword: "hunter2", SASL: kafka.SASL{Mechanism: "plain", User: "u", Password: "hunter2"}}
	js, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg), string(js)} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("password printed: %s", text)
		}
	}
}

func TestValidateNamesEveryMistake(t *testing.T) {
	err := kafka.Config{Brokers: []string{"nocolon"}, SASL: kafka.SASL{Mechanism: "gssapi"}, TLS: kafka.TLS{Enabled: true, CertFile: "c"}, Instance: "replica 1"}.Validate()
	for _, want := range []string{"kafka.brokers", "kafka.instance", "kafka.sasl.mechanism", "kafka.tls"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("validate says %v, want %q named", err, want)
		}
	}
}

func TestPartitionAgreesWithTheDefaultPartitioner(t *testing.T) {
	p := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	for i := range 2_000 {
		key := []byte(strings.Repeat("ä", i%5) + fmt.Sprintf("acme/app:%d", i))
		if got, want := kafka.Partition(key, 12), p.Partition(&kgo.Record{Key: key}, 12); int(got) != want {
			t.Fatalf("key %q: partition %d, the client library says %d", key, got, want)
		}
	}
}

func TestInboxReturnsPositionsInOrder(t *testing.T) {
	c := kafkatest.New(t, 3)
	inbox, err := kafka.NewInbox(c.Config, payload, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer inbox.Close()
	events := []record.GatewayEvent{event(1), event(2), event(1)}
	at, err := inbox.Send(context.Background(), events, []kafka.Header{{Key: "traceparent", Value: []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	if at[0].Partition != at[2].Partition || at[0].Offset >= at[2].Offset {
		t.Errorf("positions %v, want the two events of one record in order", at)
	}
	for i, e := range events {
		if want := kafka.Partition([]byte(e.Key()), 3); at[i].Partition != want {
			t.Errorf("event %d is in partition %d, want %d", i, at[i].Partition, want)
		}
	}
	for _, r := range c.Committed(c.Config.Topics().Gateway()) {
		if len(r.Headers) != 1 || string(r.Headers[0].Value) != "x" {
			t.Errorf("headers %v, want the trace context", r.Headers)
		}
	}
}

// A broker that takes the request and never answers: Send must be back at its
// deadline, and say that the event may have been written.
func TestInboxDoesNotOutstayItsDeadline(t *testing.T) {
	c := kafkatest.New(t, 1)
	inbox, err := kafka.NewInbox(c.Config, payload, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer inbox.Close()
	if _, err := inbox.Send(context.Background(), []record.GatewayEvent{event(1)}, nil); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	defer close(release)
	c.Fake.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.Fake.SleepControl(func() { <-release })
		return nil, nil, false
	})
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := inbox.Send(ctx, []record.GatewayEvent{event(2)}, nil)
		done <- err
	}()
	select {
	case err := <-done:
		if f := fault.Of(err); f == nil || f.Class != fault.Retryable || !f.Unknown {
			t.Errorf("error %v, want retryable and of unknown outcome", err)
		}
	case <-time.After(3 * time.Second):
		t.Error("Send did not return for 3 s after a deadline of 0.2 s")
	}
}

// Start gives the events back at once, whatever the broker does, and reports
// once for all of them.
func TestInboxStartDoesNotWait(t *testing.T) {
	c := kafkatest.New(t, 3)
	inbox, err := kafka.NewInbox(c.Config, payload, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer inbox.Close()
	if _, err := inbox.Send(context.Background(), []record.GatewayEvent{event(1)}, nil); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	c.Fake.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.Fake.SleepControl(func() { <-release })
		return nil, nil, false
	})
	ctx, hangUp := context.WithCancel(context.Background())
	done := make(chan error, 3)
	inbox.Start(ctx, []record.GatewayEvent{event(2), event(3), event(4)}, nil, func(err error) { done <- err })
	hangUp()
	if len(done) > 0 {
		t.Errorf("it is done with %v before the broker has answered", <-done)
	}
	close(release)
	if err := <-done; err != nil {
		t.Errorf("a caller that hung up took its events with it: %v", err)
	}
	if n := len(c.Committed(c.Config.Topics().Gateway())); n != 4 || len(done) > 0 {
		t.Errorf("%d events are stored, and done was called %d times more", n, len(done))
	}
	inbox.Start(ctx, nil, nil, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Errorf("no events: %v", err)
	}
}

// Many callers' events are gathered; those of each keep their order.
func TestInboxStartKeepsTheOrder(t *testing.T) {
	c := kafkatest.New(t, 3)
	inbox, err := kafka.NewInbox(c.Config, payload, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer inbox.Close()
	const callers, each = 8, 100
	done := make(chan error, callers*each)
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for n := range each {
				e := event(caller)
				e.Payload = []byte(fmt.Sprint(n))
				inbox.Start(context.Background(), []record.GatewayEvent{e}, nil, func(err error) { done <- err })
			}
		})
	}
	wg.Wait()
	for range callers * each {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	next := map[string]int{}
	for _, r := range c.Committed(c.Config.Topics().Gateway()) {
		key := string(r.Key)
		if want := fmt.Sprint(next[key]); string(r.Value) != want {
			t.Fatalf("the event of %s is number %s, want %s", key, r.Value, want)
		}
		next[key]++
	}
	if len(next) != callers {
		t.Errorf("events of %d callers are stored, want %d", len(next), callers)
	}
}

func TestInboxCloseAnswersEverybody(t *testing.T) {
	c := kafkatest.New(t, 3)
	inbox, err := kafka.NewInbox(c.Config, payload, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inbox.Send(context.Background(), []record.GatewayEvent{event(1)}, nil); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	defer close(release)
	c.Fake.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.Fake.KeepControl()
		c.Fake.SleepControl(func() { <-release })
		return nil, nil, false
	})
	const n = 20
	done := make(chan error, n)
	for i := range n {
		inbox.Start(context.Background(), []record.GatewayEvent{event(i)}, nil, func(err error) { done <- err })
	}
	inbox.Close()
	for range n {
		if err := <-done; fault.Of(err) == nil || !fault.Of(err).Unknown {
			t.Errorf("error %v, want unknown outcome", err)
		}
	}
}

func TestInboxWithoutABroker(t *testing.T) {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	inbox, err := kafka.NewInbox(kafka.Config{Brokers: []string{address}}, payload, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer inbox.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := inbox.Send(ctx, []record.GatewayEvent{event(1)}, nil); fault.Of(err) == nil || !fault.Of(err).Unknown {
		t.Errorf("error %v, want unknown outcome", err)
	}
}

// collector is a handler that remembers, and fails when told to.
type collector struct {
	mu   sync.Mutex
	got  []string
	fail int
}

func (c *collector) handle(_ context.Context, batch []kafka.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail > 0 {
		c.fail--
		return errors.New("database away")
	}
	for _, r := range batch {
		c.got = append(c.got, string(r.Value))
	}
	return nil
}

func (c *collector) values() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

func consume(t *testing.T, cfg kafka.ConsumerConfig, c *collector) (stop func()) {
	t.Helper()
	consumer, err := kafka.NewConsumer(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- consumer.Run(ctx, c.handle) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("consumer ended with %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func numbers(from, to int) (msgs []kafka.Message, want []string) {
	for i := from; i < to; i++ {
		msgs = append(msgs, kafka.Message{Key: []byte("k"), Value: []byte(fmt.Sprint(i))})
		want = append(want, fmt.Sprint(i))
	}
	return msgs, want
}

func (c *collector) wait(t *testing.T, want []string) {
	t.Helper()
	kafkatest.Eventually(t, func() (bool, string) {
		got := c.values()
		return slices.Equal(got, want), fmt.Sprintf("%v, want %v", got, want)
	})
}

func TestConsumerRepeatsAFailedBatchAndGoesOnWhereItStopped(t *testing.T) {
	c := kafkatest.New(t, 1)
	topic := c.Config.Topics().FetchRequest()
	cfg := kafka.ConsumerConfig{Kafka: c.Config, Group: "fetcher", Topics: []string{topic}, MaxBatch: 3}
	msgs, want := numbers(0, 10)
	c.Produce(topic, msgs...)
	first := &collector{fail: 2}
	stop := consume(t, cfg, first)
	first.wait(t, want)
	c.WaitLag("fetcher", topic)
	stop()
	msgs, want = numbers(10, 15)
	c.Produce(topic, msgs...)
	second := &collector{}
	consume(t, cfg, second)
	second.wait(t, want)
}

func TestConsumerStartsWhereItsOwnStoreSays(t *testing.T) {
	c := kafkatest.New(t, 1)
	topic := c.Config.Topics().Outbound("quickbooks")
	if _, err := kafka.Apply(context.Background(), c.Config, []string{"quickbooks"}, quiet()); err != nil {
		t.Fatal(err)
	}
	cfg := kafka.ConsumerConfig{Kafka: c.Config, Group: "delivery", Topics: []string{topic}, MaxBatch: 100}
	msgs, all := numbers(0, 10)
	c.Produce(topic, msgs...)
	first := &collector{}
	stop := consume(t, cfg, first)
	first.wait(t, all)
	c.WaitLag("delivery", topic) // Kafka's own offset is at the end
	stop()

	var mu sync.Mutex
	failures := 2
	cfg.StartOffsets = func(_ context.Context, got string, partitions []int32) (map[int32]int64, error) {
		mu.Lock()
		defer mu.Unlock()
		if failures > 0 {
			failures--
			return nil, errors.New("database away")
		}
		if got != topic || !slices.Equal(partitions, []int32{0}) {
			t.Errorf("asked for %s %v", got, partitions)
		}
		return map[int32]int64{0: 4}, nil
	}
	second := &collector{}
	stop = consume(t, cfg, second)
	second.wait(t, all[4:])
	stop()

	cfg.StartOffsets = func(context.Context, string, []int32) (map[int32]int64, error) { return nil, nil }
	third := &collector{}
	consume(t, cfg, third)
	third.wait(t, all)
}

// TestAnIdleConsumerIsNotBehind: killed between its own store and Kafka's, it
// starts at its own offset, and Kafka hears of it though nothing new comes.
func TestAnIdleConsumerIsNotBehind(t *testing.T) {
	c := kafkatest.New(t, 1)
	topic := c.Config.Topics().Outbound("quickbooks")
	if _, err := kafka.Apply(context.Background(), c.Config, []string{"quickbooks"}, quiet()); err != nil {
		t.Fatal(err)
	}
	msgs, _ := numbers(0, 10)
	c.Produce(topic, msgs...)
	consume(t, kafka.ConsumerConfig{
		Kafka: c.Config, Group: "delivery", Topics: []string{topic}, MaxBatch: 100,
		StartOffsets: func(context.Context, string, []int32) (map[int32]int64, error) { return map[int32]int64{0: 10}, nil },
	}, &collector{})
	c.WaitLag("delivery", topic)
}

func TestLagOfAnIdleTailOfMarkersIsZero(t *testing.T) {
	c := kafkatest.New(t, 1)
	topic := c.Config.Topics().FetchRequest()
	finish := c.OpenTransaction("a", 10*time.Second, topic, kafka.Message{Key: []byte("k"), Value: []byte("1")})
	finish(true)
	got := &collector{}
	stop := consume(t, kafka.ConsumerConfig{Kafka: c.Config, Group: "fetcher", Topics: []string{topic}, MaxBatch: 10}, got)
	got.wait(t, []string{"1"})
	c.WaitLag("fetcher", topic)
	stop()
	c.OpenTransaction("b", 10*time.Second, topic, kafka.Message{Key: []byte("k"), Value: []byte("2")})(false)
	c.WaitLag("fetcher", topic) // an aborted record and two markers
	c.Produce(topic, kafka.Message{Key: []byte("k"), Value: []byte("3")})
	lags, err := kafka.Lag(context.Background(), c.Config, map[string][]string{"fetcher": {topic}}, quiet())
	if err != nil || len(lags) != 1 || lags[0].Records != 1 {
		t.Errorf("lag %+v, %v; want one record", lags, err)
	}
}

func TestReaderEndsAtAMarkerAndSkipsAbortedRecords(t *testing.T) {
	c := kafkatest.New(t, 1)
	topic := c.Config.Topics().Replica()
	one := func(v string) kafka.Message { return kafka.Message{Key: []byte("k" + v), Value: []byte(v)} }
	c.OpenTransaction("a", 10*time.Second, topic, one("1"), one("2"))(true)
	c.OpenTransaction("b", 10*time.Second, topic, one("3"))(false)
	r, err := kafka.NewReader(c.Config, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx := context.Background()
	ends, err := r.HighWatermarks(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	var last int64
	read := func(from int64) {
		t.Helper()
		got, last = nil, from
		if err := r.Range(ctx, topic, 0, from, ends[0], func(page []kafka.Record, next int64) error {
			for _, rec := range page {
				got = append(got, string(rec.Value))
			}
			last = next
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	read(0)
	if !slices.Equal(got, []string{"1", "2"}) || last != ends[0] {
		t.Errorf("read %v up to %d, want [1 2] up to %d", got, last, ends[0])
	}
	read(2)
	if len(got) != 0 || last != ends[0] {
		t.Errorf("read %v up to %d from the tail, want nothing up to %d", got, last, ends[0])
	}
	if rec, ok, err := r.At(ctx, topic, 0, 1); err != nil || !ok || string(rec.Value) != "2" {
		t.Errorf("record at 1 is %v, %v, %v", rec, ok, err)
	}
	if _, ok, err := r.At(ctx, topic, 0, 2); err != nil || ok {
		t.Errorf("a marker was read as a record (%v)", err)
	}
	if err := r.Range(ctx, topic, 0, ends[0]+5, ends[0]+9, nil); !errors.Is(err, kafka.ErrBeyondEnd) {
		t.Errorf("reading beyond the end says %v", err)
	}
}

func TestReaderReadsOnThroughWhatCompactionRemoved(t *testing.T) {
	c := kafkatest.New(t, 1)
	topic := c.Config.Topics().Replica()
	for i := range 20 {
		c.Produce(topic, kafka.Message{Key: []byte("same"), Value: []byte(fmt.Sprint(i))})
	}
	c.Fake.Compact()
	records := c.Committed(topic)
	if n := len(records); n == 0 || n > 20 || string(records[n-1].Value) != "19" {
		t.Errorf("after compaction %d records, the last %v", n, records)
	}
}
