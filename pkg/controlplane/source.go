package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	pollInterval = time.Second
	readTimeout  = 5 * time.Second
	// What waits in Refresh looks more often than the poll.
	refreshInterval = 100 * time.Millisecond
)

// Source keeps the newest snapshot in memory. While Postgres is away the last
// one goes on being used, however old it is. Safe for concurrent use.
type Source struct {
	reader  Reader
	log     *slog.Logger
	current atomic.Pointer[Snapshot]

	mu     sync.Mutex // one load at a time
	failed error
}

// NewSource does not read anything yet: start it with [Source.Run].
func NewSource(reader Reader, log *slog.Logger) *Source {
	return &Source{reader: reader, log: log}
}

// Current is the newest snapshot, nil before the first one was read.
func (s *Source) Current() *Snapshot { return s.current.Load() }

// Ready reports why there is no snapshot yet; nil once there is one.
func (s *Source) Ready() error {
	if s.Current() != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return fmt.Errorf("no configuration read yet: %w", s.failed)
	}
	return errors.New("no configuration read yet")
}

// Run polls until ctx ends. A failing poll is logged once and never ends it.
func (s *Source) Run(ctx context.Context) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		_ = s.poll(ctx) // noted by poll
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Refresh returns once the snapshot has at least that version: an event that
// follows a configuration change carries the one it needs. It reads at once
// and goes on reading until ctx ends.
func (s *Source) Refresh(ctx context.Context, atLeast int64) error {
	for {
		if c := s.Current(); c != nil && c.Version >= atLeast {
			return nil
		}
		err := s.poll(ctx)
		if c := s.Current(); c != nil && c.Version >= atLeast {
			return nil
		}
		timer := time.NewTimer(refreshInterval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(fmt.Errorf("the configuration has not reached version %d: %w", atLeast, ctx.Err()), err)
		case <-timer.C:
		}
	}
}

func (s *Source) poll(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.load(ctx)
	switch {
	case err != nil && ctx.Err() != nil: // our own end
	case err != nil && s.failed == nil:
		s.log.LogAttrs(ctx, slog.LevelWarn, "control plane cannot be read; the last configuration is used", slog.Any("error", err))
	case err == nil && s.failed != nil:
		s.log.LogAttrs(ctx, slog.LevelInfo, "control plane can be read again")
	}
	s.failed = err
	return err
}

func (s *Source) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	current := s.Current()
	if current != nil {
		version, err := s.reader.ConfigVersion(ctx)
		if err != nil {
			return err
		}
		// Not "<=": a restored database may have an older version, and is right.
		if version == current.Version {
			return nil
		}
	}
	stored, err := s.reader.LoadConfig(ctx)
	if err != nil {
		return err
	}
	next, err := stored.Snapshot()
	if err != nil {
		return err
	}
	s.current.Store(next)
	s.log.LogAttrs(ctx, slog.LevelInfo, "configuration", slog.Int64("version", next.Version))
	return nil
}
