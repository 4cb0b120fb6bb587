package stage

import "github.com/fluxnex/fluxnex/pkg/record"

// recentBytes bounds each of the two generations.
const recentBytes = 16 << 20

// recent remembers what this member has committed lately, so that a record that
// changes again soon is not read back from Redis. It cannot be stale: while the
// assignment lasts nobody else writes these keys, and it ends with the
// assignment. It also knows the last commit before the view does.
type recent struct {
	young, old map[record.Key][]byte
	size       int
}

func newRecent() *recent { return &recent{young: map[record.Key][]byte{}} }

func (r *recent) get(k record.Key) ([]byte, bool) {
	if v, ok := r.young[k]; ok {
		return v, true
	}
	v, ok := r.old[k]
	return v, ok
}

func (r *recent) put(k record.Key, v []byte) {
	if r.size >= recentBytes {
		r.old, r.young, r.size = r.young, map[record.Key][]byte{}, 0
	}
	r.young[k] = v
	r.size += len(k) + len(v)
}
