package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/redis"
)

// verifyEvery is how often the owner of a view looks whether it is still there.
const verifyEvery = time.Second

// maxBatchBytes bounds the memory of a batch of big records.
const maxBatchBytes = 16 << 20

// member is one membership in the group: one session, until it ends or its
// state becomes unknown. Everything but onChange and the folds runs on one
// goroutine.
type member struct {
	*Runner
	session *kafka.Session
	reader  *kafka.Reader
	topics  map[View]string // view → topic id

	epoch   int64
	owned   []int32
	ready   map[int32]bool
	folding map[int32]bool
	next    map[int32]int64 // changelog offset that the view must stand at
	folded  chan folded
	recent  *recent    // states committed in this epoch
	after   *aftermath // of the last commit; nil if none

	work       context.Context //nolint:containedctx // a membership is a span of time: this outlives the stop signal by drainGrace
	epochCtx   context.Context //nolint:containedctx // and this ends with the assignment
	epochEnd   atomic.Pointer[context.CancelFunc]
	pollEnd    atomic.Pointer[context.CancelFunc]
	woken      atomic.Bool
	lastCommit time.Time
	lastVerify time.Time
}

// join is one membership from beginning to end.
func (r *Runner) join(ctx context.Context) error {
	r.setStatus("joining the group")
	work, stop := draining(ctx)
	defer stop()
	m := &member{
		Runner: r, work: work, topics: make(map[View]string),
		folded: make(chan folded, r.cfg.Kafka.PartitionCount()),
	}
	var err error
	if m.reader, err = kafka.NewReader(r.cfg.Kafka, r.deps.Log); err != nil {
		return err
	}
	defer m.reader.Close()
	if err := m.nameViews(ctx); err != nil {
		return err
	}
	m.session, err = kafka.NewSession(ctx, kafka.SessionConfig{
		Kafka: r.cfg.Kafka, Group: r.cfg.Group, TransactionalID: r.txnID, Topic: r.cfg.Input,
		TransactionTimeout: r.cfg.TransactionTimeout, SessionTimeout: r.cfg.SessionTimeout, Changed: m.onChange,
	}, r.deps.Log)
	if err != nil {
		return err
	}
	m.epoch = -1
	switch err = m.run(ctx); {
	case errors.Is(err, errCrash):
		m.session.Abandon()
	case errors.Is(err, kafka.ErrSuperseded), ctx.Err() == nil:
		m.session.Close()
	default:
		m.session.Leave(ctx)
	}
	return err
}

// nameViews finds the topics' ids, under which their views are stored.
func (m *member) nameViews(ctx context.Context) error {
	views := map[View]string{}
	maps.Copy(views, m.cfg.Foreign)
	if m.cfg.Changelog != "" {
		views[m.cfg.ChangelogView] = m.cfg.Changelog
	}
	for v, topic := range views {
		err := m.untilDone(ctx, "topic "+topic, func() (err error) {
			m.topics[v], err = m.reader.TopicID(ctx, topic)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *member) run(ctx context.Context) (err error) {
	defer func() {
		// After a clean end the last commit's checks are finished; after an
		// unknown outcome the next membership repeats them anyway.
		if err == nil {
			m.after.settled(m.work)
		}
		m.endEpoch()
		m.Runner.owned.Store(nil)
	}()
	for ctx.Err() == nil {
		if err := m.sync(ctx); err != nil {
			return err
		}
		if err := m.verify(); err != nil {
			return err
		}
		if err := m.after.crashed(); err != nil {
			return err
		}
		batch, err := m.collect(ctx)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			continue
		}
		if err := m.process(batch); err != nil {
			return err
		}
	}
	return nil
}

// onChange is called by the client after every change of the assignment.
func (m *member) onChange() {
	if end := m.epochEnd.Load(); end != nil {
		(*end)()
	}
	m.wake()
}

// wake ends the poll in progress, or the next one if there is none.
func (m *member) wake() {
	m.woken.Store(true)
	if end := m.pollEnd.Load(); end != nil {
		(*end)()
	}
}

func (m *member) endEpoch() {
	if end := m.epochEnd.Load(); end != nil {
		(*end)()
	}
}

// sync follows the assignment and lets through partitions whose view is
// complete. It is called with no batch in hand.
func (m *member) sync(ctx context.Context) error {
	epoch, owned := m.session.Assignment()
	if epoch != m.epoch {
		if err := m.begin(ctx, epoch, owned); err != nil {
			return err
		}
	}
	for {
		select {
		case f := <-m.folded:
			if f.epoch != m.epoch {
				continue
			}
			delete(m.folding, f.partition)
			if m.session.Resume(f.epoch, f.partition) {
				m.next[f.partition] = f.next
				m.ready[f.partition] = true
			}
		default:
			m.report()
			return nil
		}
	}
}

// begin starts on a new assignment. With the eager balancer every partition is
// assigned anew, so nothing of the last one holds any more.
func (m *member) begin(ctx context.Context, epoch int64, owned []int32) error {
	m.endEpoch()
	m.after.settled(m.work)
	m.after = nil
	if err := m.session.Rewind(m.work); err != nil {
		return fmt.Errorf("rewind after a change of the assignment: %w", err)
	}
	epochCtx, cancel := context.WithCancel(m.work)
	m.epoch, m.owned, m.epochCtx = epoch, owned, epochCtx
	m.ready, m.folding, m.next = map[int32]bool{}, map[int32]bool{}, map[int32]int64{}
	m.recent = newRecent()
	m.epochEnd.Store(&cancel)
	if now, _ := m.session.Assignment(); now != epoch {
		cancel() // it changed before onChange could see this epoch's end
	}
	m.deps.Log.Info("assignment", slog.Any("stage", m.cfg.Name), slog.Any("epoch", epoch), slog.Any("partitions", owned))
	if m.cfg.Changelog == "" {
		for _, p := range owned {
			m.ready[p] = m.session.Resume(epoch, p)
		}
		return nil
	}
	if len(owned) > 0 {
		m.startFold(ctx, owned)
	}
	return nil
}

func (m *member) report() {
	owned := make([]int32, 0, len(m.ready))
	for p, ok := range m.ready {
		if ok {
			owned = append(owned, p)
		}
	}
	n := len(owned)
	m.Runner.owned.Store(&owned)
	m.metrics.owned.Set(float64(len(m.owned)))
	m.metrics.ready.Set(float64(n))
	switch {
	case m.epoch <= 0:
		m.setStatus("joining the group")
	case n < len(m.owned):
		m.setStatus(fmt.Sprintf("%d of %d partitions read their changelog", len(m.owned)-n, len(m.owned)))
	default:
		m.setStatus("")
	}
}

// verify looks every second whether the views are where they must be: an idle
// owner would not notice otherwise that Redis was lost or restored.
func (m *member) verify() error {
	now := m.deps.Now()
	if m.cfg.Changelog == "" || now.Sub(m.lastVerify) < verifyEvery || len(m.ready) == 0 {
		return nil
	}
	m.lastVerify = now
	if err := m.awaitApplied(); err != nil {
		if lost := (*lostViewError)(nil); errors.As(err, &lost) {
			return m.lose(lost.partitions, "refused")
		}
		return nil
	}
	var partitions []int32
	for p, ok := range m.ready {
		if ok {
			partitions = append(partitions, p)
		}
	}
	var cursors []redis.Cursors
	err := m.untilDone(m.epochCtx, "redis", func() (err error) {
		cursors, err = m.views.Cursors(m.epochCtx, m.viewIDs(partitions))
		return err
	})
	if err != nil {
		return nil //nolint:nilerr // the assignment changed
	}
	var lost []int32
	for i, p := range partitions {
		if cursors[i].Checkpoint != m.next[p] {
			m.deps.Log.Warn("view is not where it must be, reading the changelog again", slog.Any("stage", m.cfg.Name),
				slog.Any("partition", p), slog.Any("checkpoint", cursors[i].Checkpoint), slog.Any("expected", m.next[p]))
			lost = append(lost, p)
		}
	}
	return m.lose(lost, "verified")
}

// lose holds partitions back until their view is folded again. The records
// polled so far are given up: they may be computed on what was lost.
func (m *member) lose(partitions []int32, reason string) error {
	partitions = slices.DeleteFunc(slices.Clone(partitions), func(p int32) bool { return !m.ready[p] || m.folding[p] })
	if len(partitions) == 0 {
		return nil
	}
	m.metrics.refolds.WithLabelValues(reason).Add(float64(len(partitions)))
	m.session.Pause(partitions...)
	for _, p := range partitions {
		m.ready[p] = false
	}
	if err := m.session.Rewind(m.work); err != nil {
		return fmt.Errorf("rewind after a lost view: %w", err)
	}
	m.startFold(m.work, partitions)
	return nil
}

func (m *member) viewIDs(partitions []int32) []redis.ViewID {
	ids := make([]redis.ViewID, len(partitions))
	for i, p := range partitions {
		ids[i] = m.viewID(m.cfg.ChangelogView, p)
	}
	return ids
}

func (m *member) viewID(v View, p int32) redis.ViewID {
	return redis.ViewID{View: string(v), TopicID: m.topics[v], Partition: p}
}

// collect polls one batch: at once if the last commit is long ago, else until
// the commit interval is over, so that a busy stage commits by interval and an
// idle one answers quickly.
func (m *member) collect(ctx context.Context) ([]Record, error) {
	var batch []Record
	size, wait := 0, verifyEvery
	for len(batch) < m.cfg.MaxBatch && size < maxBatchBytes {
		records, err := m.poll(ctx, wait, m.cfg.MaxBatch-len(batch))
		if errors.Is(err, errWoken) {
			break
		}
		if errors.Is(err, kafka.ErrSuperseded) {
			return nil, err
		}
		if err != nil {
			m.deps.Log.Warn("cannot read", slog.Any("stage", m.cfg.Name), slog.String("error", err.Error()))
			if len(records) == 0 && len(batch) == 0 {
				kafka.Wait(ctx, rejoinPause)
			}
		}
		batch = append(batch, records...)
		for i := range records {
			size += len(records[i].Value)
		}
		wait = m.cfg.CommitInterval - m.deps.Now().Sub(m.lastCommit)
		if len(batch) == 0 || wait <= 0 || wait > m.cfg.CommitInterval || m.woken.Load() {
			break
		}
	}
	if epoch, _ := m.session.Assignment(); epoch != m.epoch {
		return nil, nil // sync rewinds
	}
	for i := range batch {
		if !m.ready[batch[i].Partition] {
			return nil, m.session.Rewind(m.work)
		}
	}
	return batch, nil
}

// errWoken says that the assignment or a fold needs attention.
var errWoken = errors.New("woken")

func (m *member) poll(ctx context.Context, wait time.Duration, limit int) ([]Record, error) {
	pctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	m.pollEnd.Store(&cancel)
	defer m.pollEnd.Store(nil)
	if m.woken.Swap(false) {
		return nil, errWoken
	}
	return m.session.Poll(pctx, limit)
}

// process turns one batch into one transaction. An error means that the
// membership must end.
func (m *member) process(batch []Record) error {
	started := m.deps.Now()
	res, err := m.compute(batch)
	switch lost := (*lostViewError)(nil); {
	case errors.As(err, &lost):
		return m.lose(lost.partitions, "read")
	case err != nil && m.epochCtx.Err() != nil:
		return nil //nolint:nilerr // the records belong to the next assignment
	case err != nil:
		return err
	}
	// Checks of the last commit talk to Redis and Kafka, and no transaction may
	// be open meanwhile.
	if !m.after.settled(m.epochCtx) {
		return nil
	}
	if err := m.awaitApplied(); err != nil {
		if lost := (*lostViewError)(nil); errors.As(err, &lost) {
			return m.lose(lost.partitions, "refused")
		}
		return nil
	}
	if epoch, _ := m.session.Assignment(); epoch != m.epoch {
		return nil
	}
	if m.lostDuring(batch) {
		return m.session.Rewind(m.work)
	}
	msgs := make([]kafka.Message, len(res.Outputs))
	for i, o := range res.Outputs {
		msgs[i] = kafka.Message{Topic: o.Topic, Key: o.Key, Value: o.Value, Headers: traced(o.Headers, batch[o.Input].Headers)}
	}
	positions, committed, err := m.session.Commit(m.work, msgs, ends(batch))
	m.lastCommit = m.deps.Now()
	switch {
	case err != nil:
		m.metrics.commits.WithLabelValues("unknown").Inc()
		return err
	case !committed:
		m.metrics.commits.WithLabelValues("aborted").Inc()
		return nil
	}
	m.metrics.commits.WithLabelValues("committed").Inc()
	m.metrics.batches.Observe(m.lastCommit.Sub(started).Seconds())
	if err := m.at("committed"); err != nil {
		return err
	}
	m.follow(res.Outputs, positions)
	m.logSettled(res.Settled)
	return nil
}

// lostDuring reports whether a partition of the batch is no longer ready.
func (m *member) lostDuring(batch []Record) bool {
	return slices.ContainsFunc(batch, func(r Record) bool { return !m.ready[r.Partition] })
}

func ends(batch []Record) map[int32]int64 {
	out := make(map[int32]int64)
	for i := range batch {
		out[batch[i].Partition] = max(out[batch[i].Partition], batch[i].Offset+1)
	}
	return out
}

func (m *member) logSettled(settled []Settled) {
	now := m.lastCommit
	m.metrics.settled(settled, now)
	if !m.deps.Log.Enabled(m.work, slog.LevelInfo) {
		return
	}
	// Past the logger, which would look for the line of code each time.
	lines := m.deps.Log.Handler().WithAttrs([]slog.Attr{slog.String("stage", m.cfg.Name)})
	for i := range settled {
		s := &settled[i]
		line := slog.NewRecord(now, slog.LevelInfo, "record.settled", 0)
		line.AddAttrs(slog.String("key", string(s.Key)),
			slog.Int("partition", int(s.Input.Partition)), slog.Int64("offset", s.Input.Offset),
			slog.String("outcome", s.Outcome), slog.String("class", classLabel(s)), slog.String("code", s.Code))
		_ = lines.Handle(m.work, line) // a log that cannot be written has nowhere to say so
	}
}

// draining returns a context that outlives ctx by drainGrace.
func draining(ctx context.Context) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		kafka.Wait(work, drainGrace)
		cancel()
	})
	return work, func() { stop(); cancel() }
}
