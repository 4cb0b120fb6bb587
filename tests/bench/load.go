package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// The load generator writes requests that are bytes already and reads no more
// of an answer than it must: net/http's client costs as much as the server that
// is measured, on the same cores.

// answerWithin bounds one request; a gateway answers within 2.5 s.
const answerWithin = 10 * time.Second

type connection struct {
	c net.Conn
	r *bufio.Reader
}

func dial(ctx context.Context, address string) (*connection, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &connection{c, bufio.NewReaderSize(c, 4096)}, nil
}

// post sends one request and wants a success.
func (c *connection) post(request []byte) error {
	if err := c.c.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return err
	}
	if _, err := c.c.Write(request); err != nil {
		return err
	}
	status, err := c.r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 2")) {
		return fmt.Errorf("answered %s", bytes.TrimSpace(status))
	}
	length := 0
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	_, err = io.CopyN(io.Discard, c.r, int64(length))
	return err
}

// hammered is what a closed loop saw.
type hammered struct {
	PerSecond float64
	P50, P99  time.Duration
}

// hammer keeps conns requests under way for d, each connection sending its next
// request when the last one is answered.
func hammer(ctx context.Context, address string, requests [][]byte, conns int, d time.Duration) (hammered, error) {
	var wg sync.WaitGroup
	var next atomic.Int64
	took := make([][]time.Duration, conns)
	errs := make([]error, conns)
	began := time.Now()
	for w := range conns {
		wg.Go(func() {
			c, err := dial(ctx, address)
			if err != nil {
				errs[w] = err
				return
			}
			defer c.c.Close()
			for ctx.Err() == nil {
				sent := time.Now()
				if sent.Sub(began) > d {
					return
				}
				if errs[w] = c.post(requests[int(next.Add(1))%len(requests)]); errs[w] != nil {
					return
				}
				took[w] = append(took[w], time.Since(sent))
			}
		})
	}
	wg.Wait()
	all := slices.Concat(took...)
	h := hammered{PerSecond: float64(len(all)) / time.Since(began).Seconds()}
	h.P50, h.P99 = percentile(all, 0.5), percentile(all, 0.99)
	return h, first(errs)
}

// first is one of them: all connections tend to fail alike.
func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// pace sends every request once, the i-th at start + i/perSecond, whether or
// not the ones before it are answered: a stall of the subject is seen by all
// that would have come in it.
func pace(ctx context.Context, address string, requests [][]byte, start time.Time, perSecond int) error {
	const conns = 64
	var wg sync.WaitGroup
	errs := make([]error, conns)
	for w := range conns {
		wg.Go(func() {
			c, err := dial(ctx, address)
			if err != nil {
				errs[w] = err
				return
			}
			defer c.c.Close()
			for i := w; i < len(requests); i += conns {
				timer := time.NewTimer(time.Until(due(start, i, perSecond)))
				select {
				case <-timer.C:
				case <-ctx.Done():
					timer.Stop()
					return
				}
				if errs[w] = c.post(requests[i]); errs[w] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return first(append(errs, ctx.Err()))
}

func due(start time.Time, i, perSecond int) time.Time {
	return start.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
}

func percentile(all []time.Duration, p float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}

func median(xs []float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(xs))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}
