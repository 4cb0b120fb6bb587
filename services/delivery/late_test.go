package delivery

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/postgres"
)

// A process that is frozen after it stored its request goes on when its lease is
// long over and others have settled the request and sent the newest state.
func TestWhoWasFrozenPastItsLeaseMakesNoCall(t *testing.T) {
	r := newRig(t)
	frozen, thaw := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(thaw) })
	r.t.Cleanup(release)
	var first atomic.Bool
	r.tune = func(c *Config, d *Deps) {
		c.Lease, c.Margin = 3*time.Second, 500*time.Millisecond
		d.Failpoint = func(point string) error {
			if point == pointStored && first.CompareAndSwap(false, true) {
				close(frozen)
				<-thaw
			}
			return nil
		}
	}
	stop := r.start()
	r.upsert("A", 1)
	<-frozen
	r.upsert("A", 2)
	r.atShop("A", 2)
	r.status("envoy", "A", postgres.StatusDone)
	before := r.shop.entries()
	release()
	stop() // waits until the frozen one has come to its end
	if after := r.shop.entries(); len(after) != len(before) {
		t.Errorf("after its lease it made a call: %+v", after[len(before):])
	}
}

// An update is done and its answer lost. Its own effect looks like somebody's
// edit: another version. It is known by its content and not made again.
func TestAnUpdateWhoseAnswerIsLostIsMadeOnce(t *testing.T) {
	r := newRig(t)
	r.shop.memory = false // of request ids: they hide a repetition
	var once atomic.Bool
	r.shop.fault = func(e shopEntry) shopFault { return shopFault{lost: e.Seq == 2 && once.CompareAndSwap(false, true)} }
	r.start()
	r.upsert("A", 1)
	r.atShop("A", 1)
	r.status("envoy", "A", postgres.StatusDone)
	r.upsert("A", 2)
	r.eventually("the update is settled", func() (bool, string) {
		st := r.status("envoy", "A", postgres.StatusDone)
		return st.Applied.Offset == 2, fmt.Sprintf("%+v", st)
	})
	made := 0
	for _, e := range r.shop.entries() {
		if e.Seq == 2 && e.Applied {
			made++
		}
	}
	if made != 1 || r.shop.of("revenova:A")[0].Version != 1 {
		t.Errorf("the update was made %d times, the object is %+v; want once", made, r.shop.of("revenova:A"))
	}
}
