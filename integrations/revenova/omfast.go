package revenova

import (
	"strings"
	"unicode/utf8"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// observePlain reads one notification in one pass: the form that xml2js and its
// like give, an sObject of scalars beside scalars, which is nearly all there is.
// Whatever else the document holds, and whatever is wrong with it, false leaves
// it to the reader of all forms.
func observePlain(doc string, room []record.Field) (integration.Observation, bool) {
	var o integration.Observation
	if !utf8.ValidString(doc) {
		return o, false
	}
	var names [64]seenName
	c := jsonChecker{doc: doc, names: names[:0]}
	found := false
	ok := c.members(func(name string) bool {
		switch localName(name) {
		case "sobject":
			if found {
				return false
			}
			found = true
			o.Fields = room[:0]
			return c.sobject(&o)
		case "organizationId", "OrganizationId", "Id", "ActionId", "EnterpriseUrl", "PartnerUrl":
			_, ok := c.scalar("")
			return ok
		}
		return false
	})
	if !ok || !found || c.pos != len(doc) {
		return o, false
	}
	o, err := finish(o)
	return o, err == nil
}

func (c *jsonChecker) sobject(o *integration.Observation) bool {
	if cap(o.Fields) == 0 {
		o.Fields = make([]record.Field, 0, plainFields)
	}
	return c.members(func(name string) bool {
		if isAttributes(name) {
			return c.attributes(o)
		}
		if _, ok := prefixedAttribute(name); ok || name == "" {
			return false
		}
		f, ok := c.scalar(localName(name))
		o.Fields = append(o.Fields, f)
		return ok && f.Name != "id" // a converter that made everything small
	})
}

// plainFields is room for what an outbound message usually has.
const plainFields = 40

func (c *jsonChecker) attributes(o *integration.Observation) bool {
	first := true
	return c.members(func(name string) bool {
		f, ok := c.scalar("")
		if ok && first && strings.EqualFold(localName(name), "type") {
			first = false
			if f.Kind != record.KindText {
				return false
			}
			if f.Value != "" {
				o.EntityType = entityType(localName(f.Value))
			}
		}
		return ok
	})
}

// members calls value at the value of each member of an object; it gives up on
// names that come twice and on more of them than a list is good for.
func (c *jsonChecker) members(value func(name string) bool) bool {
	if c.peek() != '{' {
		return false
	}
	c.pos++
	c.space()
	if c.peek() == '}' {
		c.pos++
		return true
	}
	outside := len(c.names)
	for len(c.names)-outside < maxListed {
		at := c.pos
		if c.peek() != '"' {
			return false
		}
		name, err := c.text()
		if err != nil || c.had(outside, name, at) {
			return false
		}
		c.space()
		if c.peek() != ':' {
			return false
		}
		c.pos++
		c.space()
		if !value(name) {
			return false
		}
		c.space()
		switch c.peek() {
		case ',':
			c.pos++
			c.space()
		case '}':
			c.pos++
			c.names = c.names[:outside]
			return true
		default:
			return false
		}
	}
	return false
}

// scalar reads a value as fieldOf does.
func (c *jsonChecker) scalar(name string) (record.Field, bool) {
	from := c.pos
	switch b := c.peek(); {
	case b == '"':
		text, err := c.text()
		return record.Field{Name: name, Kind: record.KindText, Value: text}, err == nil
	case b == '-' || b >= '0' && b <= '9':
		err := c.number()
		return record.Field{Name: name, Kind: record.KindNumber, Value: c.doc[from:c.pos]}, err == nil
	case strings.HasPrefix(c.doc[from:], "true"), strings.HasPrefix(c.doc[from:], "false"):
		c.pos += len("false")
		if b == 't' {
			c.pos--
		}
		return record.Field{Name: name, Kind: record.KindBool, Value: c.doc[from:c.pos]}, true
	case strings.HasPrefix(c.doc[from:], "null"):
		c.pos += len("null")
		return record.Field{Name: name, Kind: record.KindNull}, true
	}
	return record.Field{}, false
}
