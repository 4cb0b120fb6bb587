package torture

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Line is one line of the sandbox's ledger, as far as the checker reads it.
type Line struct {
	Seq       uint64    `json:"seq"`
	Time      time.Time `json:"time"`
	App       string    `json:"app"`
	Account   string    `json:"account"`
	Object    string    `json:"object"`
	ID        string    `json:"id"`
	Op        string    `json:"op"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	RequestID string    `json:"request_id"`
	Before    string    `json:"version_before"`
	After     string    `json:"version_after"`
	Applied   bool      `json:"applied"`
	Replied   bool      `json:"replied"`
	Status    int       `json:"status"`
	Code      string    `json:"code"`
	Client    string    `json:"client,omitempty"`
	Replayed  bool      `json:"replayed,omitempty"`
	Digest    string    `json:"digest"`
	Marker    string    `json:"marker"`
}

// ReadLedger reads NDJSON and puts it into the order in which it was applied.
func ReadLedger(r io.Reader) ([]Line, error) {
	var out []Line
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if len(s.Bytes()) == 0 {
			continue
		}
		var l Line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("ledger, line %d: %w", len(out)+1, err)
		}
		out = append(out, l)
	}
	slices.SortStableFunc(out, func(a, b Line) int { return cmp.Compare(a.Seq, b.Seq) })
	return out, s.Err()
}

// removal reports a write that takes the object out of use.
func (l *Line) removal() bool {
	switch l.Op {
	case "deactivate", "delete", "archive", "void":
		return true
	}
	return l.Method == "DELETE" || strings.HasSuffix(l.Marker, " (deleted)")
}

func (l *Line) String() string {
	applied := "refused"
	if l.Applied {
		applied = "applied"
	}
	return fmt.Sprintf("%s #%d %s %s/%s %s %s→%s %s %d %s request %s digest %s %q",
		l.Time.Format("15:04:05.000"), l.Seq, l.App, l.Object, l.ID, l.Op, l.Before, l.After, applied, l.Status, l.Code, l.RequestID, l.Digest, l.Marker)
}
