package embedded

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// Redis is a Redis inside this process, on loopback and in memory only.
type Redis struct {
	URL    string
	server *miniredis.Miniredis
	cancel context.CancelFunc
	clock  sync.WaitGroup
}

// StartRedis starts one; port 0 takes a free one.
func StartRedis(ctx context.Context, port int) (*Redis, error) {
	if port == 0 {
		var err error
		if port, err = freePort(ctx); err != nil {
			return nil, err
		}
	}
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr(net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err != nil {
		return nil, fmt.Errorf("port %d for Redis is taken: stop what listens there, or choose another port: %w", port, err)
	}
	tick, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &Redis{URL: "redis://" + m.Addr() + "/0", server: m, cancel: cancel}
	r.clock.Go(func() { r.expire(tick) })
	return r, nil
}

// expire moves the server's clock, which stands still by itself.
func (r *Redis) expire(ctx context.Context) {
	const step = 100 * time.Millisecond
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			r.server.FastForward(now.Sub(last))
			last = now
		}
	}
}

// Close stops it; everything in it is gone.
func (r *Redis) Close() error {
	r.cancel()
	r.clock.Wait()
	r.server.Close()
	return nil
}
