package app_test

import (
	"bytes"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/app"
)

func TestLinesWrittenByHandAreTheLibrarys(t *testing.T) {
	at := time.Date(2026, 11, 25, 1, 2, 3, 4_500_000, time.FixedZone("", -6*3600))
	given := func(attrs ...slog.Attr) func(slog.Handler) slog.Handler {
		return func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) }
	}
	grouped := func(h slog.Handler) slog.Handler { return h.WithGroup("g").WithAttrs([]slog.Attr{slog.Int("n", 1)}) }
	for name, c := range map[string]struct {
		with  func(slog.Handler) slog.Handler
		attrs []slog.Attr
	}{
		"nothing":   {},
		"plain":     {attrs: []slog.Attr{slog.String("key", "a/b:c"), slog.Int("partition", 3), slog.Bool("ok", true), slog.Uint64("u", 1<<63), slog.Duration("took", 1500*time.Microsecond), slog.String("class", "")}},
		"many":      {attrs: []slog.Attr{slog.Int("a", 1), slog.Int("b", 2), slog.Int("c", 3), slog.Int("d", 4), slog.Int("e", 5), slog.Int("f", -6), slog.Int("g", 7)}},
		"escapes":   {attrs: []slog.Attr{slog.String("key", "a\"b\\c\nd"), slog.String("more", "x")}},
		"utf-8":     {attrs: []slog.Attr{slog.String("key", "Müller <&> \xff \x7f")}},
		"odd kinds": {attrs: []slog.Attr{slog.Any("list", []int{1, 2}), slog.Duration("d", time.Second), slog.Time("t", at), slog.Float64("f", 1.5)}},
		"a group":   {attrs: []slog.Attr{slog.Group("g", slog.Int("n", 1))}},
		"no key":    {attrs: []slog.Attr{{}, slog.String("", "x")}},
		"given":     {with: given(slog.String("stage", "replica")), attrs: []slog.Attr{slog.Int("n", 1)}},
		"given odd": {with: given(slog.String("stage", "\"")), attrs: []slog.Attr{slog.Int("n", 1)}},
		"grouped":   {with: grouped, attrs: []slog.Attr{slog.Int("m", 2)}},
	} {
		t.Run(name, func(t *testing.T) {
			var want, got bytes.Buffer
			log, flush, err := app.NewLogger(&got, app.Config{LogLevel: "info", LogFormat: "json"})
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range []slog.Handler{slog.NewJSONHandler(&want, nil), log.Handler()} {
				if c.with != nil {
					h = c.with(h)
				}
				for _, level := range []slog.Level{slog.LevelInfo, slog.LevelError + 1} {
					r := slog.NewRecord(at, level, "record.settled", 0)
					r.AddAttrs(c.attrs...)
					if err := h.Handle(t.Context(), r); err != nil {
						t.Fatal(err)
					}
				}
			}
			flush()
			if got.String() != want.String() {
				t.Errorf("wrote\n%swant\n%s", got.String(), want.String())
			}
		})
	}
}

func BenchmarkSettledLine(b *testing.B) {
	log, _, err := app.NewLogger(io.Discard, app.Config{LogLevel: "info", LogFormat: "json"})
	if err != nil {
		b.Fatal(err)
	}
	h := log.Handler().WithAttrs([]slog.Attr{slog.String("stage", "replica")})
	at := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		r := slog.NewRecord(at, slog.LevelInfo, "record.settled", 0)
		r.AddAttrs(slog.String("key", "bench/revenova:0015g00000AbCdEAAV"), slog.Int("partition", 7),
			slog.Int64("offset", 1234567), slog.String("outcome", "applied"), slog.String("class", ""), slog.String("code", ""))
		if err := h.Handle(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}
