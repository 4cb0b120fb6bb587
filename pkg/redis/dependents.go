package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// Dependents knows which records use fields of which, and which records wait
// since when. Stale entries cost a spurious wake, nothing else; everything is
// registered again when the canonical view is folded again.
type Dependents struct{ c *Client }

// Dependents of this installation.
func (c *Client) Dependents() *Dependents { return &Dependents{c: c} }

// Use says that child was computed with fields of parent that had this digest.
type Use struct {
	Parent, Child record.Key
	Digest        string
}

func (d *Dependents) users(parent record.Key) string { return d.c.key("users", string(parent)) }

func (d *Dependents) waiting(partition int32) string {
	return d.c.key("waiting", strconv.Itoa(int(partition)))
}

// Add registers uses in one round trip; a later one of the same pair replaces
// the earlier.
func (d *Dependents) Add(ctx context.Context, uses []Use) error {
	return d.pipeline(ctx, "register dependents", len(uses), func(p goredis.Pipeliner) {
		for _, u := range uses {
			p.HSet(ctx, d.users(u.Parent), string(u.Child), u.Digest)
		}
	})
}

// Remove forgets uses; digests are not looked at.
func (d *Dependents) Remove(ctx context.Context, uses []Use) error {
	return d.pipeline(ctx, "remove dependents", len(uses), func(p goredis.Pipeliner) {
		for _, u := range uses {
			p.HDel(ctx, d.users(u.Parent), string(u.Child))
		}
	})
}

// Of returns the children of each parent that has some, with the digest each
// was computed with.
func (d *Dependents) Of(ctx context.Context, parents []record.Key) (map[record.Key]map[record.Key]string, error) {
	parents, err := d.used(ctx, parents)
	if err != nil {
		return nil, err
	}
	cmds := make([]*goredis.MapStringStringCmd, len(parents))
	err = d.pipeline(ctx, "read dependents", len(parents), func(p goredis.Pipeliner) {
		for i, k := range parents {
			cmds[i] = p.HGetAll(ctx, d.users(k))
		}
	})
	if err != nil {
		return nil, err
	}
	out := make(map[record.Key]map[record.Key]string)
	for i, cmd := range cmds {
		if len(cmd.Val()) == 0 {
			continue
		}
		children := make(map[record.Key]string, len(cmd.Val()))
		for child, digest := range cmd.Val() {
			children[record.Key(child)] = digest
		}
		out[parents[i]] = children
	}
	return out, nil
}

// used leaves out parents of which nobody uses anything, as nearly all records
// are: one command asks for many of them. What it leaves in may have no users.
func (d *Dependents) used(ctx context.Context, parents []record.Key) ([]record.Key, error) {
	const atOnce = 32
	if d.c.cluster() { // where a command has the keys of one slot
		return parents, nil
	}
	var cmds []*goredis.IntCmd
	err := d.pipeline(ctx, "look for dependents", len(parents), func(p goredis.Pipeliner) {
		for some := range slices.Chunk(parents, atOnce) {
			keys := make([]string, len(some))
			for i, k := range some {
				keys[i] = d.users(k)
			}
			cmds = append(cmds, p.Exists(ctx, keys...))
		}
	})
	if err != nil {
		return nil, err
	}
	var out []record.Key
	for i, cmd := range cmds {
		if from := i * atOnce; cmd.Val() > 0 {
			out = append(out, parents[from:min(from+atOnce, len(parents))]...)
		}
	}
	return out, nil
}

// Wait is one record that waits.
type Wait struct {
	Partition int32 // the record's own
	Key       record.Key
	Since     time.Time
}

// SetWaiting notes since when records wait.
func (d *Dependents) SetWaiting(ctx context.Context, waits []Wait) error {
	return d.pipeline(ctx, "note waiting records", len(waits), func(p goredis.Pipeliner) {
		for _, w := range waits {
			p.ZAdd(ctx, d.waiting(w.Partition), goredis.Z{Score: float64(w.Since.UnixMilli()), Member: string(w.Key)})
		}
	})
}

// ClearWaiting notes that records wait no longer; Since is not looked at. Nearly
// every record of a busy stage comes here, so one command takes a thousand.
func (d *Dependents) ClearWaiting(ctx context.Context, waits []Wait) error {
	const atOnce = 1000
	keys := map[int32][]any{}
	for _, w := range waits {
		keys[w.Partition] = append(keys[w.Partition], string(w.Key))
	}
	return d.pipeline(ctx, "clear waiting records", len(waits), func(p goredis.Pipeliner) {
		for partition, all := range keys {
			for some := range slices.Chunk(all, atOnce) {
				p.ZRem(ctx, d.waiting(partition), some...)
			}
		}
	})
}

// Waiting returns up to limit records of a partition that have waited since
// before the given time, longest first, without the first skip of them.
func (d *Dependents) Waiting(ctx context.Context, partition int32, before time.Time, skip, limit int64) ([]Wait, error) {
	found, err := d.c.rdb.ZRangeByScoreWithScores(ctx, d.waiting(partition), &goredis.ZRangeBy{
		Min: "-inf", Max: "(" + strconv.FormatInt(before.UnixMilli(), 10), Offset: skip, Count: limit,
	}).Result()
	if err != nil {
		return nil, fmt.Errorf("read waiting records: %w", err)
	}
	out := make([]Wait, 0, len(found))
	for _, z := range found {
		if key, ok := z.Member.(string); ok {
			out = append(out, Wait{Partition: partition, Key: record.Key(key), Since: time.UnixMilli(int64(z.Score))})
		}
	}
	return out, nil
}

func (d *Dependents) pipeline(ctx context.Context, what string, n int, fill func(goredis.Pipeliner)) error {
	if n == 0 {
		return nil
	}
	p := d.c.rdb.Pipeline()
	fill(p)
	if _, err := p.Exec(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
