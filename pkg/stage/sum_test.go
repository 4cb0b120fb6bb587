package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/kafka/kafkatest"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/redis"
	"github.com/fluxnex/fluxnex/pkg/secret"
	"github.com/fluxnex/fluxnex/tests/parts"
)

// sums is a stage whose state shows every lost, doubled or reordered input: a
// record "n" makes the key's state "count sum last". A lost merge has too small
// a count, a doubled one too big a one, and "last" must be count.
type sums struct {
	topic   string
	poison  atomic.Bool // panic on value "panic"
	away    atomic.Bool // Begin fails, as with the registry away
	foreign bool        // looks every key up in the view "other" too
	batches atomic.Int64
	records atomic.Int64

	mu      sync.Mutex
	settled map[record.Key]string
	failing bool // Settle fails
	// onSettle sees what is settled, where a test looks at that.
	onSettle func(changes []Change)
}

func (s *sums) Begin(_ context.Context, batch []Record) (Work, error) {
	if s.away.Load() {
		return nil, errors.New("registry away")
	}
	s.batches.Add(1)
	return &sumsWork{s: s, batch: batch}, nil
}

func (s *sums) Settle(_ context.Context, changes []Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing {
		return errors.New("cannot settle")
	}
	if s.onSettle != nil {
		s.onSettle(changes)
	}
	for _, c := range changes {
		s.settled[c.Key] = string(c.Value)
	}
	return nil
}

func (s *sums) settledStates() map[record.Key]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.settled)
}

type sumsWork struct {
	s     *sums
	batch []Record
}

func (w *sumsWork) Lookups(Views) []Lookup {
	out := make([]Lookup, len(w.batch))
	for i := range w.batch {
		out[i] = Lookup{View: "sums", Key: record.Key(w.batch[i].Key)}
		if w.s.foreign {
			out = append(out, Lookup{View: "other", Key: record.Key(w.batch[i].Key)})
		}
	}
	return out
}

func (w *sumsWork) Compute(_ context.Context, found Views) (Result, error) {
	var res Result
	own := map[record.Key]string{}
	for i := range w.batch {
		r := &w.batch[i]
		key := record.Key(r.Key)
		if string(r.Value) == "panic" && w.s.poison.Load() {
			panic("poisoned")
		}
		state, ok := own[key]
		if !ok {
			state = string(found.Get("sums", key))
		}
		var count, sum, last int
		if state != "" {
			if _, err := fmt.Sscanf(state, "%d %d %d", &count, &sum, &last); err != nil {
				return res, err
			}
		}
		n, _ := strconv.Atoi(string(r.Value))
		if n < last {
			return res, fmt.Errorf("key %s went back from %d to %d", key, last, n)
		}
		own[key] = fmt.Sprintf("%d %d %d", count+1, sum+n, n)
		res.Outputs = append(res.Outputs, Output{Topic: w.s.topic, Key: r.Key, Value: []byte(own[key]), Input: i})
		res.Settled = append(res.Settled, Settled{Key: key, Input: Position{Partition: r.Partition, Offset: r.Offset}, Outcome: "applied", Received: r.Timestamp})
	}
	w.s.records.Add(int64(len(w.batch)))
	return res, nil
}

// bed is one broker, one Redis, and as many runners as a test starts.
type bed struct {
	t      *testing.T
	kafka  *kafkatest.Cluster
	redis  *redis.Client
	url    string
	topics record.Topics
	fed    map[string]int
}

func newBed(t *testing.T, partitions int32) *bed {
	t.Helper()
	return bedOn(t, kafkatest.New(t, partitions))
}

func bedOn(t *testing.T, c *kafkatest.Cluster) *bed {
	t.Helper()
	b := &bed{t: t, kafka: c, url: parts.Redis(t), topics: c.Config.Topics(), fed: map[string]int{}}
	b.redis = b.openRedis()
	return b
}

func (b *bed) openRedis() *redis.Client {
	b.t.Helper()
	c, err := redis.Open(redis.Config{URL: secret.Secret(b.url)}, testLog(b.t))
	if err != nil {
		b.t.Fatalf("redis: %v", err)
	}
	b.t.Cleanup(func() { _ = c.Close() })
	return c
}

// testLog prints warnings of a failing test.
func testLog(t *testing.T) *slog.Logger {
	var buf syncBuffer
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", buf.String())
		}
	})
	return slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{
		Level:       slog.LevelInfo,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { return a },
	}))
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("record.settled")) {
		return len(p), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// running is one runner in the test's process.
type running struct {
	*Runner
	stage *sums
	stop  context.CancelFunc
	ended chan error
}

func (b *bed) newRunner(change func(*Config)) (*Runner, *sums) {
	b.t.Helper()
	s := &sums{topic: b.topics.Replica(), settled: map[record.Key]string{}}
	cfg := Config{
		Name: "sums", Group: "sums", TransactionalIDPrefix: b.kafka.Config.Prefix + ".sums", Input: b.topics.Gateway(),
		Changelog: b.topics.Replica(), ChangelogView: "sums", Kafka: b.kafka.Config,
		TransactionTimeout: 3 * time.Second, SessionTimeout: 6 * time.Second,
	}
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg, s, Deps{
		Log: testLog(b.t), Now: time.Now, Registerer: prometheus.NewPedanticRegistry(), Redis: b.redis,
		DeadLetters: func(_ context.Context, d *record.DeadLetter) ([]Output, error) {
			return []Output{{Topic: b.topics.DeadLetter(), Key: d.Key, Value: []byte(d.Code + ":" + string(d.Value))}}, nil
		},
	})
	if err != nil {
		b.t.Fatalf("new runner: %v", err)
	}
	return r, s
}

func (b *bed) start(change func(*Config)) *running {
	b.t.Helper()
	r, s := b.newRunner(change)
	return b.run(r, s)
}

func (b *bed) run(r *Runner, s *sums) *running {
	ctx, cancel := context.WithCancel(context.Background())
	run := &running{Runner: r, stage: s, stop: cancel, ended: make(chan error, 1)}
	go func() { run.ended <- r.Run(ctx) }()
	b.t.Cleanup(run.end)
	return run
}

// end stops the runner and waits for it; a second call does nothing.
func (r *running) end() {
	r.stop()
	select {
	case err := <-r.ended:
		r.ended <- err
	case <-time.After(30 * time.Second):
		panic("runner does not stop")
	}
}

// feed appends one increasing number to each of n keys, in rounds.
func (b *bed) feed(keys, rounds int) {
	b.t.Helper()
	var msgs []kafka.Message
	for range rounds {
		for k := range keys {
			key := fmt.Sprintf("acme/app:%d", k)
			b.fed[key]++
			msgs = append(msgs, kafka.Message{Key: []byte(key), Value: []byte(strconv.Itoa(b.fed[key]))})
		}
	}
	b.kafka.Produce(b.topics.Gateway(), msgs...)
}

// check waits until everything fed is consumed, and compares the changelog
// record by record with what one undisturbed pass would have written.
func (b *bed) check() {
	b.t.Helper()
	b.kafka.WaitLag("sums", b.topics.Gateway())
	turn := map[string]int{}
	for _, r := range b.kafka.Committed(b.topics.Replica()) {
		turn[string(r.Key)]++
		n := turn[string(r.Key)]
		if want := fmt.Sprintf("%d %d %d", n, n*(n+1)/2, n); string(r.Value) != want {
			b.t.Fatalf("change %d of %s is %q at partition %d offset %d, want %q", n, r.Key, r.Value, r.Partition, r.Offset, want)
		}
	}
	if !maps.Equal(turn, b.fed) {
		b.t.Fatalf("changes per key %v, want %v", brief(turn), brief(b.fed))
	}
	// The view says the same as the changelog.
	kafkatest.Eventually(b.t, func() (bool, string) {
		for key, n := range b.fed {
			got := b.view(key)
			if want := fmt.Sprintf("%d %d %d", n, n*(n+1)/2, n); got != want {
				return false, fmt.Sprintf("view of %s is %q, want %q", key, got, want)
			}
		}
		return true, ""
	})
}

func brief(m map[string]int) string {
	total := 0
	var odd []string
	for k, n := range m {
		total += n
		if len(odd) < 5 {
			odd = append(odd, fmt.Sprintf("%s=%d", k, n))
		}
	}
	return fmt.Sprintf("%d keys, %d changes (%s …)", len(m), total, strings.Join(odd, " "))
}

func (b *bed) view(key string) string {
	b.t.Helper()
	answers, err := b.redis.Views().Read(context.Background(), []redis.Question{{ID: b.viewID("sums", b.topics.Replica(), kafka.Partition([]byte(key), b.kafka.Config.PartitionCount())), Keys: []string{key}}})
	if err != nil {
		b.t.Fatalf("read view: %v", err)
	}
	return string(answers[0].Values[0])
}

func (b *bed) viewID(view, topic string, p int32) redis.ViewID {
	b.t.Helper()
	r, err := kafka.NewReader(b.kafka.Config, testLog(b.t))
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	id, err := r.TopicID(context.Background(), topic)
	if err != nil {
		b.t.Fatal(err)
	}
	return redis.ViewID{View: view, TopicID: id, Partition: p}
}
