package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fluxnex/fluxnex/pkg/embedded"
)

// roleFlag, as the first argument, makes this program something else.
const roleFlag = "-role"

// metadataMinAge is what the product's clients use: with the library's 5 s a
// bare exactly-once copy stands still for seconds on Kafka 4, and would be no
// baseline.
const metadataMinAge = 50 * time.Millisecond

// gcPercent is the product's, unless the environment says otherwise on both
// sides: what a heap's size saves is not what a service does well.
const gcPercent = 400

// runRole is a child's whole life. It prints one line when it is ready.
func runRole(ctx context.Context, out io.Writer, args []string) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	runtime.MemProfileRate = 0 // as the product sets it
	set := flag.NewFlagSet(args[0], flag.ContinueOnError)
	brokers := set.String("brokers", "", "")
	from := set.String("from", "", "")
	to := set.String("to", "", "")
	interval := set.Duration("interval", 0, "")
	if err := set.Parse(args[1:]); err != nil {
		return err
	}
	seeds := kgo.SeedBrokers(strings.Split(*brokers, ",")...)
	switch args[0] {
	case "broker":
		return roleBroker(ctx, out)
	case "handler":
		return roleHandler(ctx, out, seeds, *to)
	case "copy":
		return roleCopy(ctx, out, seeds, *from, strings.Split(*to, ","), *interval)
	}
	return fmt.Errorf("no role %q", args[0])
}

// roleBroker is the embedded broker and registry in a process of their own, so
// that their work can be told from everyone else's.
func roleBroker(ctx context.Context, out io.Writer) error {
	b, err := embedded.StartBroker(ctx, "", 0)
	if err != nil {
		return err
	}
	r, err := embedded.StartRegistry(ctx, "", 0)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, b.Addrs[0], r.URL); err != nil {
		return err
	}
	<-ctx.Done()
	return errors.Join(r.Close(), b.Close())
}

// roleHandler is the least a gateway can do: read the body, produce it, wait
// for the acknowledgement of all replicas, answer.
func roleHandler(ctx context.Context, out io.Writer, seeds kgo.Opt, topic string) error {
	cl, err := kgo.NewClient(seeds, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.MetadataMinAge(metadataMinAge),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerLinger(0))
	if err != nil {
		return err
	}
	defer cl.Close()
	detached := context.WithoutCancel(ctx)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		acked := make(chan error, 1)
		cl.Produce(detached, &kgo.Record{Topic: topic, Key: []byte(r.Header.Get(keyHeader)), Value: body},
			func(_ *kgo.Record, err error) { acked <- err })
		if err := <-acked; err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	listener, err := listenLow(ctx)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if _, err := fmt.Fprintln(out, listener.Addr()); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// roleCopy moves records to one or more topics with exactly-once transactions
// that end as the product's do: at once after a pause, else once in an interval.
func roleCopy(ctx context.Context, out io.Writer, seeds kgo.Opt, from string, to []string, interval time.Duration) error {
	ready := make(chan struct{}, 1)
	s, err := kgo.NewGroupTransactSession(seeds, kgo.ConsumerGroup("copy."+from), kgo.ConsumeTopics(from),
		kgo.TransactionalID("copy."+from), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.MetadataMinAge(metadataMinAge),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.Balancers(kgo.RangeBalancer()),
		kgo.ProducerLinger(copyLinger), kgo.MaxBufferedRecords(1<<20), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) {
			select {
			case ready <- struct{}{}:
			default:
			}
		}))
	if err != nil {
		return err
	}
	defer s.Close()
	go func() {
		<-ready
		_, _ = fmt.Fprintln(out, "copies", from)
	}()
	work := context.WithoutCancel(ctx)
	var last time.Time // of the last commit
	for ctx.Err() == nil {
		fetches := s.PollFetches(ctx)
		if fetches.NumRecords() == 0 {
			continue
		}
		if err := s.Begin(); err != nil {
			return err
		}
		for {
			fetches.EachRecord(func(r *kgo.Record) {
				for _, topic := range to {
					s.Produce(work, &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value}, nil)
				}
			})
			wait := interval - time.Since(last)
			if wait <= 0 {
				break
			}
			poll, cancel := context.WithTimeout(ctx, wait)
			fetches = s.PollFetches(poll)
			cancel()
		}
		if _, err := s.End(work, kgo.TryCommit); err != nil {
			return err
		}
		last = time.Now()
	}
	return nil
}

// copyLinger is the product's.
const copyLinger = 2 * time.Millisecond

// listenLow listens on a free loopback port below those that outgoing
// connections take.
func listenLow(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	for range 100 {
		l, err := lc.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", 15_000+rand.IntN(17_000)))
		if err == nil {
			return l, nil
		}
	}
	return nil, errors.New("no free port between 15000 and 32000 on 127.0.0.1")
}

func twoAddresses(ctx context.Context) (a, b string, err error) {
	first, err := listenLow(ctx)
	if err != nil {
		return "", "", err
	}
	defer first.Close()
	second, err := listenLow(ctx)
	if err != nil {
		return "", "", err
	}
	defer second.Close()
	return first.Addr().String(), second.Addr().String(), nil
}
