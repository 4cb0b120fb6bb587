package store

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluxnex/fluxnex/sandbox/ledger"
)

// Change is one value set under a key. The greatest N of a key wins, because
// lines of concurrent calls may be written in another order than they applied.
type Change struct {
	Key   string `json:"k"`
	N     uint64 `json:"n"`
	Value any    `json:"v"`
}

// Saved is a change as read back.
type Saved struct {
	Key   string          `json:"k"`
	N     uint64          `json:"n"`
	Value json.RawMessage `json:"v"`
}

type line[V any] struct {
	Set     []V            `json:"set,omitempty"`
	Ledger  []ledger.Entry `json:"ledger,omitempty"`
	Cleared bool           `json:"cleared,omitempty"`
	LastSeq uint64         `json:"last_seq,omitempty"`
}

// Store is the file. With no directory it forgets everything it is told.
type Store struct {
	log   *slog.Logger
	n     atomic.Uint64
	mu    sync.Mutex
	file  *os.File
	dirty bool
	stop  chan struct{}
	done  chan struct{}
}

// Contents is what an earlier process left.
type Contents struct {
	Values  []Saved // by N
	Ledger  []ledger.Entry
	LastSeq uint64
}

const fileName = "sandbox.ndjson"

// Open reads what dir holds, compacts it, and opens it for appending.
func Open(dir string, log *slog.Logger) (*Store, Contents, error) {
	s := &Store{log: log}
	if dir == "" {
		return s, Contents{}, nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, Contents{}, fmt.Errorf("sandbox data directory: %w (choose one that can be written)", err)
	}
	path := filepath.Join(dir, fileName)
	contents, err := read(path)
	if err != nil {
		return nil, Contents{}, err
	}
	for _, v := range contents.Values {
		s.n.Store(max(s.n.Load(), v.N))
	}
	if err := rewrite(path, contents); err != nil {
		return nil, Contents{}, fmt.Errorf("compact %s: %w", path, err)
	}
	s.file, err = os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, Contents{}, fmt.Errorf("open %s: %w", path, err)
	}
	s.stop, s.done = make(chan struct{}), make(chan struct{})
	go s.flush()
	return s, contents, nil
}

func read(path string) (Contents, error) {
	var out Contents
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("read %s: %w", path, err)
	}
	defer func() { _ = file.Close() }()
	latest := map[string]Saved{}
	in := bufio.NewReaderSize(file, 1<<20)
	for {
		text, err := in.ReadBytes('\n')
		if len(text) > 0 && err == nil {
			var l line[Saved]
			if bad := json.Unmarshal(text, &l); bad != nil {
				return out, fmt.Errorf("read %s: %w (delete the file to start empty)", path, bad)
			}
			if l.Cleared {
				out.Ledger = nil
			}
			out.LastSeq = max(out.LastSeq, l.LastSeq)
			for _, e := range l.Ledger {
				out.LastSeq = max(out.LastSeq, e.Seq)
				out.Ledger = append(out.Ledger, e)
			}
			for _, v := range l.Set {
				if old, ok := latest[v.Key]; !ok || v.N > old.N {
					latest[v.Key] = v
				}
			}
		}
		// A last line without its end is a write that never returned.
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return out, fmt.Errorf("read %s: %w", path, err)
		}
	}
	for _, v := range latest {
		out.Values = append(out.Values, v)
	}
	slices.SortFunc(out.Values, func(a, b Saved) int { return cmp.Compare(a.N, b.N) })
	return out, nil
}

func rewrite(path string, contents Contents) error {
	next, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(next, 1<<20)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	err = enc.Encode(line[Saved]{LastSeq: contents.LastSeq})
	for _, v := range contents.Values {
		err = errors.Join(err, enc.Encode(line[Saved]{Set: []Saved{v}}))
	}
	for _, e := range contents.Ledger {
		err = errors.Join(err, enc.Encode(line[Saved]{Ledger: []ledger.Entry{e}}))
	}
	err = errors.Join(err, w.Flush(), next.Sync(), next.Close())
	if err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Next hands out the N of a change; take it while the value is locked.
func (s *Store) Next() uint64 { return s.n.Add(1) }

// Commit writes what one call changed. An error means that the caller must
// not be told of success.
func (s *Store) Commit(changes []Change, entries []ledger.Entry) error {
	return s.write(line[Change]{Set: changes, Ledger: entries})
}

// ClearLedger forgets the ledger lines written so far.
func (s *Store) ClearLedger(lastSeq uint64) error {
	return s.write(line[Change]{Cleared: true, LastSeq: lastSeq})
}

func (s *Store) write(l line[Change]) error {
	if s.file == nil {
		return nil
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(l); err != nil {
		return fmt.Errorf("sandbox store: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.file.Write(buf.Bytes()); err != nil {
		return fmt.Errorf("sandbox store: %w (is the disk full?)", err)
	}
	s.dirty = true
	return nil
}

func (s *Store) flush() {
	defer close(s.done)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			s.mu.Lock()
			dirty := s.dirty
			s.dirty = false
			s.mu.Unlock()
			if !dirty {
				continue
			}
			// Outside the lock: a slow disk must not hold up the callers.
			if err := s.file.Sync(); err != nil {
				s.log.Error("sandbox store not flushed", slog.Any("error", err))
			}
		}
	}
}

// Close flushes and closes the file. No Commit may follow.
func (s *Store) Close() error {
	if s.file == nil {
		return nil
	}
	close(s.stop)
	<-s.done
	return errors.Join(s.file.Sync(), s.file.Close())
}
