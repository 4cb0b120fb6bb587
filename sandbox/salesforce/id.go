package salesforce

import (
	"crypto/rand"
	"strings"
)

// ID18 completes a 15-character id by its checksum, and normalises the
// checksum of an 18-character one. "" is not an id.
func ID18(id string) string {
	if len(id) != 15 && len(id) != 18 {
		return ""
	}
	var sum [3]byte
	for i := range 15 {
		c := id[i]
		switch {
		case c >= 'A' && c <= 'Z':
			sum[i/5] |= 1 << (i % 5)
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		default:
			return ""
		}
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
	full := id[:15] + string([]byte{alphabet[sum[0]], alphabet[sum[1]], alphabet[sum[2]]})
	if len(id) == 18 && !strings.EqualFold(full, id) {
		return ""
	}
	return full
}

// newID makes an id with a key prefix such as "04l".
func newID(prefix string) string {
	return ID18((prefix + "5g00000" + strings.ToLower(rand.Text()))[:15])
}
