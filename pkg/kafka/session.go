package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fluxnex/fluxnex/pkg/failpoint"
)

const sessionLinger = 2 * time.Millisecond

// SessionConfig is one member of a transactional consumer group.
type SessionConfig struct {
	Kafka           Config
	Group           string // without the installation's prefix
	TransactionalID string // one per process and stage; the same after a restart if the process has a name
	Topic           string
	// TransactionTimeout must be less than SessionTimeout; 0 = 10 s and 15 s.
	TransactionTimeout time.Duration
	SessionTimeout     time.Duration
	// Changed, if set, is called after every change of the assignment, from the
	// client's own goroutine: it must not block.
	Changed func()
}

// Session consumes one topic in a group and writes outputs together with the
// consumed offsets in one transaction. It is made for one goroutine; only
// Assignment, Resume and Pause may be called from others.
type Session struct {
	membership

	cfg SessionConfig
	gts *kgo.GroupTransactSession
	log *slog.Logger

	mu       sync.Mutex
	epoch    int64
	assigned []int32
}

// NewSession joins the group and takes the transactional id over: an older
// holder is fenced, and a transaction it left open ends at once. With a name
// ([Config.Instance]) it takes its predecessor's place in the group, which does
// not rebalance for it.
//
// Every newly assigned partition is paused until Resume.
func NewSession(ctx context.Context, cfg SessionConfig, log *slog.Logger) (*Session, error) {
	if cfg.TransactionTimeout == 0 {
		cfg.TransactionTimeout = DefaultTransactionTimeout
	}
	if cfg.SessionTimeout == 0 {
		cfg.SessionTimeout = DefaultSessionTimeout
	}
	if cfg.TransactionTimeout >= cfg.SessionTimeout {
		return nil, fmt.Errorf("transaction timeout %s must be less than session timeout %s", cfg.TransactionTimeout, cfg.SessionTimeout)
	}
	s := &Session{cfg: cfg, log: log}
	opts, err := cfg.Kafka.options(cfg.Group, log)
	if err != nil {
		return nil, err
	}
	life, abandon := context.WithCancel(context.WithoutCancel(ctx))
	s.gts, err = kgo.NewGroupTransactSession(append(append(opts, cfg.Kafka.member(cfg.Group, cfg.SessionTimeout)...),
		kgo.WithContext(life),
		kgo.ConsumeTopics(cfg.Topic),
		kgo.TransactionalID(cfg.TransactionalID),
		kgo.TransactionTimeout(cfg.TransactionTimeout),
		kgo.OnPartitionsAssigned(s.onAssigned),
		kgo.OnPartitionsRevoked(s.onRevoked),
		kgo.OnPartitionsLost(s.onRevoked),
		kgo.ProducerLinger(sessionLinger),
		kgo.MaxBufferedRecords(1<<20),
		kgo.ProducerBatchMaxBytes(maxMessageBytes-64<<10),
		kgo.FetchMaxWait(fetchMaxWait),
	)...)
	if err != nil {
		abandon()
		return nil, err
	}
	s.membership = membership{cl: s.gts.Client(), cfg: cfg.Kafka, group: GroupName(cfg.Kafka, cfg.Group), abandon: abandon}
	if _, _, err := s.cl.ProducerID(ctx); err != nil {
		if ctx.Err() != nil {
			s.Leave(ctx)
		} else {
			s.Close()
		}
		return nil, fmt.Errorf("take over transactional id %s: %w", cfg.TransactionalID, err)
	}
	return s, nil
}

func (s *Session) onAssigned(_ context.Context, cl *kgo.Client, added map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cl.PauseFetchPartitions(added)
	s.epoch++
	for _, p := range added[s.cfg.Topic] {
		if !slices.Contains(s.assigned, p) {
			s.assigned = append(s.assigned, p)
		}
	}
	slices.Sort(s.assigned)
	s.changed()
}

func (s *Session) onRevoked(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.assigned = slices.DeleteFunc(s.assigned, func(p int32) bool { return slices.Contains(gone[s.cfg.Topic], p) })
	s.changed()
}

func (s *Session) changed() {
	if s.cfg.Changed != nil {
		s.cfg.Changed()
	}
}

// Assignment is what the member owns, and a number that is another one after
// every change.
func (s *Session) Assignment() (epoch int64, partitions []int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch, slices.Clone(s.assigned)
}

// Resume lets records of partitions through, unless the assignment is no longer
// the one of that epoch; it reports whether it was.
func (s *Session) Resume(epoch int64, partitions ...int32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != epoch {
		return false
	}
	s.cl.ResumeFetchPartitions(map[string][]int32{s.cfg.Topic: partitions})
	return true
}

// Pause holds records of partitions back. What was polled before stays polled:
// Rewind gives it up.
func (s *Session) Pause(partitions ...int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cl.PauseFetchPartitions(map[string][]int32{s.cfg.Topic: partitions})
}

// Poll waits for records until ctx ends; an ended ctx is no error. After
// [ErrSuperseded] the session is over: Close it.
func (s *Session) Poll(ctx context.Context, limit int) ([]Record, error) {
	fetches := s.gts.PollRecords(ctx, limit)
	if fetches.IsClientClosed() {
		return nil, kgo.ErrClientClosed
	}
	var errs []error
	fetches.EachError(func(topic string, p int32, err error) {
		switch {
		case errors.Is(err, kerr.FencedInstanceID):
			errs = append(errs, s.superseded())
		case !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded):
			errs = append(errs, fmt.Errorf("read %s partition %d: %w", topic, p, err))
		}
	})
	out := make([]Record, 0, fetches.NumRecords())
	fetches.EachRecord(func(r *kgo.Record) { out = append(out, fromKgo(r)) })
	return out, errors.Join(errs...)
}

// Rewind gives up everything polled since the last commit: it will be polled
// again by whoever owns it then. It also forgets that a rebalance happened,
// which would make the next commit fail; so call it only with no batch in hand.
func (s *Session) Rewind(ctx context.Context) error {
	_, err := s.gts.End(ctx, kgo.TryAbort)
	return s.judge(ctx, err)
}

// Commit writes msgs and the offsets of everything polled in one transaction.
//
// committed=false without an error is a certain abort: nothing happened, and
// the records will be polled again. An error means that the outcome is unknown
// and the session unusable: Close it, join anew, and look at the log; unless it
// is [ErrSuperseded].
func (s *Session) Commit(ctx context.Context, msgs []Message, upTo map[int32]int64) (positions []Position, committed bool, err error) {
	positions, committed, err = s.commit(ctx, msgs, upTo)
	return positions, committed, s.judge(ctx, err)
}

func (s *Session) commit(ctx context.Context, msgs []Message, upTo map[int32]int64) (positions []Position, committed bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.TransactionTimeout)
	defer cancel()
	if err := s.gts.Begin(); err != nil {
		return nil, false, fmt.Errorf("begin transaction: %w", err)
	}
	recs := make([]*kgo.Record, len(msgs))
	room := make([]kgo.Record, len(msgs)) // one piece of memory, not one for each
	var (
		mu    sync.Mutex
		first error
	)
	promise := func(_ *kgo.Record, err error) {
		if err != nil {
			mu.Lock()
			first = cmpErr(first, err)
			mu.Unlock()
		}
	}
	for i := range msgs {
		room[i] = msgs[i].record()
		recs[i] = &room[i]
		s.gts.Produce(ctx, recs[i], promise)
	}
	if err := s.cl.Flush(ctx); err != nil {
		return nil, false, fmt.Errorf("flush transaction: %w", err)
	}
	mu.Lock()
	failed := first
	mu.Unlock()
	if failed != nil {
		if _, err := s.gts.End(ctx, kgo.TryAbort); err != nil {
			return nil, false, fmt.Errorf("abort transaction: %w", err)
		}
		s.log.Warn("transaction aborted, its records come again", slog.String("error", failed.Error()))
		return nil, false, nil
	}
	failpoint.Hit("produced")
	committed, err = s.gts.End(ctx, kgo.TryCommit)
	if err != nil {
		return nil, false, fmt.Errorf("end transaction: %w", err)
	}
	if !committed {
		return nil, false, s.verifyAborted(ctx, upTo)
	}
	positions = make([]Position, len(recs))
	for i, r := range recs {
		positions[i] = Position{Partition: r.Partition, Offset: r.Offset}
	}
	return positions, true, nil
}

// verifyAborted: after some broker answers the client library repeats a commit
// of unknown outcome as an abort and reports an abort, so the group's offsets
// decide.
func (s *Session) verifyAborted(ctx context.Context, upTo map[int32]int64) error {
	offsets, err := kadm.NewClient(s.cl).FetchOffsetsForTopics(kadm.RequireStable(ctx), s.group, s.cfg.Topic)
	if err != nil {
		return fmt.Errorf("ask whether the transaction was aborted: %w", err)
	}
	for p, end := range upTo {
		o, ok := offsets.Lookup(s.cfg.Topic, p)
		if !ok {
			continue
		}
		if o.Err != nil {
			return fmt.Errorf("ask whether the transaction was aborted: %w", o.Err)
		}
		if o.At >= end {
			return fmt.Errorf("transaction reported as aborted, but partition %d is committed up to %d", p, o.At)
		}
	}
	return nil
}

func cmpErr(first, err error) error {
	if first != nil {
		return first
	}
	return err
}

// Leave ends the session and gives its partitions to others at once, after ctx
// has ended too.
func (s *Session) Leave(ctx context.Context) { s.leave(ctx) }

// Abandon ends the session as a crash would: the group is told nothing.
func (s *Session) Abandon() {
	s.abandon()
	s.close()
}

// Close ends a session that is followed by another one. A process with a name
// keeps its place in the group for it; one without leaves.
func (s *Session) Close() { s.close() }
