package canonical

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// scanner reads the JSON that [Append] writes, several times faster than the
// library does. Whatever else JSON may be (names nobody knows or in another
// case, nulls, names twice) it gives up on, and the library reads it.
type scanner struct {
	text string
	at   int
}

// fields reads the value of a member; false gives up.
type fields interface {
	field(s *scanner, name string) bool
}

func scan(body string, v any) bool {
	f, ok := v.(fields)
	if !ok {
		return false
	}
	s := scanner{text: body}
	return s.object(f) && s.at == len(s.text)
}

func (s *scanner) next(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) object(f fields) bool {
	if !s.next('{') {
		return false
	}
	if s.next('}') {
		return true
	}
	for {
		name, ok := s.name()
		if !ok || !s.next(':') || !f.field(s, name) {
			return false
		}
		switch {
		case s.next(','):
		case s.next('}'):
			return true
		default:
			return false
		}
	}
}

// list calls element for each of a list's.
func (s *scanner) list(element func() bool) bool {
	if !s.next('[') {
		return false
	}
	if s.next(']') {
		return true
	}
	for {
		if !element() {
			return false
		}
		switch {
		case s.next(','):
		case s.next(']'):
			return true
		default:
			return false
		}
	}
}

// name is string for a member's name. One with an escape is nobody's, and is cut
// into one that is nobody's either.
func (s *scanner) name() (string, bool) {
	if !s.next('"') {
		return "", false
	}
	n := strings.IndexByte(s.text[s.at:], '"')
	if n < 0 {
		return "", false
	}
	name := s.text[s.at : s.at+n]
	s.at += n + 1
	return name, true
}

func (s *scanner) string(v *string) bool {
	if !s.next('"') {
		return false
	}
	from, escaped, ascii := s.at, false, true
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '"':
			raw := s.text[from:s.at]
			s.at++
			if !ascii && !utf8.ValidString(raw) {
				return false
			}
			if !escaped {
				*v = raw
				return true
			}
			return unescape(raw, v)
		case c < ' ':
			return false
		case c == '\\':
			escaped = true
			s.at++
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return false
}

// unescape knows the escapes of one letter; the library knows them all.
func unescape(raw string, v *string) bool {
	var b strings.Builder
	b.Grow(len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '\\' {
			i++
			at := strings.IndexByte(`"\/bfnrt`, raw[i])
			if at < 0 {
				return json.Unmarshal([]byte(`"`+raw+`"`), v) == nil
			}
			c = "\"\\/\b\f\n\r\t"[at]
		}
		b.WriteByte(c)
	}
	*v = b.String()
	return true
}

// text is string for types of text.
func text[T ~string](s *scanner, v *T) bool {
	var t string
	if !s.string(&t) {
		return false
	}
	*v = T(t)
	return true
}

func (s *scanner) texts(v *[]string) bool {
	if *v != nil {
		return false
	}
	out := make([]string, 0, 4)
	ok := s.list(func() bool {
		out = append(out, "")
		return s.string(&out[len(out)-1])
	})
	*v = out
	return ok
}

func (s *scanner) money(v *Money) bool {
	var t string
	if !s.string(&t) {
		return false
	}
	m, err := ParseMoney(t)
	*v = m
	return err == nil
}

func (s *scanner) moneyAt(v **Money) bool {
	if *v != nil {
		return false
	}
	*v = new(Money)
	return s.money(*v)
}

func (s *scanner) ref(v **Ref) bool {
	if *v != nil {
		return false
	}
	*v = new(Ref)
	return s.object(*v)
}

func (s *scanner) address(v **Address) bool {
	if *v != nil {
		return false
	}
	*v = new(Address)
	return s.object(*v)
}

func (s *scanner) lines(v *[]Line) bool {
	if *v != nil {
		return false
	}
	out := make([]Line, 0, 4)
	ok := s.list(func() bool {
		out = append(out, Line{})
		return s.object(&out[len(out)-1])
	})
	*v = out
	return ok
}

func (r *Ref) field(s *scanner, name string) bool {
	switch name {
	case "record_id":
		return text(s, &r.RecordID)
	case "entity":
		return text(s, &r.Entity)
	case "name":
		return s.string(&r.Name)
	}
	return false
}

func (a *Address) field(s *scanner, name string) bool {
	switch name {
	case "street":
		return s.string(&a.Street)
	case "city":
		return s.string(&a.City)
	case "state":
		return s.string(&a.State)
	case "postal_code":
		return s.string(&a.PostalCode)
	case "country":
		return s.string(&a.Country)
	}
	return false
}

func (p *Party) field(s *scanner, name string) bool {
	switch name {
	case "source_id":
		return s.string(&p.SourceID)
	case "name":
		return s.string(&p.Name)
	case "dba_name":
		return s.string(&p.DBAName)
	case "account_number":
		return s.string(&p.AccountNumber)
	case "phone":
		return s.string(&p.Phone)
	case "fax":
		return s.string(&p.Fax)
	case "email":
		return s.string(&p.Email)
	case "website":
		return s.string(&p.Website)
	case "billing":
		return s.address(&p.Billing)
	case "shipping":
		return s.address(&p.Shipping)
	case "currency":
		return s.string(&p.Currency)
	case "terms_days":
		return s.string(&p.TermsDays)
	case "tax_id":
		return s.string(&p.TaxID)
	case "types":
		return s.texts(&p.Types)
	}
	return false
}

func (v *Vendor) field(s *scanner, name string) bool {
	switch name {
	case "mc_number":
		return s.string(&v.MCNumber)
	case "dot_number":
		return s.string(&v.DOTNumber)
	case "remit_to":
		return s.ref(&v.RemitTo)
	}
	return v.Party.field(s, name)
}

func (c *Customer) field(s *scanner, name string) bool {
	if name == "bill_to" {
		return s.ref(&c.BillTo)
	}
	return c.Party.field(s, name)
}

func (c *Contact) field(s *scanner, name string) bool {
	switch name {
	case "source_id":
		return s.string(&c.SourceID)
	case "first_name":
		return s.string(&c.FirstName)
	case "last_name":
		return s.string(&c.LastName)
	case "email":
		return s.string(&c.Email)
	case "phone":
		return s.string(&c.Phone)
	case "title":
		return s.string(&c.Title)
	case "account":
		return s.ref(&c.Account)
	case "address":
		return s.address(&c.Address)
	}
	return false
}

func (l *Load) field(s *scanner, name string) bool {
	switch name {
	case "source_id":
		return s.string(&l.SourceID)
	case "number":
		return s.string(&l.Number)
	case "status":
		return s.string(&l.Status)
	case "customer":
		return s.ref(&l.Customer)
	case "bill_to":
		return s.ref(&l.BillTo)
	case "carrier":
		return s.ref(&l.Carrier)
	case "order_number":
		return s.string(&l.OrderNumber)
	case "po_number":
		return s.string(&l.PONumber)
	case "order_date":
		return s.string(&l.OrderDate)
	case "ship_date":
		return s.string(&l.ShipDate)
	case "delivery_date":
		return s.string(&l.DeliveryDate)
	case "mode":
		return s.string(&l.Mode)
	case "weight":
		return s.string(&l.Weight)
	case "weight_units":
		return s.string(&l.WeightUnits)
	case "revenue":
		return s.moneyAt(&l.Revenue)
	case "cost":
		return s.moneyAt(&l.Cost)
	case "currency":
		return s.string(&l.Currency)
	}
	return false
}

func (l *Line) field(s *scanner, name string) bool {
	switch name {
	case "kind":
		return s.string(&l.Kind)
	case "description":
		return s.string(&l.Description)
	case "quantity":
		return s.string(&l.Quantity)
	case "unit_price":
		return s.moneyAt(&l.UnitPrice)
	case "amount":
		return s.money(&l.Amount)
	}
	return false
}

func (i *Invoice) field(s *scanner, name string) bool {
	switch name {
	case "source_id":
		return s.string(&i.SourceID)
	case "number":
		return s.string(&i.Number)
	case "status":
		return s.string(&i.Status)
	case "customer":
		return s.object(&i.Customer)
	case "load":
		return s.ref(&i.Load)
	case "load_number":
		return s.string(&i.LoadNumber)
	case "date":
		return s.string(&i.Date)
	case "due_date":
		return s.string(&i.DueDate)
	case "currency":
		return s.string(&i.Currency)
	case "total":
		return s.money(&i.Total)
	case "tax":
		return s.money(&i.Tax)
	case "lines":
		return s.lines(&i.Lines)
	}
	return false
}

func (b *Bill) field(s *scanner, name string) bool {
	switch name {
	case "source_id":
		return s.string(&b.SourceID)
	case "number":
		return s.string(&b.Number)
	case "status":
		return s.string(&b.Status)
	case "vendor":
		return s.object(&b.Vendor)
	case "remit_to":
		return s.ref(&b.RemitTo)
	case "load":
		return s.ref(&b.Load)
	case "load_number":
		return s.string(&b.LoadNumber)
	case "date":
		return s.string(&b.Date)
	case "due_date":
		return s.string(&b.DueDate)
	case "currency":
		return s.string(&b.Currency)
	case "total":
		return s.money(&b.Total)
	case "lines":
		return s.lines(&b.Lines)
	}
	return false
}
