package store_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/sandbox/ledger"
	"github.com/fluxnex/fluxnex/sandbox/store"
)

func open(t *testing.T, dir string) (*store.Store, store.Contents) {
	t.Helper()
	s, c, err := store.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func commit(t *testing.T, s *store.Store, changes []store.Change, entries ...ledger.Entry) {
	t.Helper()
	if err := s.Commit(changes, entries); err != nil {
		t.Fatal(err)
	}
}

func TestTheGreatestChangeOfAKeyWinsWhateverTheOrderOfLines(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	first, second := s.Next(), s.Next()
	commit(t, s, []store.Change{{Key: "a", N: second, Value: "new"}}, ledger.Entry{Seq: 2})
	commit(t, s, []store.Change{{Key: "a", N: first, Value: "old"}}, ledger.Entry{Seq: 1})
	for range 2 { // before and after compaction
		again, c := open(t, dir)
		if len(c.Values) != 1 || string(c.Values[0].Value) != `"new"` || len(c.Ledger) != 2 || c.LastSeq != 2 {
			t.Errorf("read back %+v", c)
		}
		if n := again.Next(); n <= second {
			t.Errorf("numbers start again at %d", n)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestALineCutOffByACrashIsNoLine(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	commit(t, s, []store.Change{{Key: "a", N: s.Next(), Value: 1}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "sandbox.ndjson")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(raw, `{"set":[{"k":"b","n":9,`...), 0o600); err != nil {
		t.Fatal(err)
	}
	again, c := open(t, dir)
	if len(c.Values) != 1 || c.Values[0].Key != "a" {
		t.Errorf("read back %+v", c)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAClearedLedgerStaysClearedAndNumbersGoOn(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir)
	commit(t, s, nil, ledger.Entry{Seq: 7})
	if err := s.ClearLedger(8); err != nil {
		t.Fatal(err)
	}
	_, c := open(t, dir)
	if len(c.Ledger) != 0 || c.LastSeq != 8 {
		t.Errorf("read back %+v", c)
	}
}

func TestAFileThatIsNotOursSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sandbox.ndjson"), []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := store.Open(dir, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "delete the file") {
		t.Errorf("error %v: want a remedy", err)
	}
}
