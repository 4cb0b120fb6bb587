package rig

import (
	"context"
	"syscall"
	"time"
)

// slow is F13: nine tenths of the time the process stands still.
func (r *Rig) slow(ctx context.Context, p *process, lasts time.Duration) error {
	const turn = 500 * time.Millisecond
	for end := time.Now().Add(lasts); time.Now().Before(end) && ctx.Err() == nil; {
		if err := p.signal(syscall.SIGSTOP); err != nil {
			return err
		}
		rest(ctx, turn*9/10)
		if err := p.signal(syscall.SIGCONT); err != nil {
			return err
		}
		rest(ctx, turn/10)
	}
	r.note("F13 at full speed", p.name)
	return nil
}
