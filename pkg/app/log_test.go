package app_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/app"
)

// page keeps what was written, and says when something is.
type page struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{}
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.written <- struct{}{}:
	default:
	}
	return p.text.Write(b)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func newLog(t *testing.T) (*page, *slog.Logger, func()) {
	t.Helper()
	p := &page{written: make(chan struct{}, 1)}
	log, flush, err := app.NewLogger(p, app.Config{LogLevel: "info", LogFormat: "json"})
	if err != nil {
		t.Fatal(err)
	}
	return p, log, flush
}

func TestLinesAreWrittenSoon(t *testing.T) {
	p, log, _ := newLog(t)
	log.Info("one")
	log.With(slog.Int("a", 1)).WithGroup("g").Info("two", slog.Any("b", 2))
	<-p.written
	if text := p.String(); !strings.Contains(text, `"one"`) || !strings.Contains(text, `"g":{"b":2}`) {
		t.Errorf("written: %s", text)
	}
}

func TestAWarningIsWrittenAtOnceWithWhatWasBefore(t *testing.T) {
	p, log, _ := newLog(t)
	log.Info("before")
	log.With(slog.Int("a", 1)).Warn("now")
	if text := p.String(); !strings.Contains(text, `"before"`) || !strings.Contains(text, `"now"`) {
		t.Errorf("written: %s", text)
	}
}

func TestTheEndLosesNothing(t *testing.T) {
	p, log, flush := newLog(t)
	for range 1000 {
		log.Info("line")
	}
	flush()
	if n := strings.Count(p.String(), "\n"); n != 1000 {
		t.Errorf("%d of 1000 lines are there", n)
	}
}
