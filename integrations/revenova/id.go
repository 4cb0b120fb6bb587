package revenova

import "strings"

const idSuffix = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"

// maxID bounds what is taken for a record id.
const maxID = 1024

// normalID makes the 18-character form of a Salesforce id, which is the same
// whatever case a tool turned it into. What is not a Salesforce id (a
// placeholder, an external id) stays as it is; "" is not an id.
func normalID(id string) string {
	id = strings.TrimSpace(id)
	if len(id) > maxID {
		return ""
	}
	if len(id) != 15 && len(id) != 18 {
		return id
	}
	for i := range len(id) {
		if !isAlnum(id[i]) {
			return id
		}
	}
	if len(id) == 15 {
		return id + checksum(id)
	}
	// The suffix says which of the 15 are capitals.
	suffix := strings.ToUpper(id[15:])
	body := []byte(id[:15])
	for chunk := range 3 {
		bits := strings.IndexByte(idSuffix, suffix[chunk])
		if bits < 0 {
			return id
		}
		for i := range 5 {
			c := &body[chunk*5+i]
			letter := isNameStart(*c)
			switch {
			case bits&(1<<i) != 0 && !letter:
				return id
			case bits&(1<<i) != 0:
				*c &^= 0x20
			case letter:
				*c |= 0x20
			}
		}
	}
	return string(body) + suffix
}

// salesforceID reports whether Salesforce could have made this id.
func salesforceID(id string) bool {
	return len(id) == 18 && normalID(id) == id && id[15:] == checksum(id[:15])
}

func checksum(id string) string {
	var out [3]byte
	for chunk := range 3 {
		bits := 0
		for i := range 5 {
			if c := id[chunk*5+i]; c >= 'A' && c <= 'Z' {
				bits |= 1 << i
			}
		}
		out[chunk] = idSuffix[bits]
	}
	return string(out[:])
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
