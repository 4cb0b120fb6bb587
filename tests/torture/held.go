package torture

// Held is a record that the tenant's Salesforce has, whether it tells of it or
// not.
type Held struct {
	Organization, Object, ID string
	Fields                   map[string]string // SystemModstamp included
}

// Held are the records that Salesforce has from the beginning, as they are in
// the end: parents, and those whose edits share a stamp, of which only asking
// tells the truth.
func (p *Plan) Held() []Held {
	var out []Held
	for i := range p.Records {
		r := &p.Records[i]
		switch {
		case r.Role == Carrier && !r.Tied(), r.Role == Invoice, r.Coming == Late, r.Coming == Never:
		default:
			out = append(out, p.Hold(i))
		}
	}
	return out
}

// Hold is one record as it is in the end.
func (p *Plan) Hold(record int) Held {
	r := &p.Records[record]
	h := Held{Organization: p.Tenants[r.Tenant].Organization, Object: r.Object(), ID: r.ID, Fields: map[string]string{}}
	for _, e := range r.Edits {
		for _, f := range e.Fields {
			h.Fields[f.Name] = f.Value
		}
		h.Fields["SystemModstamp"] = e.Stamp.Format(StampLayout)
	}
	return h
}
