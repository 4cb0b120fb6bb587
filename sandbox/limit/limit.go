// Package limit counts requests the way the vendors document their limits:
// over rolling windows and per day, by an injected time.
package limit

import (
	"fmt"
	"strconv"
	"sync"
	"time"
)

// Mode says how a limit is applied: as documented, not at all, or as a plain
// number of requests per second and account.
type Mode struct {
	Off       bool
	PerSecond int
}

// ParseMode reads "documented", "off" or a number of requests per second.
// "" is documented.
func ParseMode(s string) (Mode, error) {
	switch s {
	case "", "documented":
		return Mode{}, nil
	case "off":
		return Mode{Off: true}, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return Mode{}, fmt.Errorf("limits %q: want \"documented\", \"off\" or requests per second, such as \"50\"", s)
	}
	return Mode{PerSecond: n}, nil
}

func (m Mode) String() string {
	switch {
	case m.Off:
		return "off"
	case m.PerSecond > 0:
		return strconv.Itoa(m.PerSecond)
	}
	return "documented"
}

// Switch is a Mode that can be changed while running.
type Switch struct {
	mu   sync.RWMutex
	mode Mode
}

// Get is the mode in force.
func (s *Switch) Get() Mode { s.mu.RLock(); defer s.mu.RUnlock(); return s.mode }

// Set puts another mode in force, from the next request on.
func (s *Switch) Set(m Mode) { s.mu.Lock(); defer s.mu.Unlock(); s.mode = m }

// Window is a rolling window: at most Max requests in any stretch of Per. A
// refused request does not count.
type Window struct {
	mu    sync.Mutex
	times []time.Time // ring of the last accepted requests
	head  int
	per   time.Duration
}

// NewWindow allows n requests in any stretch of per.
func NewWindow(n int, per time.Duration) *Window {
	return &Window{times: make([]time.Time, n), per: per}
}

// Take counts a request at now. Refused, it says how long until one would pass.
func (w *Window) Take(now time.Time) (remaining int, wait time.Duration, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	oldest := w.times[w.head]
	if age := now.Sub(oldest); !oldest.IsZero() && age < w.per {
		return 0, w.per - age, false
	}
	w.times[w.head] = now
	w.head = (w.head + 1) % len(w.times)
	for _, t := range w.times {
		if t.IsZero() || now.Sub(t) >= w.per {
			remaining++
		}
	}
	return remaining, 0, true
}

// Max is the number of requests the window allows.
func (w *Window) Max() int { return len(w.times) }

// Set is a window per name, all alike.
type Set struct {
	n   int
	per time.Duration
	mu  sync.Mutex
	by  map[string]*Window
}

// NewSet allows each name n requests in any stretch of per.
func NewSet(n int, per time.Duration) *Set {
	return &Set{n: n, per: per, by: map[string]*Window{}}
}

// Of is the window of a name.
func (s *Set) Of(name string) *Window {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.by[name]
	if w == nil {
		w = NewWindow(s.n, s.per)
		s.by[name] = w
	}
	return w
}

// PerSecond holds the windows of [Mode.PerSecond], rebuilt when the number changes.
type PerSecond struct {
	mu  sync.Mutex
	n   int
	set *Set
}

// Take counts a request of name against n per second.
func (p *PerSecond) Take(name string, n int, now time.Time) (time.Duration, bool) {
	p.mu.Lock()
	if p.set == nil || p.n != n {
		p.n, p.set = n, NewSet(n, time.Second)
	}
	w := p.set.Of(name)
	p.mu.Unlock()
	_, wait, ok := w.Take(now)
	return wait, ok
}

// Day counts requests per calendar day of a zone.
type Day struct {
	mu   sync.Mutex
	max  int
	zone *time.Location
	day  string
	used int
}

// NewDay allows n requests per day of zone.
func NewDay(n int, zone *time.Location) *Day { return &Day{max: n, zone: zone} }

// Take counts a request; what is over the limit does not count.
func (d *Day) Take(now time.Time) (used int, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if day := now.In(d.zone).Format(time.DateOnly); day != d.day {
		d.day, d.used = day, 0
	}
	if d.used >= d.max {
		return d.used, false
	}
	d.used++
	return d.used, true
}

// Max is the number of requests a day allows.
func (d *Day) Max() int { return d.max }
