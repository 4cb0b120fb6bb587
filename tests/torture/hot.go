package torture

import "time"

// Heat gives one of a tenant's vendors as many states as asked for: a hot key.
// It reports the record, or -1 if the tenant has none that is edited in full and
// stays.
func (p *Plan) Heat(tenant, states int) int {
	for i := range p.Records {
		r := &p.Records[i]
		last := len(r.Edits) - 1
		if r.Tenant != tenant || r.Role != Carrier || r.Partial || r.Tied() || r.Truth.Deleted || last < 2 || r.Edits[1].Probe {
			continue
		}
		stamp := r.Edits[last].Stamp
		for rank := r.Edits[last].Rank + 1; rank <= states; rank++ {
			stamp = stamp.Add(time.Second)
			r.Truth = p.state(i, rank, "")
			r.Edits = append(r.Edits, Edit{Record: i, Rank: rank, Stamp: stamp, Fields: r.Truth.full()})
		}
		return i
	}
	return -1
}
