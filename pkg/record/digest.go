package record

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Digest says what a dependent saw of a parent: whether the source has it, and
// the values of the named fields. It changes if and only if one of these does;
// versions do not count. The digest of an unknown parent is MissingParent.
// Replica and normalizer compare digests that the other made.
func Digest(r *Replica, used []string) string {
	if r == nil {
		return MissingParent
	}
	buf := make([]byte, 0, 256)
	add := func(s string) {
		buf = binary.AppendUvarint(buf, uint64(len(s)))
		buf = append(buf, s...)
	}
	add(string(r.Presence))
	for _, name := range used {
		f, ok := r.Field(name)
		switch {
		case !ok:
			buf = append(buf, 0)
		case f.Kind == KindNull:
			buf = append(buf, 1)
		default:
			buf = append(buf, 2)
			add(f.Value)
		}
	}
	sum := sha256.Sum256(buf)
	return hex.EncodeToString(sum[:16])
}
