package canonical

import (
	"encoding/json"
	"unicode/utf8"
)

// Append appends the body of an entity's typed value, as encoding/json writes
// it. Vendors and customers, which are most of all records, go without
// reflection.
func Append(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case *Vendor:
		if v == nil {
			break
		}
		dst = appendParty(dst, &v.Party)
		dst = appendText(dst, "mc_number", v.MCNumber)
		dst = appendText(dst, "dot_number", v.DOTNumber)
		dst = appendRef(dst, "remit_to", v.RemitTo)
		return append(dst, '}'), nil
	case *Customer:
		if v == nil {
			break
		}
		dst = appendParty(dst, &v.Party)
		dst = appendRef(dst, "bill_to", v.BillTo)
		return append(dst, '}'), nil
	}
	body, err := json.Marshal(v)
	return append(dst, body...), err
}

// appendParty leaves its object open.
func appendParty(dst []byte, p *Party) []byte {
	dst = appendString(append(dst, `{"source_id":`...), p.SourceID)
	dst = appendString(append(dst, `,"name":`...), p.Name)
	dst = appendText(dst, "dba_name", p.DBAName)
	dst = appendText(dst, "account_number", p.AccountNumber)
	dst = appendText(dst, "phone", p.Phone)
	dst = appendText(dst, "fax", p.Fax)
	dst = appendText(dst, "email", p.Email)
	dst = appendText(dst, "website", p.Website)
	dst = appendAddress(dst, "billing", p.Billing)
	dst = appendAddress(dst, "shipping", p.Shipping)
	dst = appendText(dst, "currency", p.Currency)
	dst = appendText(dst, "terms_days", p.TermsDays)
	dst = appendText(dst, "tax_id", p.TaxID)
	if len(p.Types) > 0 {
		dst = append(dst, `,"types":`...)
		before := byte('[')
		for _, t := range p.Types {
			dst = appendString(append(dst, before), t)
			before = ','
		}
		dst = append(dst, ']')
	}
	return dst
}

func appendAddress(dst []byte, name string, a *Address) []byte {
	if a == nil {
		return dst
	}
	dst = append(appendName(dst, name), '{')
	from := len(dst)
	dst = appendText(dst, "street", a.Street)
	dst = appendText(dst, "city", a.City)
	dst = appendText(dst, "state", a.State)
	dst = appendText(dst, "postal_code", a.PostalCode)
	dst = appendText(dst, "country", a.Country)
	if len(dst) > from { // the first member has a comma in front
		dst = append(dst[:from], dst[from+1:]...)
	}
	return append(dst, '}')
}

func appendRef(dst []byte, name string, r *Ref) []byte {
	if r == nil {
		return dst
	}
	dst = appendString(append(appendName(dst, name), `{"record_id":`...), string(r.RecordID))
	dst = appendString(append(dst, `,"entity":`...), string(r.Entity))
	dst = appendText(dst, "name", r.Name)
	return append(dst, '}')
}

// appendText appends a further member, if it is not empty.
func appendText(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return appendString(appendName(dst, name), value)
}

func appendName(dst []byte, name string) []byte {
	return append(append(append(dst, ',', '"'), name...), '"', ':')
}

func appendString(dst []byte, s string) []byte {
	at := len(dst)
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c < ' ' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' || c >= utf8.RuneSelf:
			library, _ := json.Marshal(s) // a string cannot fail
			return append(dst[:at], library...)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
