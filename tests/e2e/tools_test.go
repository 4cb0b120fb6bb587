package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// row is one line of a command's -o json, its keys without case and
// underscores.
type row map[string]any

func (r row) text(key string) string {
	s, _ := r[key].(string)
	return s
}

// rows runs a command with -o json.
func (p *platform) rows(t testing.TB, args ...string) []row {
	t.Helper()
	out := p.run(t, append(args, "-o", "json")...)
	var list []map[string]any
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("fluxnex %s: %v:\n%s", strings.Join(args, " "), err, out)
	}
	rows := make([]row, len(list))
	for i, object := range list {
		rows[i] = row{}
		for k, v := range object {
			rows[i][strings.ToLower(strings.ReplaceAll(k, "_", ""))] = v
		}
	}
	return rows
}

// notifications are the open ones that satisfy want.
func (p *platform) notifications(t testing.TB, want func(row) bool) []row {
	t.Helper()
	var out []row
	for _, r := range p.rows(t, "notifications") {
		if want(r) {
			out = append(out, r)
		}
	}
	return out
}

func show(rows []row) string {
	b, err := json.Marshal(rows)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
