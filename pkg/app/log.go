package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// NewLogger makes the process's logger. Lines below warnings are written
// together, at the latest after a tenth of a second: each record leaves one, and
// a system call for each would cost more than the line. A warning writes what is
// before it at once. flush writes the rest; call it at the end.
func NewLogger(w io.Writer, c Config) (log *slog.Logger, flush func(), err error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, nil, fmt.Errorf("FLUXNEX_LOG_LEVEL: %q is none of debug, info, warn, error", c.LogLevel)
	}
	opts := &slog.HandlerOptions{Level: level}
	lines := &lineWriter{w: w}
	var h slog.Handler
	switch c.LogFormat {
	case "json":
		h = &lineHandler{Handler: slog.NewJSONHandler(lines, opts), lines: lines, plain: true}
	case "text":
		h = slog.NewTextHandler(lines, opts)
	default:
		return nil, nil, fmt.Errorf("FLUXNEX_LOG_FORMAT: %q is neither json nor text", c.LogFormat)
	}
	return slog.New(&flushingHandler{h, lines}), lines.flush, nil
}

const (
	logDelay = 100 * time.Millisecond
	logBytes = 64 << 10
	// logBehind is how much may come while a write is under way; whoever logs more
	// waits for it.
	logBehind = 1 << 20
)

// lineWriter collects lines; while some are written, others are collected. What
// cannot be written is lost, as it is with a logger that does not collect.
type lineWriter struct {
	out sync.Mutex // held while writing, and taken before mu
	w   io.Writer

	mu             sync.Mutex
	pending, spare []byte
	timed          bool // a flush is on its way
}

func (l *lineWriter) Write(line []byte) (int, error) {
	l.mu.Lock()
	l.pending = append(l.pending, line...)
	held := len(l.pending)
	if !l.timed {
		l.timed = true
		time.AfterFunc(logDelay, l.flush)
	}
	l.mu.Unlock()
	switch {
	case held >= logBehind:
		l.flush()
	case held >= logBytes && l.out.TryLock():
		l.write()
		l.out.Unlock()
	}
	return len(line), nil
}

// flush returns when everything before it is written.
func (l *lineWriter) flush() {
	l.out.Lock()
	defer l.out.Unlock()
	l.write()
}

func (l *lineWriter) write() {
	l.mu.Lock()
	lines := l.pending
	l.pending, l.timed = l.spare[:0], false
	l.mu.Unlock()
	if len(lines) > 0 {
		_, _ = l.w.Write(lines)
	}
	l.mu.Lock()
	l.spare = lines[:0]
	l.mu.Unlock()
}

// flushingHandler writes at once what somebody may be waiting for.
type flushingHandler struct {
	slog.Handler
	lines *lineWriter
}

func (h *flushingHandler) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		h.lines.flush()
	}
	return err
}

func (h *flushingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &flushingHandler{h.Handler.WithAttrs(attrs), h.lines}
}

func (h *flushingHandler) WithGroup(name string) slog.Handler {
	return &flushingHandler{h.Handler.WithGroup(name), h.lines}
}
