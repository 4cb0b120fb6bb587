package schemas

import (
	"errors"
	"math"
	"slices"
	"unsafe"

	"github.com/fluxnex/fluxnex/pkg/record"
)

var (
	errTruncated = errors.New("the value ends too early")
	errVarint    = errors.New("a number has too many digits")
	errLength    = errors.New("a length is negative")
	errBool      = errors.New("a boolean is neither 0 nor 1")
)

// reader takes the plain types of Avro's binary encoding from the value, or one
// copy of it, which all strings are parts of: a record of a hundred strings is
// one allocation or none, not a hundred. After an error it reads zeros.
type reader struct {
	text     string
	at       int
	borrowed bool  // byte slices too are parts of text
	room     *Room // nil: none
	Error    error
}

// Room is where the records of one batch have their lists, next to each other.
// What lives on keeps its neighbours, and must not outlive a Reset.
type Room struct {
	fields room[record.Field]
	hops   room[record.Hop]
	longs  room[int64]
}

// Reset takes everything back, for another batch. Nothing that was read into the
// room may be looked at afterwards.
func (r *Room) Reset() {
	r.fields.reset()
	r.hops.reset()
	r.longs.reset()
}

// Fields is an empty list with room for n.
func (r *Room) Fields(n int) []record.Field { return r.fields.list(n) }

// Hops is an empty list with room for n.
func (r *Room) Hops(n int) []record.Hop { return r.hops.list(n) }

// Longs is an empty list with room for n.
func (r *Room) Longs(n int) []int64 { return r.longs.list(n) }

// room for lists of one type.
type room[E any] struct {
	slabs [][]E
	at    int // the first of them that may have something free
}

const (
	// slabSize is as much as about thirty records have fields.
	slabSize = 1024
	// roomSlabs is how much a Reset keeps: 4 MB of fields.
	roomSlabs = 64
)

func (r *room[E]) reset() {
	for i := range r.slabs {
		clear(r.slabs[i]) // its strings hold whole fetches
		r.slabs[i] = r.slabs[i][:0]
	}
	if len(r.slabs) > roomSlabs {
		clear(r.slabs[roomSlabs:])
		r.slabs = r.slabs[:roomSlabs]
	}
	r.at = 0
}

func (r *room[E]) list(n int) []E {
	if n > slabSize {
		return make([]E, 0, n)
	}
	out := r.free(n)
	r.taken(n)
	return out[:0:n]
}

func (r *room[E]) free(n int) []E {
	for ; r.at < len(r.slabs); r.at++ {
		if s := r.slabs[r.at]; cap(s)-len(s) >= n {
			return s[len(s):]
		}
	}
	r.slabs = append(r.slabs, make([]E, 0, slabSize))
	return r.slabs[r.at]
}

// taken says how many of what was free are in use. Of a list with more than were
// free, none is.
func (r *room[E]) taken(n int) {
	if s := r.slabs[r.at]; n <= cap(s)-len(s) {
		r.slabs[r.at] = s[:len(s)+n]
	}
}

// read is readSlice into the room.
func (r *room[E]) read(from *reader, read func(*reader, *E)) []E {
	list := readInto(from, r.free(trusted), read)
	r.taken(len(list))
	return slices.Clip(list)
}

func (r *reader) fail(err error) {
	if r.Error == nil {
		r.Error = err
	}
	r.at = len(r.text)
}

// ReadLong reads a zig-zag varint: nearly always one byte, the length of a short
// string.
func (r *reader) ReadLong() int64 {
	if r.at < len(r.text) && r.text[r.at] < 0x80 {
		b := r.text[r.at]
		r.at++
		return int64(b>>1) ^ -int64(b&1)
	}
	return r.readLong()
}

func (r *reader) readLong() int64 {
	var u uint64
	for shift := 0; ; shift += 7 {
		if r.at >= len(r.text) {
			r.fail(errTruncated)
			return 0
		}
		b := r.text[r.at]
		r.at++
		if shift == 63 && b > 1 {
			r.fail(errVarint)
			return 0
		}
		u |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int64(u>>1) ^ -int64(u&1)
		}
	}
}

// ReadInt reads a long of 32 bits.
func (r *reader) ReadInt() int32 {
	n := r.ReadLong()
	if n < math.MinInt32 || n > math.MaxInt32 {
		r.fail(errVarint)
		return 0
	}
	return int32(n)
}

// ReadBool reads one byte.
func (r *reader) ReadBool() bool {
	if r.at >= len(r.text) {
		r.fail(errTruncated)
		return false
	}
	b := r.text[r.at]
	r.at++
	if b > 1 {
		r.fail(errBool)
	}
	return b == 1
}

// ReadString allocates nothing.
func (r *reader) ReadString() string {
	n := r.ReadLong()
	switch {
	case n < 0:
		r.fail(errLength)
		return ""
	case n > int64(len(r.text)-r.at):
		r.fail(errTruncated)
		return ""
	}
	s := r.text[r.at : r.at+int(n)]
	r.at += int(n)
	return s
}

// ReadBytes returns a copy, which may be changed and kept, unless the value is
// borrowed.
func (r *reader) ReadBytes() []byte {
	s := r.ReadString()
	if r.borrowed {
		return unsafe.Slice(unsafe.StringData(s), len(s)) //nolint:gosec // as long as the string
	}
	return []byte(s)
}

// ReadBlockHeader reads how many elements follow; 0 ends an array.
func (r *reader) ReadBlockHeader() int64 {
	n, _ := r.block()
	return n
}

// block is the header with the block's size in bytes; -1 where it has none.
func (r *reader) block() (n, size int64) {
	if n = r.ReadLong(); n >= 0 {
		return n, -1
	}
	if size = r.ReadLong(); size < 0 {
		r.fail(errLength)
	}
	return -n, size // of the least number: still negative, and refused by the caller
}

func (r *reader) skip(n int64) {
	if n > int64(len(r.text)-r.at) {
		r.fail(errTruncated)
		return
	}
	r.at += int(n)
}
