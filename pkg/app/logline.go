package app

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// lineHandler writes what most lines are made of (texts without escapes,
// numbers and truths) by hand, and leaves all others to the handler it stands
// in front of; the lines are the same. A stage writes one for each record.
type lineHandler struct {
	slog.Handler
	lines  *lineWriter
	prefix []byte // of the attributes given beforehand
	plain  bool   // false: nothing here can be written by hand
}

var lineRoom = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // buffers have no owner

func (h *lineHandler) Handle(ctx context.Context, r slog.Record) error {
	if h.plain {
		room := lineRoom.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
		defer lineRoom.Put(room)
		var ok bool
		if *room, ok = h.appendLine((*room)[:0], &r); ok {
			_, err := h.lines.Write(*room)
			return err
		}
	}
	return h.Handler.Handle(ctx, r)
}

// appendLine reports whether the record could be written by hand.
func (h *lineHandler) appendLine(line []byte, r *slog.Record) ([]byte, bool) {
	if r.Time.IsZero() || r.Time.Year() < 0 || r.Time.Year() > 9999 || !isPlain(r.Message) {
		return line, false
	}
	line = append(line, `{"time":"`...)
	line = r.Time.AppendFormat(line, time.RFC3339Nano)
	line = append(append(line, `","level":"`...), r.Level.String()...)
	line = append(append(line, `","msg":"`...), r.Message...)
	line = append(append(line, '"'), h.prefix...)
	ok := true
	r.Attrs(func(a slog.Attr) bool {
		line, ok = appendAttr(line, a)
		return ok
	})
	return append(line, '}', '\n'), ok
}

func appendAttr(line []byte, a slog.Attr) ([]byte, bool) {
	if a.Key == "" || !isPlain(a.Key) {
		return line, false
	}
	line = append(append(append(line, ',', '"'), a.Key...), '"', ':')
	switch a.Value.Kind() {
	case slog.KindString:
		s := a.Value.String()
		if !isPlain(s) {
			return line, false
		}
		return append(append(append(line, '"'), s...), '"'), true
	case slog.KindInt64:
		return strconv.AppendInt(line, a.Value.Int64(), 10), true
	case slog.KindUint64:
		return strconv.AppendUint(line, a.Value.Uint64(), 10), true
	case slog.KindBool:
		return strconv.AppendBool(line, a.Value.Bool()), true
	case slog.KindDuration:
		return strconv.AppendInt(line, int64(a.Value.Duration()), 10), true
	case slog.KindAny, slog.KindFloat64, slog.KindGroup, slog.KindLogValuer, slog.KindTime:
	}
	return line, false
}

// isPlain reports a text that is written as it is.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := &lineHandler{h.Handler.WithAttrs(attrs), h.lines, append([]byte(nil), h.prefix...), h.plain}
	for _, a := range attrs {
		var ok bool
		if next.prefix, ok = appendAttr(next.prefix, a); !ok {
			next.plain = false
		}
	}
	return next
}

func (h *lineHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &lineHandler{Handler: h.Handler.WithGroup(name), lines: h.lines}
}
