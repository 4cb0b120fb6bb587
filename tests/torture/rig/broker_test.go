package rig

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/embedded"
	"github.com/fluxnex/fluxnex/pkg/kafka"
)

// TestTheBrokersFaultsAreFelt: a network that is lost and a disk that is full
// keep the broker from taking anything, and afterwards it takes everything.
func TestTheBrokersFaultsAreFelt(t *testing.T) {
	r := &Rig{
		cfg: Config{Log: slog.New(slog.DiscardHandler)}, dir: t.TempDir(), ports: rand.New(rand.NewPCG(rand.Uint64(), 0)), taken: map[int]bool{},
	}
	port, err := r.freePort()
	if err != nil {
		t.Fatal(err)
	}
	first, err := r.proxyBrokers(port, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.parts.proxies["broker1"].stop()
	data := filepath.Join(r.dir, "data")
	r.mountDisk(t.Context(), data)
	defer func() {
		if err := r.unmountDisk(); err != nil {
			t.Error(err)
		}
	}()
	b, err := embedded.StartBrokerBehind(t.Context(), data, port, first)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r.parts.brokers, r.parts.broker = "127.0.0.1:"+strconv.Itoa(first), &process{}
	cfg := r.kafka()
	if _, err := kafka.Apply(t.Context(), cfg, []string{"quickbooks"}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	producer, err := kafka.NewProducer(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	send := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		_, err := producer.Send(ctx, kafka.Message{Topic: cfg.Topics().Gateway(), Key: []byte("k"), Value: []byte("v")})
		return err
	}
	during := func(name string, fault func(ctx context.Context) error) {
		t.Helper()
		if err := send(time.Minute); err != nil {
			t.Fatalf("before %s: %v", name, err)
		}
		ctx, over := context.WithCancel(t.Context())
		done := make(chan error, 1)
		started := make(chan struct{})
		go func() { close(started); done <- fault(ctx) }()
		<-started
		var felt error
		for n := 0; felt == nil && n < 1000; n++ {
			felt = send(2 * time.Second)
		}
		over()
		if err := <-done; err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if felt == nil {
			t.Errorf("%s kept nobody from writing", name)
		}
		if err := send(time.Minute); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
		t.Logf("during %s: %v", name, felt)
	}
	during("a network lost there", func(ctx context.Context) error { return r.cut(ctx, "broker there", time.Minute) })
	during("a network lost back", func(ctx context.Context) error { return r.cut(ctx, "broker back", time.Minute) })
	if !r.cfg.Broker.Disk {
		t.Log("not tried: a disk that can be full needs root")
		return
	}
	during("a full disk", func(ctx context.Context) error { return r.diskFull(ctx, time.Minute) })
}
