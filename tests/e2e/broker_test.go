package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/embedded"
	"github.com/fluxnex/fluxnex/tests/parts"
	"github.com/fluxnex/fluxnex/tests/torture"
)

// A test process that finds these in its environment is a broker, so that a
// test can kill one.
const (
	brokerDir  = "FLUXNEX_E2E_BROKER_DIR"
	brokerPort = "FLUXNEX_E2E_BROKER_PORT"
)

func serveBroker(dir, port string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	n, err := strconv.Atoi(port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	b, err := embedded.StartBroker(ctx, dir, n)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	<-ctx.Done()
	if err := b.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// brokerAlone is a cluster of one broker process with its data on disk.
func brokerAlone(t testing.TB) (parts.Cluster, *process) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	dir := t.TempDir()
	b := &process{
		name: "broker", bin: self, log: filepath.Join(dir, "broker.log"),
		env: append(os.Environ(), brokerDir+"="+filepath.Join(dir, "kafka"), brokerPort+"="+strconv.Itoa(port)),
	}
	if err := b.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.signal(syscall.SIGCONT)
		if err := b.end(syscall.SIGTERM, patience); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	registry, err := embedded.StartRegistry(t.Context(), filepath.Join(dir, "schemas.json"), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := registry.Close(); err != nil {
			t.Errorf("stop the registry: %v", err)
		}
	})
	return parts.Cluster{
		Brokers:     []string{"127.0.0.1:" + strconv.Itoa(port)},
		RegistryURL: registry.URL,
		Prefix:      "e2e",
	}, b
}

// TestNothingAckedIsMissingWhenTheBrokerGoes: a webhook is answered only after
// the broker has it. With the broker dead, then silent, senders get a SOAP
// fault within 3 s; afterwards everything that was acked is there.
func TestNothingAckedIsMissingWhenTheBrokerGoes(t *testing.T) {
	cluster, broker := brokerAlone(t)
	p := install(t, cluster, shape{})
	plan := torture.NewPlan(seed(t), p.tenants, torture.Size{Records: 300})
	// These senders give up: what they were not told about may be missing.
	r := p.load(t, plan, torture.Load{Spread: 12 * time.Second, Attempts: 1, Senders: 4})
	p.awaitApplied(t, 10)

	if err := broker.end(syscall.SIGKILL, patience); err != nil {
		t.Fatal(err)
	}
	refusedInTime(t, p, "dead")
	// Started meanwhile, a service waits for the broker; it does not end.
	router := p.all["router"][0]
	if err := router.victim().Kill(); err != nil {
		t.Fatal(err)
	}
	if err := router.start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the router says what it waits for", func() (bool, string) {
		status, body, err := get(router.admin + "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "waits for") && strings.Contains(body, "broker"), fmt.Sprint(status, " ", body, err)
	})
	if err := broker.start(); err != nil {
		t.Fatal(err)
	}
	router.ready(t)
	seen := p.applied(t)
	p.awaitApplied(t, seen+10)

	if err := broker.signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	refusedInTime(t, p, "silent")
	if err := broker.signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	r.sent(t)
	if r.summary.Acked == r.summary.Messages {
		t.Logf("all %d messages were acked: none met the outage", r.summary.Acked)
	}
	// The broker's tests above posted accounts of their own.
	r.verdict(t, 3*patience, torture.Tolerance{}, nil)
}

// refusedInTime posts while the broker is away, until a first answer says so.
func refusedInTime(t *testing.T, p *platform, how string) {
	t.Helper()
	// The contract: 500 within 3 s. The margin is for a busy machine.
	const limit = 3 * time.Second
	const margin = time.Second
	stamp := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for i := range 3 {
		// Not an account of anybody's: it may land all the same.
		m := account(p, torture.LongID(fmt.Sprintf("0015g0000ZZZZ%02d", i)), stamp, torture.Field{Name: "Name", Value: "Nobody"}, torture.Field{Name: "Type", Value: "Prospect"})
		start := time.Now()
		status, contentType, body := send(t, p, m)
		took := time.Since(start)
		t.Logf("broker %s: %d after %s", how, status, took.Round(time.Millisecond))
		if took > limit+margin {
			t.Errorf("broker %s: the answer took %s, want %s at most", how, took, limit)
		}
		if status != http.StatusInternalServerError {
			t.Errorf("broker %s: answered %d %s, want 500", how, status, body)
		}
		if strings.Contains(body, "<Ack>true") || !strings.Contains(body, "Fault") || !strings.HasPrefix(contentType, "text/xml") {
			t.Errorf("broker %s: want a SOAP fault and no Ack, got %s %s", how, contentType, body)
		}
	}
}
