package revenova

import (
	"math/bits"
	"unicode/utf8"
)

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

// plainText is the length of the part of s behind i in which an XML text neither
// ends nor holds what is written in another way: a reference, a line end, or ]]>.
func plainText(s string, i int) int {
	from := i
	for ; i+8 <= len(s); i += 8 {
		x := eight(s, i)
		if marks := equal(x, '<') | equal(x, '&') | equal(x, ']') | equal(x, '\r'); marks != 0 {
			return i - from + bits.TrailingZeros64(marks)/8
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c == '<' || c == '&' || c == ']' || c == '\r' {
			break
		}
	}
	return i - from
}

// plainXML is the length of the part of s that is ASCII and holds no control
// character but white space, as far as whole words tell.
func plainXML(s string) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		x := eight(s, i)
		// Without a byte over 0x7F no sum here reaches the next byte.
		control := ^(x + (0x80-' ')*eachByte)
		space := ^(x + (0x80-'\n'-1)*eachByte) & (x + (0x80-'\t')*eachByte) // tab or line feed
		space |= ^(x ^ '\r'*eachByte + 0x7F*eachByte)
		if (x|control&^space)&highBits != 0 {
			break
		}
	}
	return i
}

func isASCII(s string) bool {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if eight(s, i)&highBits != 0 {
			return false
		}
	}
	for ; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
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
