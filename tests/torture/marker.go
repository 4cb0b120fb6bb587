package torture

import (
	"regexp"
	"strconv"
)

// Marker is what the name of a destination's object tells.
type Marker struct {
	Tenant  string
	Record  int
	Rank    int
	Variant string
}

var markerForm = regexp.MustCompile(`^(\S+) (?:Carrier|Customer) (\d{6,}) r(\d+)([a-z]?)(?:\s.*)?$`)

// ParseMarker reads a name that state gave, whatever suffix a destination hung
// on it ("… (deleted)").
func ParseMarker(name string) (Marker, bool) {
	m := markerForm.FindStringSubmatch(name)
	if m == nil {
		return Marker{}, false
	}
	record, err := strconv.Atoi(m[2])
	if err != nil {
		return Marker{}, false
	}
	rank, err := strconv.Atoi(m[3])
	if err != nil {
		return Marker{}, false
	}
	return Marker{Tenant: m[1], Record: record, Rank: rank, Variant: m[4]}, true
}
