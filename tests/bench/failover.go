package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const (
	lowRate    = 36               // states a second: two commands each
	beforehand = 5 * time.Second  // of quiet before a fault
	downFor    = 20 * time.Second // then the broker comes back
	afterwards = 5 * time.Second
)

// threeBrokers measures what a record waits for when a broker of three dies,
// and that nothing stands still when none does.
func (b *bench) threeBrokers(ctx context.Context) error {
	b.progress("host: %s\n", look(ctx))
	pg, err := durablePostgres(ctx, b.dir)
	if err != nil {
		return err
	}
	defer func() { _ = pg.Close() }()
	t, err := startTrio(ctx, b.dir)
	if err != nil {
		return err
	}
	defer t.close()
	dir := filepath.Join(b.dir, "platform")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	p, err := install(ctx, t.cluster, dir, b.bin, pg.URL, shape{config: configuration}, "gateway", "replica", "normalizer", "router")
	if err != nil {
		return err
	}
	defer p.close()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	w, err := newWatch(watching, p)
	if err != nil {
		return err
	}
	defer w.close()
	b.progress("warming the brokers for %s\n", b.warm)
	if _, err := b.phase(ctx, w, b.warm, nil); err != nil {
		return err
	}
	if err := b.steady(ctx, w); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		goal float64
		node func(context.Context) (int, error)
		sig  syscall.Signal
	}{
		{"killed, not the controller", 6, t.follower, syscall.SIGKILL},
		{"killed, the controller", 10, t.controller, syscall.SIGKILL},
		{"frozen", 12, t.follower, syscall.SIGSTOP},
	} {
		res := &result{Name: "one of three brokers " + f.name + ": longest wait of a record", On: t.cluster.Name, Unit: "s"}
		var wrong outcome
		for i := range b.turns {
			if err := t.healthy(ctx); err != nil {
				return err
			}
			h := look(ctx)
			o, err := b.phase(ctx, w, beforehand+downFor+afterwards, func() error {
				node, err := f.node(ctx)
				if err != nil {
					return err
				}
				b.progress("%s: broker %d\n", res.Name, node)
				return t.fail(ctx, node, f.sig)
			})
			if err != nil {
				return err
			}
			b.progress("%s: turn %d: %s\n", res.Name, i+1, o)
			wrong.add(o)
			res.Samples = append(res.Samples, sample{Subject: o.wait.Seconds(), Host: h, Note: o.String()})
		}
		res.finish(func(r *result) []goal {
			worst := 0.0
			for _, s := range r.Samples {
				worst = max(worst, s.Subject)
			}
			return append([]goal{atMost("longest wait in s", worst, f.goal)}, wrong.goals()...)
		})
		res.Notes = append(res.Notes, fmt.Sprintf("%d states a second from webhook to command, each sent until it is accepted; the broker is away for %s; brokers have broker.session.timeout.ms=3000 and request.timeout.ms=5000", lowRate, downFor))
		b.add(res)
	}
	return nil
}

// steady is traffic without any fault.
func (b *bench) steady(ctx context.Context, w *watch) error {
	h := look(ctx)
	from := time.Now().Add(beforehand)
	o, err := b.phase(ctx, w, b.steadyFor, nil)
	if err != nil {
		return err
	}
	silence := o.silence(from)
	res := &result{
		Name: fmt.Sprintf("steady exactly-once traffic for %s: longest silence", b.steadyFor), On: w.p.cluster.Name, Unit: "s",
		Samples: []sample{{Subject: silence.Seconds(), Host: h, Note: o.String()}},
		Notes:   []string{fmt.Sprintf("%d states a second from webhook to command", lowRate)},
	}
	res.finish(func(r *result) []goal {
		return append([]goal{atMost("silence in s", r.Subject, 1)}, o.goals()...)
	})
	b.add(res)
	return nil
}

// fail takes a broker away and brings it back.
func (t *trio) fail(ctx context.Context, node int, sig syscall.Signal) error {
	if err := t.signal(node, sig); err != nil {
		return err
	}
	timer := time.NewTimer(downFor)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	if sig == syscall.SIGSTOP {
		return t.signal(node, syscall.SIGCONT)
	}
	return t.restart(ctx, node)
}

// outcome of a phase.
type outcome struct {
	sent, lost        int
	wait              time.Duration
	doubled, inverted []string
	times             []time.Time
}

func (o *outcome) add(p outcome) {
	o.sent, o.lost = o.sent+p.sent, o.lost+p.lost
	o.doubled, o.inverted = append(o.doubled, p.doubled...), append(o.inverted, p.inverted...)
}

func (o outcome) goals() []goal {
	return []goal{
		atLeast("states sent", float64(o.sent), 1),
		atMost("lost", float64(o.lost), 0), atMost("doubled", float64(len(o.doubled)), 0), atMost("out of order", float64(len(o.inverted)), 0),
	}
}

func (o outcome) String() string {
	s := fmt.Sprintf("%d states sent, longest wait %.2f s, %d lost, %d doubled, %d out of order", o.sent, o.wait.Seconds(), o.lost, len(o.doubled), len(o.inverted))
	if wrong := slices.Concat(o.doubled, o.inverted); len(wrong) > 0 {
		s += "; first " + wrong[0]
	}
	return s
}

// silence is the longest time between two commands after from.
func (o outcome) silence(from time.Time) time.Duration {
	var longest time.Duration
	for i := 1; i < len(o.times); i++ {
		if o.times[i-1].After(from) {
			longest = max(longest, o.times[i].Sub(o.times[i-1]))
		}
	}
	return longest
}

// phase sends for d, lets fault happen meanwhile, and waits until everything
// that was sent has come out.
func (b *bench) phase(ctx context.Context, w *watch, d time.Duration, fault func() error) (outcome, error) {
	w.next()
	stop := make(chan struct{})
	sent, failed := make(chan error, 1), make(chan error, 1)
	go func() { sent <- w.send(ctx, lowRate, stop) }()
	go func() {
		if fault == nil {
			failed <- nil
			return
		}
		timer := time.NewTimer(beforehand)
		defer timer.Stop()
		select {
		case <-timer.C:
			failed <- fault()
		case <-ctx.Done():
			failed <- ctx.Err()
		}
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	err := <-failed
	close(stop)
	if e := <-sent; err == nil {
		err = e
	}
	if err != nil {
		return outcome{}, err
	}
	o := outcome{lost: w.settled(ctx)}
	o.wait, _ = w.longest(time.Time{}, time.Now())
	w.mu.Lock()
	defer w.mu.Unlock()
	o.sent, o.doubled, o.inverted, o.times = len(w.sent), w.twice, w.back, w.at
	return o, ctx.Err()
}
