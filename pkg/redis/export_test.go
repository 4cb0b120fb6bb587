package redis

import (
	"context"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"
)

// Between calls do once, after the next checkpoints were read and before
// anything is written.
func (c *Client) Between(do func()) { c.rdb.AddHook(&between{do: do}) }

type between struct {
	done atomic.Bool
	do   func() // which may write itself
}

func (*between) DialHook(next goredis.DialHook) goredis.DialHook          { return next }
func (*between) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }

func (b *between) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		if cmds[0].Name() == "multi" && b.done.CompareAndSwap(false, true) {
			b.do()
		}
		return next(ctx, cmds)
	}
}
