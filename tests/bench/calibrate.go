package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// host is what a look at the machine showed while nothing of ours worked.
type host struct {
	Foreign float64 `json:"foreign_cpu"` // share of all cores that others used
	Scaling float64 `json:"scaling"`     // work of all cores over the work of one
}

const (
	lookFor = 400 * time.Millisecond
	spinFor = 100 * time.Millisecond
)

// maxForeign and minScaling are where ratios begin to mean the neighbours
// rather than us. Our own idle services use a few percent, which count as
// foreign here.
const maxForeign = 0.20

func minScaling() float64 { return 0.75 * float64(runtime.NumCPU()) }

func (h host) noisy() bool { return h.Foreign > maxForeign || h.Scaling < minScaling() }

func (h host) String() string {
	return fmt.Sprintf("foreign CPU %.0f %%, all cores are worth %.2f of one", 100*h.Foreign, h.Scaling)
}

// look calibrates: call it between samples only.
func look(ctx context.Context) host {
	busy, all := cpuTimes()
	timer := time.NewTimer(lookFor)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	busy2, all2 := cpuTimes()
	h := host{Foreign: float64(busy2-busy) / float64(max(1, all2-all))}
	one := spin(1)
	h.Scaling = float64(spin(runtime.NumCPU())) / float64(max(1, one))
	return h
}

// spin is how much n goroutines get done together.
func spin(n int) int64 {
	var wg sync.WaitGroup
	sums := make([]int64, n)
	for i := range n {
		wg.Go(func() {
			x := uint64(i + 1)
			for end := time.Now().Add(spinFor); time.Now().Before(end); sums[i]++ {
				for range 10_000 {
					x ^= x << 13
					x ^= x >> 7
					x ^= x << 17
				}
			}
			runtime.KeepAlive(x)
		})
	}
	wg.Wait()
	var total int64
	for _, s := range sums {
		total += s
	}
	return total
}

// cpuTimes are the machine's busy and whole time so far, in ticks; zero where
// there is no /proc.
func cpuTimes() (busy, all int64) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	for i, f := range strings.Fields(line)[1:] {
		n, _ := strconv.ParseInt(f, 10, 64)
		if i > 7 {
			break // guest time is part of user time
		}
		all += n
		if i != 3 && i != 4 { // idle, iowait
			busy += n
		}
	}
	return busy, all
}
