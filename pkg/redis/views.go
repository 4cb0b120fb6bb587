package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unsafe"

	goredis "github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

const (
	// Record keys always hold a slash, so these fields cannot be one.
	checkpointField = "@checkpoint"
	settledField    = "@settled"
	buildingField   = "@building"

	// NoCheckpoint says that a view does not exist.
	NoCheckpoint int64 = -1

	// maxEntries of one transaction: the server serves nobody else meanwhile.
	maxEntries = 1_000

	// lostTurns is how often one Apply may find that a view was touched between
	// its look and its write. Only an owner of yesterday does that, and not twice.
	lostTurns = 10
)

const settleScript = `
if redis.call('HEXISTS', KEYS[1], '@checkpoint') == 0 then return 0 end
local current = tonumber(redis.call('HGET', KEYS[1], '@settled') or '-1')
if current >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], '@settled', ARGV[1])
return 1`

// ViewID names one partition of one view. The topic's id makes a topic that
// was created anew start with an empty view.
type ViewID struct {
	View      string
	TopicID   string
	Partition int32
}

// Views are derived from the compacted topics: for each partition one hash that
// holds the newest value of each key, and its checkpoint: the changelog offset
// up to which (exclusive) it contains everything. The checkpoint decides the
// content, because only committed records are ever applied.
type Views struct {
	c      *Client
	settle *goredis.Script
}

// Views of this installation.
func (c *Client) Views() *Views {
	return &Views{c: c, settle: goredis.NewScript(settleScript)}
}

func (v *Views) key(id ViewID) string {
	return v.c.key("view", id.View, id.TopicID, strconv.Itoa(int(id.Partition)))
}

// Question asks one partition of a view for keys.
type Question struct {
	ID   ViewID
	Keys []string
}

// Answer is what a view says; Values correspond to the question's keys, nil
// where the view has none, and must not be changed. With Checkpoint == NoCheckpoint the view is not
// ready (lost, never built, or being built) and the values mean nothing.
type Answer struct {
	Checkpoint int64
	Values     [][]byte
}

// Read asks all questions in one round trip. Each answer is of one moment.
func (v *Views) Read(ctx context.Context, questions []Question) ([]Answer, error) {
	cmds := make([]*goredis.SliceCmd, len(questions))
	if err := v.pipeline(ctx, func(p goredis.Pipeliner) {
		for i, q := range questions {
			fields := make([]string, 0, len(q.Keys)+2)
			fields = append(append(fields, checkpointField, buildingField), q.Keys...)
			cmds[i] = p.HMGet(ctx, v.key(q.ID), fields...)
		}
	}); err != nil {
		return nil, fmt.Errorf("read views: %w", err)
	}
	out := make([]Answer, len(questions))
	for i, cmd := range cmds {
		vals := cmd.Val()
		at, err := offset(vals[0])
		if err != nil {
			return nil, err
		}
		if vals[1] != nil {
			at = NoCheckpoint
		}
		out[i] = Answer{Checkpoint: at, Values: make([][]byte, len(vals)-2)}
		for j, val := range vals[2:] {
			if s, ok := val.(string); ok {
				out[i].Values[j] = bytesOf(s)
			}
		}
	}
	return out, nil
}

// bytesOf is s itself: nobody else has it, and nobody changes it.
func bytesOf(s string) []byte {
	if s == "" {
		return []byte{} // the value is there, and empty
	}
	return unsafe.Slice(unsafe.StringData(s), len(s)) //nolint:gosec // as long as the string
}

// Cursors are how far a view goes and how far the checks after it went.
type Cursors struct {
	Checkpoint int64
	Settled    int64 // NoCheckpoint if never
}

// Cursors of several partitions in one round trip.
func (v *Views) Cursors(ctx context.Context, ids []ViewID) ([]Cursors, error) {
	cmds := make([]*goredis.SliceCmd, len(ids))
	if err := v.pipeline(ctx, func(p goredis.Pipeliner) {
		for i, id := range ids {
			cmds[i] = p.HMGet(ctx, v.key(id), checkpointField, settledField)
		}
	}); err != nil {
		return nil, fmt.Errorf("read view checkpoints: %w", err)
	}
	out := make([]Cursors, len(ids))
	for i, cmd := range cmds {
		var err, err2 error
		out[i].Checkpoint, err = offset(cmd.Val()[0])
		out[i].Settled, err2 = offset(cmd.Val()[1])
		if err := errors.Join(err, err2); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func offset(v any) (int64, error) {
	s, ok := v.(string)
	if !ok {
		return NoCheckpoint, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return NoCheckpoint, fmt.Errorf("view checkpoint %q is not a number; delete the view's key, it will be built again", s)
	}
	return n, nil
}

// Entry is one changelog record; a nil Value removes the key.
type Entry struct {
	Key    string
	Value  []byte
	Offset int64
}

// Batch moves one partition's view from one checkpoint to another. Entries are
// in offset order.
type Batch struct {
	ID       ViewID
	From, To int64 // From == NoCheckpoint: the view must not exist
	Entries  []Entry
	// Building says that To is not yet the end of the changelog: nobody may read
	// the view, for a key that is missing may only not be there yet.
	Building bool
}

// Apply writes each batch whose From is the view's checkpoint, and reports
// which views stand at To afterwards; the others belong to a later owner or
// were lost, and were left alone. It is safe to repeat after an error.
func (v *Views) Apply(ctx context.Context, batches []Batch) ([]bool, error) {
	stands := make([]bool, len(batches))
	moves := make([]*move, len(batches))
	for i, b := range batches {
		moves[i] = &move{Batch: b, key: v.key(b.ID), stands: &stands[i]}
		if slices.ContainsFunc(b.Entries, func(e Entry) bool { return e.Value == nil }) {
			moves[i].Entries = newest(b.Entries) // a key is set or removed, not both
		}
	}
	for len(moves) > 0 {
		if err := v.transact(ctx, moves); err != nil {
			return nil, fmt.Errorf("apply views: %w", err)
		}
		moves = slices.DeleteFunc(moves, func(m *move) bool { return m.done })
	}
	return stands, nil
}

// transact takes each move a step further, in one transaction. The keys of a
// cluster are in different slots, which a transaction cannot span.
func (v *Views) transact(ctx context.Context, moves []*move) error {
	if !v.c.cluster() {
		return v.step(ctx, moves)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(poolSize)
	for i := range moves {
		g.Go(func() error { return v.step(ctx, moves[i:i+1]) })
	}
	return g.Wait()
}

// step compares, then writes. The views are watched before their checkpoints
// are read, so the server itself refuses the writes if anything has touched one
// of them since: a writer that stood still in between writes nothing. A script
// would do both at once, but every value would go through Lua, which hashes each
// byte of it: that cost the server more than all else together.
func (v *Views) step(ctx context.Context, moves []*move) error {
	keys := make([]string, len(moves))
	for i, m := range moves {
		keys[i] = m.key
	}
	for turn := 1; ; turn++ {
		err := v.c.rdb.Watch(ctx, func(tx *goredis.Tx) error { return compareAndWrite(ctx, tx, moves) }, keys...)
		if !errors.Is(err, goredis.TxFailedErr) || turn == lostTurns {
			return err
		}
	}
}

func compareAndWrite(ctx context.Context, tx *goredis.Tx, moves []*move) error {
	looks := make([]*goredis.SliceCmd, len(moves))
	if _, err := tx.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i, m := range moves {
			looks[i] = p.HMGet(ctx, m.key, checkpointField, buildingField)
		}
		return nil
	}); err != nil {
		return err
	}
	due := make([]*move, 0, len(moves))
	for i, m := range moves {
		at, err := offset(looks[i].Val()[0])
		if err != nil {
			return err
		}
		if at != m.From {
			m.done, *m.stands = true, at == m.To // it may be repeated
			continue
		}
		m.building = looks[i].Val()[1] != nil
		due = append(due, m)
	}
	if len(due) == 0 {
		return nil
	}
	marks := make([]*goredis.IntCmd, len(due))
	if _, err := tx.TxPipelined(ctx, func(p goredis.Pipeliner) error {
		for i, m := range due {
			marks[i] = m.write(ctx, p)
		}
		return nil
	}); err != nil {
		return err
	}
	for i, m := range due {
		if marks[i].Val() > 0 && m.From != NoCheckpoint {
			// The checkpoint was not there any more, and the server did not notice: the
			// embedded one forgets a watch when everything is flushed.
			if err := tx.Unlink(ctx, m.key).Err(); err != nil {
				return err
			}
			m.done = true
			continue
		}
		m.written()
	}
	return nil
}

// move is a batch on its way into its view, in steps of maxEntries, after each
// of which the view has a checkpoint.
type move struct {
	Batch
	key      string
	building bool // the view is marked so
	done     bool
	stands   *bool
}

// next is how many entries the next step takes, and where it ends.
func (m *move) next() (n int, to int64) {
	if n = min(len(m.Entries), maxEntries); n < len(m.Entries) {
		return n, m.Entries[n-1].Offset + 1
	}
	return n, m.To
}

// write answers with how many checkpoints there are that were not there before.
func (m *move) write(ctx context.Context, p goredis.Pipeliner) *goredis.IntCmd {
	n, to := m.next()
	last := n == len(m.Entries)
	mark := p.HSet(ctx, m.key, checkpointField, to)
	set := make([]any, 0, 2+2*n)
	var gone []string
	for i := range m.Entries[:n] {
		e := &m.Entries[i]
		if e.Value == nil {
			gone = append(gone, e.Key)
		} else {
			set = append(set, e.Key, e.Value)
		}
	}
	switch {
	case m.Building || !last && m.From == NoCheckpoint:
		set = append(set, buildingField, "1")
	case last && m.building:
		gone = append(gone, buildingField)
	}
	if len(set) > 0 {
		p.HSet(ctx, m.key, set...)
	}
	if len(gone) > 0 {
		p.HDel(ctx, m.key, gone...)
	}
	return mark
}

func (m *move) written() {
	n, to := m.next()
	m.Entries, m.From = m.Entries[n:], to
	m.done = len(m.Entries) == 0
	*m.stands = m.done
}

// newest keeps the last entry of each key; order by offset is kept, so that a
// batch in steps still has a checkpoint after each.
func newest(entries []Entry) []Entry {
	last := make(map[string]int, len(entries))
	for i, e := range entries {
		last[e.Key] = i
	}
	if len(last) == len(entries) {
		return entries
	}
	out := make([]Entry, 0, len(last))
	for i, e := range entries {
		if last[e.Key] == i {
			out = append(out, e)
		}
	}
	return out
}

// Settled records that the checks after all changes below upTo were made. It
// only moves forward, and only where there is a view.
func (v *Views) Settled(ctx context.Context, upTo map[ViewID]int64) error {
	run := func() error {
		return v.pipeline(ctx, func(p goredis.Pipeliner) {
			for id, at := range upTo {
				v.settle.EvalSha(ctx, p, []string{v.key(id)}, at)
			}
		})
	}
	if err := v.withScript(ctx, run, v.settle); err != nil {
		return fmt.Errorf("move settled cursors: %w", err)
	}
	return nil
}

// Drop removes a view, so that it is built again from its topic.
func (v *Views) Drop(ctx context.Context, id ViewID) error {
	if err := v.c.rdb.Unlink(ctx, v.key(id)).Err(); err != nil {
		return fmt.Errorf("drop view: %w", err)
	}
	return nil
}

func (v *Views) pipeline(ctx context.Context, fill func(goredis.Pipeliner)) error {
	p := v.c.rdb.Pipeline()
	fill(p)
	if p.Len() == 0 {
		return nil
	}
	_, err := p.Exec(ctx)
	return err
}

// withScript loads the script once where a server does not know it: a pipeline
// cannot fall back from EVALSHA by itself.
func (v *Views) withScript(ctx context.Context, run func() error, s *goredis.Script) error {
	err := run()
	if err == nil || !goredis.HasErrorPrefix(err, "NOSCRIPT") {
		return err
	}
	if err := s.Load(ctx, v.c.rdb).Err(); err != nil {
		return err
	}
	return run()
}
