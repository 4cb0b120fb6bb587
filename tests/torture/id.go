package torture

// recordID is the 18 character id of the n-th record of a tenant.
func recordID(role Role, n int) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	id := []byte(map[Role]string{Cargo: "a0L5g0000000000", Invoice: "a1I5g0000000000"}[role])
	if len(id) == 0 {
		id = []byte("0015g0000000000")
	}
	for i := len(id) - 1; n > 0; i-- {
		id[i] = digits[n%len(digits)]
		n /= len(digits)
	}
	return LongID(string(id))
}

// LongID adds Salesforce's three checksum characters to a 15 character id: per
// chunk of five, bit i is set where character i is an upper-case letter.
func LongID(id string) string {
	if len(id) != 15 {
		return id
	}
	const table = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
	out := []byte(id)
	for chunk := range 3 {
		bits := 0
		for i := range 5 {
			if c := id[chunk*5+i]; c >= 'A' && c <= 'Z' {
				bits |= 1 << i
			}
		}
		out = append(out, table[bits])
	}
	return string(out)
}
