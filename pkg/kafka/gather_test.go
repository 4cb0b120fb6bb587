package kafka

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// handed is a client that keeps what it gets until it is told to answer.
type handed struct {
	mu       sync.Mutex
	keys     []string
	promises []func(error)
}

func (h *handed) produce(_ context.Context, r *kgo.Record, promise func(*kgo.Record, error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys = append(h.keys, string(r.Key))
	h.promises = append(h.promises, func(err error) { promise(r, err) })
}

func (h *handed) seen() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.keys, "")
}

// answer ends the n-th record.
func (h *handed) answer(n int, err error) {
	h.mu.Lock()
	promise := h.promises[n]
	h.mu.Unlock()
	promise(err)
}

// bringer counts the promises that were kept.
type bringer struct {
	g    gathering
	kept int
}

func (b *bringer) bring(keys ...string) {
	recs := make([]*kgo.Record, len(keys))
	for i, k := range keys {
		recs[i] = &kgo.Record{Key: []byte(k)}
	}
	b.g.bring(context.Background(), recs, func(*kgo.Record, error) { b.kept++ })
}

func TestRecordsAreGatheredWhileOthersAreUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var client handed
		b := &bringer{g: gathering{produce: client.produce}}
		began := time.Now()
		see := func(when, want string) {
			t.Helper()
			synctest.Wait()
			if got := client.seen(); got != want {
				t.Errorf("%s the client has %q, want %q", when, got, want)
			}
			if time.Since(began) > 0 {
				t.Errorf("%s %s have passed", when, time.Since(began))
			}
		}
		b.bring("a")
		see("at once", "a")
		b.bring("b", "c")
		b.bring("d")
		see("before an answer", "a")
		client.answer(0, nil)
		see("after it", "abcd")
		b.bring("e")
		client.answer(3, nil)
		see("with an answer to another than the first of them", "abcd")
		client.answer(1, errors.New("refused"))
		see("when the first has failed", "abcde")
		client.answer(2, nil)
		client.answer(4, nil)
		synctest.Wait()
		b.bring("f")
		see("after a quiet moment", "abcdef")
		client.answer(5, nil)
		if synctest.Wait(); b.kept != 6 {
			t.Errorf("%d of 6 promises were kept", b.kept)
		}
	})
}

func TestASilentBrokerHoldsUpNobodyElsesRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var client handed
		b := &bringer{g: gathering{produce: client.produce}}
		began := time.Now()
		have := ""
		for _, key := range []string{"a", "b", "c"} {
			b.bring(key)
			have += key
			for synctest.Wait(); client.seen() != have; synctest.Wait() {
				<-time.After(gatherAtMost)
			}
		}
		if took := time.Since(began); took > 2*gatherAtMost {
			t.Errorf("three records are with the client after %s", took)
		}
		b.bring("d")
		client.answer(0, nil) // late: no answer to what is under way
		client.answer(1, nil)
		if synctest.Wait(); client.seen() != have {
			t.Errorf("after late answers the client has %q", client.seen())
		}
		client.answer(2, nil)
		if synctest.Wait(); client.seen() != "abcd" {
			t.Errorf("after an answer to the newest the client has %q", client.seen())
		}
		client.answer(3, nil)
	})
}
