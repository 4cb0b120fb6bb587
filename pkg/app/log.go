package app

import (
	"fmt"
	"io"
	"log/slog"
)

// NewLogger makes the process's logger.
func NewLogger(w io.Writer, c Config) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, fmt.Errorf("FLUXNEX_LOG_LEVEL: %q is none of debug, info, warn, error", c.LogLevel)
	}
	opts := &slog.HandlerOptions{Level: level}
	var h slog.Handler
	switch c.LogFormat {
	case "json":
		h = slog.NewJSONHandler(w, opts)
	case "text":
		h = slog.NewTextHandler(w, opts)
	default:
		return nil, fmt.Errorf("FLUXNEX_LOG_FORMAT: %q is neither json nor text", c.LogFormat)
	}
	return slog.New(h), nil
}
