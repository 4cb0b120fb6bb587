package revenova

import "math/bits"

// Eight bytes are looked at together: a webhook's body is read once on its way
// in, by two scanners, and most of it is text in which nothing happens.
const (
	eachByte = 0x0101010101010101
	highBits = 0x80 * eachByte
)

// eight are the bytes of s at i, the first one lowest.
func eight(s string, i int) uint64 {
	b := s[i : i+8]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// below marks the bytes of x that are smaller than n, equal those that are n.
// The lowest mark is right, and there is none where nothing is to be marked;
// marks above it may be wrong.
func below(x, n uint64) uint64 { return (x - n*eachByte) & ^x & highBits }

func equal(x, n uint64) uint64 { return below(x^n*eachByte, 1) }

// plain is the length of the part of s behind i in which a JSON string neither
// ends, nor escapes, nor holds a control character, as far as whole words tell.
func plain(s string, i int) int {
	from := i
	for ; i+8 <= len(s); i += 8 {
		x := eight(s, i)
		if marks := below(x, ' ') | equal(x, '"') | equal(x, '\\'); marks != 0 {
			return i - from + bits.TrailingZeros64(marks)/8
		}
	}
	return i - from
}

// oddXML is the index behind i of the first byte of s that may be no character
// of XML: a control character, or the first byte of U+FFFE or U+FFFF. -1 if
// there is none.
func oddXML(s string, i int) int {
	for ; i+8 <= len(s); i += 8 {
		x := eight(s, i)
		if marks := below(x, ' ') | equal(x, 0xEF); marks != 0 {
			return i + bits.TrailingZeros64(marks)/8
		}
	}
	for ; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0xEF {
			return i
		}
	}
	return -1
}
