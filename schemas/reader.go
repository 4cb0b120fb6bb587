package schemas

import (
	"errors"
	"math"
)

var (
	errTruncated = errors.New("the value ends too early")
	errVarint    = errors.New("a number has too many digits")
	errLength    = errors.New("a length is negative")
	errBool      = errors.New("a boolean is neither 0 nor 1")
)

// reader takes the plain types of Avro's binary encoding from one copy of the
// value, which all strings are parts of: a record of a hundred strings is one
// allocation, not a hundred. After an error it reads zeros.
type reader struct {
	text  string
	at    int
	Error error
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

// ReadBytes returns a copy, which may be changed and kept.
func (r *reader) ReadBytes() []byte { return []byte(r.ReadString()) }

// ReadBlockHeader reads how many elements follow; 0 ends an array. A negative
// count says that the block's size in bytes follows, which is of no use here.
func (r *reader) ReadBlockHeader() int64 {
	n := r.ReadLong()
	if n < 0 {
		r.ReadLong()
		n = -n // of the least number: still negative, and refused by the caller
	}
	return n
}
