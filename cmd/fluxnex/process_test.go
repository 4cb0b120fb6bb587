package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluxnex/fluxnex/pkg/app"
	"github.com/fluxnex/fluxnex/pkg/fault"
)

// TestAServiceWaitsForWhatIsAway: a broker that is away at the start is waited
// for, and the probe says so; what is wrong ends the service.
func TestAServiceWaitsForWhatIsAway(t *testing.T) {
	away := fault.Retry("kafka_unavailable", 0, errors.New("no broker at 10.0.0.1"))
	wrong := errors.New("12 partitions, not 6")
	for _, c := range []struct {
		name  string
		looks []error
		stop  time.Duration
		err   error
		took  time.Duration
	}{
		{name: "there", looks: []error{nil}},
		{name: "away for three looks", looks: []error{away, away, away, nil}, took: 7 * time.Second},
		{name: "away, and then seen to be wrong", looks: []error{away, wrong}, err: wrong, took: time.Second},
		{name: "stopped meanwhile", looks: []error{away, away, away, away, away, away}, stop: 5 * time.Second, err: context.Canceled, took: 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.stop > 0 {
					time.AfterFunc(c.stop, cancel)
				}
				p := &process{name: "gateway", log: slog.New(slog.DiscardHandler), probes: &app.Probes{}}
				began, looks := time.Now(), 0
				got, err := patiently(ctx, p, func() (int, error) {
					if looks > 0 {
						if ready := p.probes.Ready(); ready == nil || !strings.Contains(ready.Error(), "10.0.0.1") {
							t.Errorf("while it waits the probe says %v", ready)
						}
					}
					looks++
					return looks, c.looks[looks-1]
				})
				if !errors.Is(err, c.err) || (err == nil && got != len(c.looks)) {
					t.Errorf("opened %d with error %v, want %v after %d looks", got, err, c.err, len(c.looks))
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("it took %s, want %s", took, c.took)
				}
			})
		})
	}
}
