package redis

import (
	"context"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// takeScript keeps a bucket as (tokens, time in µs) by the server's own clock,
// so that processes need not agree on the time. It answers with the wait in µs,
// 0 if the tokens were taken. Numbers are passed and kept as text: a script's
// numeric answer would lose its fraction.
const takeScript = `
local rate, burst, n = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local state = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = tonumber(state[1] or burst)
local at = tonumber(state[2] or now)
if now > at then tokens = math.min(burst, tokens + (now - at) * rate / 1000000) end
local wait = 0
if tokens >= n then
  tokens = tokens - n
else
  wait = math.ceil((n - tokens) * 1000000 / rate)
end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%d', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(burst / rate * 1000) + 1000)
return string.format('%d', wait)`

// Limiter holds token buckets that all processes share.
type Limiter struct {
	c    *Client
	take *goredis.Script
}

// Limiter of this installation.
func (c *Client) Limiter() *Limiter { return &Limiter{c: c, take: goredis.NewScript(takeScript)} }

// Take takes n tokens from the bucket that key names, which gets rate tokens a
// second and holds at most burst. If they are not there it takes nothing and
// says when they will be, if nobody else takes them first.
func (l *Limiter) Take(ctx context.Context, key string, rate, burst float64, n int) (ok bool, wait time.Duration, err error) {
	if rate <= 0 || burst < float64(n) {
		return false, 0, fmt.Errorf("limit %s: %d tokens can never be taken with rate %g and burst %g", key, n, rate, burst)
	}
	us, err := l.take.Run(ctx, l.c.rdb, []string{l.c.key("limit", key)}, rate, burst, n).Int64()
	if err != nil {
		return false, 0, fmt.Errorf("limit %s: %w", key, err)
	}
	return us == 0, time.Duration(us) * time.Microsecond, nil
}
