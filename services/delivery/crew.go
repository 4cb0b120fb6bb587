package delivery

import (
	"sync"
	"time"
)

// crewIdle is how long a goroutine of a crew stays without anything to do.
const crewIdle = time.Second

// crew does jobs, each at once and on a goroutine of its own. One that is done
// stays for the next job: a new goroutine's stack grows step by step to what a
// call needs, and is copied each time.
type crew struct {
	jobs chan func()
	wg   sync.WaitGroup
}

func newCrew() *crew { return &crew{jobs: make(chan func())} }

func (c *crew) do(job func()) {
	select {
	case c.jobs <- job:
	default:
		c.wg.Go(func() {
			for ok := true; ok; job, ok = c.next() {
				job()
			}
		})
	}
}

func (c *crew) next() (job func(), ok bool) {
	timer := time.NewTimer(crewIdle)
	defer timer.Stop()
	select {
	case job, ok = <-c.jobs:
	case <-timer.C:
	}
	return job, ok
}

// end waits for all jobs; there must be no further one.
func (c *crew) end() {
	close(c.jobs)
	c.wg.Wait()
}
