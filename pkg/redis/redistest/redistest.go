// Package redistest does to a Redis database what tests need and no service
// may: empty it, and put it back to an older state.
package redistest

import (
	"testing"

	goredis "github.com/redis/go-redis/v9"
)

func open(t testing.TB, url string) *goredis.Client {
	t.Helper()
	o, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatalf("redis url: %v", err)
	}
	c := goredis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Flush empties the database, as a Redis that lost everything.
func Flush(t testing.TB, url string) {
	t.Helper()
	if err := open(t, url).FlushDB(t.Context()).Err(); err != nil {
		t.Fatalf("flush redis: %v", err)
	}
}

// Snapshot remembers the database; restore puts it back to that state, as a
// Redis that comes back from an older dump.
func Snapshot(t testing.TB, url string) (restore func()) {
	t.Helper()
	ctx, c := t.Context(), open(t, url)
	keys, err := c.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatalf("list redis keys: %v", err)
	}
	dumps := make(map[string]string, len(keys))
	for _, k := range keys {
		if dumps[k], err = c.Dump(ctx, k).Result(); err != nil {
			t.Fatalf("dump redis key %s: %v", k, err)
		}
	}
	return func() {
		t.Helper()
		p := c.TxPipeline()
		p.FlushDB(ctx)
		for k, dump := range dumps {
			p.RestoreReplace(ctx, k, 0, dump)
		}
		if _, err := p.Exec(ctx); err != nil {
			t.Fatalf("restore redis: %v", err)
		}
	}
}

// Do runs one command.
func Do(t testing.TB, url string, args ...any) any {
	t.Helper()
	v, err := open(t, url).Do(t.Context(), args...).Result()
	if err != nil {
		t.Fatalf("redis %v: %v", args, err)
	}
	return v
}
