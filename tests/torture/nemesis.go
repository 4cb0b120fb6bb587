package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Victim is a process that can be hurt.
type Victim struct {
	Name   string
	Kill   func() error // SIGKILL, and wait until it is gone
	Start  func() error // start it again
	Freeze func() error // SIGSTOP
	Thaw   func() error // SIGCONT
}

// Deed is one fault that was done.
type Deed struct {
	At     time.Time
	What   string
	Victim string
}

// Nemesis hurts victims, in an order that its seed alone decides.
type Nemesis struct {
	rng   *rand.Rand
	Deeds []Deed
}

// NewNemesis prints nothing; the caller prints the seed.
func NewNemesis(seed uint64) *Nemesis {
	return &Nemesis{rng: rand.New(rand.NewPCG(seed, 3))}
}

// Between is a random time.
func (n *Nemesis) Between(low, high time.Duration) time.Duration {
	return low + time.Duration(n.rng.Int64N(int64(high-low)))
}

// Rest lets the platform be for a while.
func (n *Nemesis) Rest(ctx context.Context, d time.Duration) error { return rest(ctx, d) }

// Kill kills a victim and starts it again after the time given.
func (n *Nemesis) Kill(ctx context.Context, v Victim, down time.Duration) error {
	n.note("SIGKILL", v.Name)
	if err := v.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", v.Name, err)
	}
	if err := rest(ctx, down); err != nil {
		return err
	}
	n.note("start", v.Name)
	if err := v.Start(); err != nil {
		return fmt.Errorf("start %s: %w", v.Name, err)
	}
	return nil
}

// Freeze stops a victim for the time given.
func (n *Nemesis) Freeze(ctx context.Context, v Victim, frozen time.Duration) error {
	n.note("SIGSTOP", v.Name)
	if err := v.Freeze(); err != nil {
		return fmt.Errorf("freeze %s: %w", v.Name, err)
	}
	if err := rest(ctx, frozen); err != nil {
		return err
	}
	n.note("SIGCONT", v.Name)
	if err := v.Thaw(); err != nil {
		return fmt.Errorf("thaw %s: %w", v.Name, err)
	}
	return nil
}

// Do notes any other fault and does it.
func (n *Nemesis) Do(what, victim string, deed func() error) error {
	n.note(what, victim)
	if err := deed(); err != nil {
		return fmt.Errorf("%s %s: %w", what, victim, err)
	}
	return nil
}

// Storm kills random victims until the context ends.
func (n *Nemesis) Storm(ctx context.Context, victims []Victim, mean, down time.Duration) error {
	for {
		if err := rest(ctx, n.Between(mean/2, mean*3/2)); err != nil {
			return nil //nolint:nilerr // the storm is over
		}
		v := victims[n.rng.IntN(len(victims))]
		// A victim that is down when the context ends is started again.
		if err := n.Kill(context.WithoutCancel(ctx), v, down); err != nil {
			return err
		}
	}
}

func (n *Nemesis) note(what, victim string) {
	n.Deeds = append(n.Deeds, Deed{At: time.Now(), What: what, Victim: victim})
}

// rest is how long a fault lasts: a duration is the fault itself here.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
