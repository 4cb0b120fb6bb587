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

// slow is a writer whose first write takes until it is told to go on.
type slow struct {
	page
	once     sync.Once
	begun    chan struct{}
	released chan struct{}
}

func (s *slow) Write(b []byte) (int, error) {
	s.once.Do(func() {
		close(s.begun)
		<-s.released
	})
	return s.page.Write(b)
}

func TestNobodyWaitsForLinesThatAreBeingWritten(t *testing.T) {
	s := &slow{page: page{written: make(chan struct{}, 1)}, begun: make(chan struct{}), released: make(chan struct{})}
	log, flush, err := app.NewLogger(s, app.Config{LogLevel: "info", LogFormat: "json"})
	if err != nil {
		t.Fatal(err)
	}
	log.Info("first")
	<-s.begun // by its timer
	const more = 2000
	for i := range more { // more than is collected at once
		log.Info("line", slog.Int("n", i), slog.String("text", strings.Repeat("x", 50)))
	}
	close(s.released)
	flush()
	lines := strings.Split(strings.TrimSpace(s.String()), "\n")
	if len(lines) != more+1 || !strings.Contains(lines[0], "first") || !strings.Contains(lines[more], `"n":1999`) {
		t.Errorf("%d lines, the first %s, the last %s", len(lines), lines[0], lines[len(lines)-1])
	}
}
