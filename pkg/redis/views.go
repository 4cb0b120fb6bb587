package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// Record keys always hold a slash, so these fields cannot be one.
	checkpointField = "@checkpoint"
	settledField    = "@settled"
	buildingField   = "@building"

	// NoCheckpoint says that a view does not exist.
	NoCheckpoint int64 = -1

	// maxFields of one script: Lua's unpack gives up at about 8,000 arguments, and
	// the Lua of the embedded Redis at less than 5,000.
	maxFields = 1_000
)

// applyScript writes only if the view contains exactly the changelog up to
// ARGV[1]; it answers with the checkpoint there is afterwards. ARGV[3] is "1"
// while the view is being built, "0" when it is complete, "" to leave that.
// ARGV[4] is how many of the arguments after it are fields and values to set;
// the rest are fields to remove.
const applyScript = `
local current = redis.call('HGET', KEYS[1], '@checkpoint') or ''
if current ~= ARGV[1] then return current end
local last = 4 + ARGV[4]
redis.call('HSET', KEYS[1], '@checkpoint', ARGV[2], unpack(ARGV, 5, last))
if ARGV[3] == '1' then
  redis.call('HSET', KEYS[1], '@building', '1')
elseif ARGV[3] == '0' then
  redis.call('HDEL', KEYS[1], '@building')
end
if #ARGV > last then redis.call('HDEL', KEYS[1], unpack(ARGV, last + 1)) end
return ARGV[2]`

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
	c             *Client
	apply, settle *goredis.Script
}

// Views of this installation.
func (c *Client) Views() *Views {
	return &Views{c: c, apply: goredis.NewScript(applyScript), settle: goredis.NewScript(settleScript)}
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
				out[i].Values[j] = []byte(s)
			}
		}
	}
	return out, nil
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
	type part struct {
		key  string
		args []any
		of   int
	}
	var parts []part
	want := make([]string, len(batches))
	for i, b := range batches {
		want[i] = strconv.FormatInt(b.To, 10)
		from := ""
		if b.From != NoCheckpoint {
			from = strconv.FormatInt(b.From, 10)
		}
		entries := newest(b.Entries)
		for {
			n := min(len(entries), maxFields)
			to := want[i]
			if n < len(entries) {
				to = strconv.FormatInt(entries[n-1].Offset+1, 10)
			}
			building := "0"
			switch {
			case b.Building || n < len(entries) && from == "":
				building = "1"
			case n < len(entries):
				building = "" // as it was
			}
			args := make([]any, 4, 4+2*n)
			for _, e := range entries[:n] {
				if e.Value != nil {
					args = append(args, e.Key, e.Value)
				}
			}
			args[0], args[1], args[2], args[3] = from, to, building, len(args)-4
			for _, e := range entries[:n] {
				if e.Value == nil {
					args = append(args, e.Key)
				}
			}
			parts = append(parts, part{key: v.key(b.ID), args: args, of: i})
			if entries = entries[n:]; len(entries) == 0 {
				break
			}
			from = to
		}
	}
	cmds := make([]*goredis.Cmd, len(parts))
	run := func() error {
		return v.pipeline(ctx, func(p goredis.Pipeliner) {
			for i, pt := range parts {
				cmds[i] = v.apply.EvalSha(ctx, p, []string{pt.key}, pt.args...)
			}
		})
	}
	if err := v.withScript(ctx, run, v.apply); err != nil {
		return nil, fmt.Errorf("apply views: %w", err)
	}
	ok := make([]bool, len(batches))
	for i, cmd := range cmds { // the last part of a batch decides
		s, _ := cmd.Val().(string)
		ok[parts[i].of] = s == want[parts[i].of]
	}
	return ok, nil
}

// newest keeps the last entry of each key; order by offset is kept, so that a
// split batch still has a checkpoint after every part.
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
