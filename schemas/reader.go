package schemas

import (
	"errors"
	"math"
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

// Room is where the records of one batch have their fields, next to each other.
// It is never given back: what lives on keeps its neighbours.
type Room struct{ fields []record.Field }

// roomFields is as much as about thirty records have.
const roomFields = 1024

func (r *Room) free() []record.Field {
	if cap(r.fields)-len(r.fields) < trusted {
		r.fields = make([]record.Field, 0, roomFields)
	}
	return r.fields[len(r.fields):]
}

// taken says how many of what was free are in use. Of a record with more than
// were free, none is.
func (r *Room) taken(n int) {
	if n <= cap(r.fields)-len(r.fields) {
		r.fields = r.fields[:len(r.fields)+n]
	}
}

func (r *reader) fail(err error) {
	if r.Error == nil {
		r.Error = err
	}
	r.at = len(r.text)
}

// ReadLong reads a zig-zag varint.
func (r *reader) ReadLong() int64 {
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
