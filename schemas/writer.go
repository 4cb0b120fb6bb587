package schemas

import "encoding/binary"

// writer appends the plain types of Avro's binary encoding.
type writer struct {
	b     []byte
	Error error
}

// WriteLong writes a zig-zag varint.
func (w *writer) WriteLong(n int64) {
	if n >= 0 && n < 1<<6 {
		w.b = append(w.b, byte(n<<1))
		return
	}
	w.b = binary.AppendVarint(w.b, n)
}

// WriteInt writes an int as the long that it is.
func (w *writer) WriteInt(n int32) { w.WriteLong(int64(n)) }

// WriteBool writes one byte.
func (w *writer) WriteBool(b bool) {
	if b {
		w.b = append(w.b, 1)
		return
	}
	w.b = append(w.b, 0)
}

// WriteString writes the length and the bytes.
func (w *writer) WriteString(s string) {
	w.WriteLong(int64(len(s)))
	w.b = append(w.b, s...)
}

// WriteBytes writes the length and the bytes.
func (w *writer) WriteBytes(b []byte) {
	w.WriteLong(int64(len(b)))
	w.b = append(w.b, b...)
}
