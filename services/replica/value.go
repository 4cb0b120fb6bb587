package replica

import (
	"time"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// sameValue compares values as data. One source writes the same number, truth
// or point in time in different ways in different forms (10000.0 as a text in a
// message, 10000.0 as a number in a record; Z and +0000); that is no tie. Null
// and the empty text are different values.
func sameValue(a, b *record.Field) bool {
	if a.Value == b.Value {
		return a.Kind == b.Kind || (a.Kind != record.KindNull && b.Kind != record.KindNull)
	}
	if a.Kind == record.KindNull || b.Kind == record.KindNull {
		return false
	}
	if a.Kind == record.KindNumber || b.Kind == record.KindNumber {
		x, errX := canonical.ParseMoney(a.Value)
		y, errY := canonical.ParseMoney(b.Value)
		return errX == nil && errY == nil && x.Cmp(y) == 0
	}
	x, okX := pointInTime(a.Value)
	y, okY := pointInTime(b.Value)
	return okX && okY && x.Equal(y)
}

func pointInTime(s string) (time.Time, bool) {
	if len(s) < len("2006-01-02T15:04:05Z") || len(s) > 35 || s[10] != 'T' {
		return time.Time{}, false
	}
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05.999-0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
