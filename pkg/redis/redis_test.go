package redis_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/redis"
	"github.com/fluxnex/fluxnex/pkg/redis/redistest"
	"github.com/fluxnex/fluxnex/pkg/secret"
	"github.com/fluxnex/fluxnex/tests/parts"
)

func open(t *testing.T, url string) *redis.Client {
	t.Helper()
	c, err := redis.Open(redis.Config{URL: secret.Secret(url)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// eachRedis runs a test on real Redis and on the one that `dev` embeds.
func eachRedis(t *testing.T, test func(*testing.T, *redis.Client)) {
	t.Helper()
	t.Run("real", func(t *testing.T) { test(t, open(t, parts.Redis(t))) })
	t.Run("embedded", func(t *testing.T) { test(t, open(t, "redis://"+miniredis.RunT(t).Addr())) })
}

func id(p int32) redis.ViewID { return redis.ViewID{View: "replica", TopicID: "t1", Partition: p} }

func apply(t *testing.T, v *redis.Views, from, to int64, entries ...redis.Entry) bool {
	t.Helper()
	ok, err := v.Apply(context.Background(), []redis.Batch{{ID: id(0), From: from, To: to, Entries: entries}})
	if err != nil {
		t.Fatal(err)
	}
	return ok[0]
}

func read(t *testing.T, v *redis.Views, keys ...string) (int64, []string) {
	t.Helper()
	a, err := v.Read(context.Background(), []redis.Question{{ID: id(0), Keys: keys}})
	if err != nil {
		t.Fatal(err)
	}
	values := make([]string, len(keys))
	for i, b := range a[0].Values {
		values[i] = string(b)
		if b == nil {
			values[i] = "<nil>"
		}
	}
	return a[0].Checkpoint, values
}

func TestApplyOnlyFromTheExpectedCheckpoint(t *testing.T) {
	eachRedis(t, func(t *testing.T, c *redis.Client) {
		v := c.Views()
		if at, _ := read(t, v, "a/1"); at != redis.NoCheckpoint {
			t.Errorf("checkpoint of a view that never was: %d", at)
		}
		if !apply(t, v, redis.NoCheckpoint, 0) {
			t.Error("an empty view was not created")
		}
		if !apply(t, v, 0, 7, redis.Entry{Key: "a/1", Value: []byte("x"), Offset: 3}, redis.Entry{Key: "a/2", Value: []byte{}, Offset: 5}) {
			t.Error("refused at the right checkpoint")
		}
		if apply(t, v, 3, 9, redis.Entry{Key: "a/1", Value: []byte("stale"), Offset: 8}) {
			t.Error("a stale writer was let through")
		}
		if apply(t, v, redis.NoCheckpoint, 9, redis.Entry{Key: "a/1", Value: []byte("stale"), Offset: 8}) {
			t.Error("a second builder was let through")
		}
		if !apply(t, v, 0, 7) {
			t.Error("repeating a batch that is applied must be fine")
		}
		if at, got := read(t, v, "a/1", "a/2", "a/3"); at != 7 || strings.Join(got, " ") != "x  <nil>" {
			t.Errorf("view at %d holds %q", at, got)
		}
		if !apply(t, v, 7, 8, redis.Entry{Key: "a/1", Offset: 7}) {
			t.Error("removal refused")
		}
		if at, got := read(t, v, "a/1"); at != 8 || got[0] != "<nil>" {
			t.Errorf("after the removal at %d: %q", at, got)
		}
	})
}

// Half a view would answer "absent" for what is only not there yet.
func TestAViewBeingBuiltIsNotReady(t *testing.T) {
	eachRedis(t, func(t *testing.T, c *redis.Client) {
		v := c.Views()
		ok, err := v.Apply(context.Background(), []redis.Batch{{
			ID: id(0), From: redis.NoCheckpoint, To: 5, Building: true,
			Entries: []redis.Entry{{Key: "a/1", Value: []byte("x"), Offset: 4}},
		}})
		if err != nil || !ok[0] {
			t.Fatalf("apply: %v %v", ok, err)
		}
		if at, _ := read(t, v, "a/1"); at != redis.NoCheckpoint {
			t.Errorf("a view being built reads as complete up to %d", at)
		}
		if !apply(t, v, 5, 9) {
			t.Error("the build cannot go on")
		}
		if at, got := read(t, v, "a/1"); at != 9 || got[0] != "x" {
			t.Errorf("the finished view stands at %d and holds %v", at, got)
		}
	})
}

func TestABigBatchIsSplitAndTheLastOfAKeyWins(t *testing.T) {
	eachRedis(t, func(t *testing.T, c *redis.Client) {
		v := c.Views()
		var entries []redis.Entry
		for i := range 10_000 {
			entries = append(entries, redis.Entry{Key: fmt.Sprintf("a/%d", i%9_000), Value: fmt.Append(nil, i), Offset: int64(i)})
		}
		if !apply(t, v, redis.NoCheckpoint, 10_001, entries...) {
			t.Fatal("refused")
		}
		at, got := read(t, v, "a/0", "a/999", "a/1000", "a/8999")
		if at != 10_001 || strings.Join(got, " ") != "9000 9999 1000 8999" {
			t.Errorf("view at %d holds %v", at, got)
		}
	})
}

// What a writer saw before it stood still is no reason to write.
func TestAWriterThatStoodStillLooksAgain(t *testing.T) {
	for name, meanwhile := range map[string]struct {
		do   func(t *testing.T, v *redis.Views)
		at   int64
		want string
	}{
		"another owner went on": {at: 6, want: "newer", do: func(t *testing.T, v *redis.Views) {
			apply(t, v, 5, 6, redis.Entry{Key: "a/1", Value: []byte("newer"), Offset: 5})
		}},
		// It stands where the writer expects it, with all that the writer knew.
		"another owner built the view again": {at: 9, want: "mine", do: func(t *testing.T, v *redis.Views) {
			if err := v.Drop(context.Background(), id(0)); err != nil {
				t.Error(err)
			}
			apply(t, v, redis.NoCheckpoint, 5, redis.Entry{Key: "a/1", Value: []byte("again"), Offset: 4})
		}},
		"the view was lost": {at: redis.NoCheckpoint, want: "<nil>", do: func(t *testing.T, v *redis.Views) {
			if err := v.Drop(context.Background(), id(0)); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			eachRedis(t, func(t *testing.T, c *redis.Client) {
				v := c.Views()
				apply(t, v, redis.NoCheckpoint, 5, redis.Entry{Key: "a/1", Value: []byte("old"), Offset: 4})
				c.Between(func() { meanwhile.do(t, v) })
				ok := apply(t, v, 5, 9, redis.Entry{Key: "a/1", Value: []byte("mine"), Offset: 8})
				if at, got := read(t, v, "a/1"); ok != (meanwhile.at == 9) || at != meanwhile.at || got[0] != meanwhile.want {
					t.Errorf("written %v; the view stands at %d and holds %s", ok, at, got[0])
				}
			})
		})
	}
}

// The embedded server does not notice that a view it watches was flushed.
func TestAViewThatIsFlushedIsNotWrittenInPart(t *testing.T) {
	test := func(t *testing.T, url string) {
		c := open(t, url)
		v := c.Views()
		apply(t, v, redis.NoCheckpoint, 5, redis.Entry{Key: "a/1", Value: []byte("x"), Offset: 4})
		c.Between(func() { redistest.Do(t, url, "FLUSHDB") })
		if apply(t, v, 5, 9, redis.Entry{Key: "a/2", Value: []byte("x"), Offset: 8}) {
			t.Error("a view that was flushed is said to be whole")
		}
		if at, got := read(t, v, "a/2"); at != redis.NoCheckpoint || got[0] != "<nil>" {
			t.Errorf("the view stands at %d and holds %v", at, got)
		}
	}
	t.Run("real", func(t *testing.T) { test(t, parts.Redis(t)) })
	t.Run("embedded", func(t *testing.T) { test(t, "redis://"+miniredis.RunT(t).Addr()) })
}

// Each writer goes on from where the view stands to a place of its own, so that
// only one of them can be right about having written.
func TestRacingWritersLeaveOneHistory(t *testing.T) {
	eachRedis(t, func(t *testing.T, c *redis.Client) {
		const writers, end = 4, 800
		v := c.Views()
		apply(t, v, redis.NoCheckpoint, 0)
		var wg sync.WaitGroup
		var mu sync.Mutex
		wrote := map[string]string{}
		for w := range int64(writers) {
			wg.Go(func() {
				for {
					at, _ := read(t, v)
					if at >= end {
						return
					}
					key, value := fmt.Sprintf("a/%d", at), fmt.Sprintf("writer %d", w)
					ok, err := v.Apply(context.Background(), []redis.Batch{{
						ID: id(0), From: at, To: at/writers*writers + writers + w, Entries: []redis.Entry{{Key: key, Value: []byte(value), Offset: at}},
					}})
					if err != nil {
						t.Errorf("apply: %v", err)
						return
					}
					mu.Lock()
					if ok[0] && wrote[key] != "" {
						t.Errorf("%s and %s both went on from %d", wrote[key], value, at)
					}
					if ok[0] {
						wrote[key] = value
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		for key, value := range wrote {
			if _, got := read(t, v, key); got[0] != value {
				t.Errorf("%s holds %q, written by %s", key, got[0], value)
			}
		}
	})
}

func TestSettledMovesForwardOnlyAndOnlyWithAView(t *testing.T) {
	eachRedis(t, func(t *testing.T, c *redis.Client) {
		v, ctx := c.Views(), context.Background()
		set := func(at int64) redis.Cursors {
			t.Helper()
			if err := v.Settled(ctx, map[redis.ViewID]int64{id(0): at}); err != nil {
				t.Fatal(err)
			}
			got, err := v.Cursors(ctx, []redis.ViewID{id(0)})
			if err != nil {
				t.Fatal(err)
			}
			return got[0]
		}
		if got := set(3); got != (redis.Cursors{Checkpoint: -1, Settled: -1}) {
			t.Errorf("cursors %+v, want none without a view", got)
		}
		apply(t, v, redis.NoCheckpoint, 9)
		if got := set(5); got != (redis.Cursors{Checkpoint: 9, Settled: 5}) {
			t.Errorf("cursors %+v", got)
		}
		if got := set(4); got.Settled != 5 {
			t.Errorf("settled went back to %d", got.Settled)
		}
		if err := v.Drop(ctx, id(0)); err != nil {
			t.Fatal(err)
		}
		if at, _ := read(t, v); at != redis.NoCheckpoint {
			t.Errorf("a dropped view stands at %d", at)
		}
	})
}

func TestAnEvictingServerIsRefused(t *testing.T) {
	_, err := redis.Open(redis.Config{URL: "http://x"}, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Error("a wrong url was taken")
	}
	address, _ := parts.RedisAlone(t)
	c := open(t, address)
	if err := c.Check(context.Background()); err != nil {
		t.Errorf("check of a good server: %v", err)
	}
	redistest.Do(t, address, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	if err := c.Check(context.Background()); err == nil || !strings.Contains(err.Error(), "noeviction") {
		t.Errorf("check of an evicting server: %v, want the remedy", err)
	}
	mini := open(t, "redis://"+miniredis.RunT(t).Addr())
	if err := mini.Check(context.Background()); err != nil {
		t.Errorf("check of a server without CONFIG: %v", err)
	}
}

func TestDependents(t *testing.T) {
	eachRedis(t, func(t *testing.T, c *redis.Client) {
		d, ctx := c.Dependents(), context.Background()
		err := errors.Join(
			d.Add(ctx, []redis.Use{{"acme/load", "acme/inv1", "d1"}, {"acme/load", "acme/inv2", ""}, {"acme/other", "acme/inv1", "d9"}}),
			d.Add(ctx, []redis.Use{{"acme/load", "acme/inv1", "d2"}}),
			d.Remove(ctx, []redis.Use{{Parent: "acme/other", Child: "acme/inv1"}}),
			d.Add(ctx, nil))
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Of(ctx, []record.Key{"acme/load", "acme/other", "acme/none"})
		if err != nil || len(got) != 1 || len(got["acme/load"]) != 2 || got["acme/load"]["acme/inv1"] != "d2" {
			t.Errorf("dependents %v, %v", got, err)
		}
		var many []record.Key
		for i := range 100 {
			many = append(many, record.Key(fmt.Sprint("acme/parent", i)))
		}
		if err := d.Add(ctx, []redis.Use{{many[40], "acme/x", "d3"}, {many[99], "acme/y", "d4"}}); err != nil {
			t.Fatal(err)
		}
		if got, err = d.Of(ctx, many); err != nil || len(got) != 2 || got[many[40]]["acme/x"] != "d3" || got[many[99]]["acme/y"] != "d4" {
			t.Errorf("dependents among many %v, %v", got, err)
		}
		if got, err = d.Of(ctx, many[:32]); err != nil || len(got) != 0 {
			t.Errorf("dependents of those that have none %v, %v", got, err)
		}

		at := time.UnixMilli(1_700_000_000_000)
		err = errors.Join(
			d.SetWaiting(ctx, []redis.Wait{{2, "acme/a", at}, {2, "acme/b", at.Add(-time.Second)}, {2, "acme/c", at.Add(time.Second)}, {3, "acme/d", at}}),
			d.ClearWaiting(ctx, []redis.Wait{{Partition: 3, Key: "acme/d"}}))
		if err != nil {
			t.Fatal(err)
		}
		overdue, err := d.Waiting(ctx, 2, at.Add(time.Millisecond), 0, 10)
		if err != nil || len(overdue) != 2 || overdue[0].Key != "acme/b" || overdue[1].Key != "acme/a" || !overdue[1].Since.Equal(at) {
			t.Errorf("overdue %v, %v; want b, then a", overdue, err)
		}
		if rest, err := d.Waiting(ctx, 2, at.Add(time.Millisecond), 1, 10); err != nil || len(rest) != 1 || rest[0].Key != "acme/a" {
			t.Errorf("without the first %v, %v; want a", rest, err)
		}
		if none, err := d.Waiting(ctx, 3, at.Add(time.Hour), 0, 10); err != nil || len(none) != 0 {
			t.Errorf("waiting after clearing %v, %v", none, err)
		}
	})
}

func TestLimiterSharesOneBucket(t *testing.T) {
	url := parts.Redis(t)
	one, two := open(t, url).Limiter(), open(t, url).Limiter()
	ctx := context.Background()
	taken := 0
	for range 5 {
		for _, l := range []*redis.Limiter{one, two} {
			ok, wait, err := l.Take(ctx, "quickbooks:9130", 0.01, 6, 1)
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				taken++
			} else if wait <= 0 || wait > 101*time.Second {
				t.Errorf("wait %s, want up to 100 s for one token", wait)
			}
		}
	}
	if taken != 6 {
		t.Errorf("%d tokens taken by two processes of a burst of 6", taken)
	}
	if _, _, err := one.Take(ctx, "k", 1, 2, 3); err == nil {
		t.Error("more than the burst was promised")
	}
	if ok, _, err := one.Take(ctx, "other", 0.01, 6, 6); err != nil || !ok {
		t.Errorf("another key's bucket is not full: %v %v", ok, err)
	}
}

func TestLimiterRefills(t *testing.T) {
	eachRedis(t, func(t *testing.T, c *redis.Client) {
		l, ctx := c.Limiter(), context.Background()
		if ok, _, err := l.Take(ctx, "k", 1e6, 10, 10); err != nil || !ok {
			t.Fatalf("full bucket: %v %v", ok, err)
		}
		// A million tokens a second: refilled by the next round trips.
		deadline := time.Now().Add(10 * time.Second)
		for time.Now().Before(deadline) {
			if ok, _, err := l.Take(ctx, "k", 1e6, 10, 10); err != nil || ok {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
		}
		t.Error("the bucket was not refilled")
	})
}
