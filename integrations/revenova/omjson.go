package revenova

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// splitOMJSON reads what converters make of an outbound message: envelope or
// not, prefixes or not, elements as lists or not, names in lower case or not,
// or everything in one flat object. False means it is none of them.
func splitOMJSON(root gjson.Result, m members, d *integration.Delivery) bool {
	if isFlat(m) {
		payload := m.without(root, isSessionName)
		d.Events = append(d.Events, integration.Event{
			LocalID: normalID(m.squashed("objectid").String()),
			EventID: m.squashed("messageid").String(),
			Format:  formatOMJSON, ContentType: typeJSON, Payload: bytesOf(payload),
		})
		return true
	}
	found, nodes, organization := notifications(root, m)
	if !found {
		return false
	}
	d.Organization = normalID(organization)
	for _, n := range nodes {
		var room [usualMembers]namedValue
		in := membersInto(room[:0], n)
		e := integration.Event{Format: formatOMJSON, ContentType: typeJSON, Payload: bytesOf(in.without(n, isSessionName))}
		if object, ok := onlyObject(in.get("sobject")); ok {
			e.LocalID = normalID(scalar(member(object, "id")))
			e.EventID = scalar(in.get("id"))
		}
		d.Events = append(d.Events, e)
	}
	return true
}

// notifications finds the notification nodes under an envelope, a body, a
// notifications or a notification member, or root itself.
func notifications(root gjson.Result, m members) (found bool, nodes []gjson.Result, organization string) {
	if !isWrapped(m) {
		return notificationsIn(nil, root, m)
	}
	at := []gjson.Result{root}
	for _, name := range wrappers() {
		var inner []gjson.Result
		for _, n := range at {
			inner = append(inner, list(member(n, name))...)
		}
		if len(inner) > 0 {
			at, found = inner, true
		}
	}
	for _, n := range at {
		here, more, its := notificationsIn(nodes, n, membersOf(n))
		found, nodes = found || here, more
		if organization == "" {
			organization = its
		}
	}
	return found, nodes, organization
}

// notificationsIn looks at one object, whose members m are.
func notificationsIn(nodes []gjson.Result, n gjson.Result, m members) (found bool, all []gjson.Result, organization string) {
	organization = scalar(m.get("organizationid"))
	v := m.get("notification")
	switch {
	case v.IsObject(): // as nearly always
		return true, append(nodes, v), organization
	case v.Exists():
		return true, append(nodes, list(v)...), organization
	case m.get("sobject").Exists():
		return true, append(nodes, n), organization
	}
	return false, nodes, organization
}

// wrappers are what may stand around notifications, outermost first.
func wrappers() [3]string { return [3]string{"envelope", "body", "notifications"} }

func isWrapped(m members) bool {
	for _, name := range wrappers() {
		if m.get(name).Exists() {
			return true
		}
	}
	return false
}

// list is a value's objects: a converter makes one element an object, several a
// list, or each a list.
func list(v gjson.Result) []gjson.Result {
	switch {
	case v.IsObject():
		return []gjson.Result{v}
	case v.IsArray():
		var out []gjson.Result
		for _, e := range v.Array() {
			if e.IsObject() {
				out = append(out, e)
			}
		}
		return out
	}
	return nil
}

// onlyObject is the one object of a value.
func onlyObject(v gjson.Result) (gjson.Result, bool) {
	if v.IsObject() {
		return v, true
	}
	if objects := list(v); len(objects) == 1 {
		return objects[0], true
	}
	return gjson.Result{}, false
}

// scalar is the text of an element.
func scalar(v gjson.Result) string { return fieldOf("", v).Value }

func isSessionName(local string) bool {
	return local != "" && (local[0]|0x20 == 's' || local[0] == '_') && squash(local) == "sessionid"
}

// isFlat recognises {type, object_id, message_id, <fields>}.
func isFlat(m members) bool {
	return m.squashed("type").Type == gjson.String && m.squashed("objectid").Exists()
}

// squash makes camelCase, snake_case and lower case the same.
func squash(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

func observeOMJSON(payload string, room []record.Field) (integration.Observation, error) {
	if o, ok := observePlain(payload, room); ok {
		return o, nil
	}
	return observeAnyOMJSON(payload)
}

func observeAnyOMJSON(payload string) (integration.Observation, error) {
	var o integration.Observation
	root, err := object(payload)
	if err != nil {
		return o, err
	}
	m := membersOf(root)
	if isFlat(m) {
		return observeFlat(root)
	}
	_, nodes, _ := notifications(root, m)
	if len(nodes) != 1 {
		return o, fmt.Errorf("%w: %d notifications in the payload, not one", errJSON, len(nodes))
	}
	sobject := m.get("sobject")
	if len(nodes[0].Raw) != len(root.Raw) { // the notification stands inside
		sobject = member(nodes[0], "sobject")
	}
	objects := list(sobject)
	if len(objects) != 1 {
		return o, fmt.Errorf("%w: %d sObjects in the notification, not one", errJSON, len(objects))
	}
	lowered := false
	o.Fields = make([]record.Field, 0, usualFields)
	objects[0].ForEach(func(key, value gjson.Result) bool {
		name := key.String()
		if isAttributes(name) {
			if t := attribute(value, "type"); t != "" {
				o.EntityType = entityType(localName(t))
			}
			return true
		}
		if attr, ok := prefixedAttribute(name); ok {
			if attr == "type" {
				o.EntityType = entityType(localName(value.String()))
			}
			return true
		}
		f := fieldOf(localName(name), value)
		lowered = lowered || f.Name == "id"
		o.Fields = append(o.Fields, f)
		return true
	})
	if lowered { // express-xml-bodyparser
		known := knownFields(strings.ToLower)
		for i := range o.Fields {
			if name, ok := known[o.Fields[i].Name]; ok {
				o.Fields[i].Name = name
			}
		}
	}
	return finish(o)
}

// usualFields is room for what an outbound message usually has.
const usualFields = 48

func observeFlat(root gjson.Result) (integration.Observation, error) {
	var o integration.Observation
	known := knownFields(squash)
	root.ForEach(func(key, value gjson.Result) bool {
		name := localName(key.String())
		switch squash(name) {
		case "type":
			if o.EntityType == "" && value.Type == gjson.String {
				o.EntityType = entityType(localName(value.String()))
				return true
			}
		case "messageid":
			return true
		case "objectid":
			name = "Id"
		}
		f := fieldOf(name, value)
		if full, ok := known[squash(name)]; ok {
			f.Name = full
		}
		o.Fields = append(o.Fields, f)
		return true
	})
	return finish(o)
}

// isAttributes recognises the member under which converters keep an element's
// attributes.
func isAttributes(name string) bool {
	switch name {
	case "$", "@", "-", "attributes", "_attributes", "$attributes", "@attributes":
		return true
	}
	return false
}

// prefixedAttribute recognises attributes kept beside the elements, and an
// xsi:type kept as if it were one.
func prefixedAttribute(name string) (string, bool) {
	if strings.HasPrefix(name, "xmlns") || strings.HasPrefix(name, "xsi:") {
		return localName(name), true
	}
	if len(name) > 1 && (name[0] == '@' || name[0] == '-') {
		return localName(name[1:]), true
	}
	return "", false
}

// attribute finds an attribute by its local name.
func attribute(attributes gjson.Result, name string) string {
	return member(attributes, name).String()
}

// fieldOf reads an element as a converter wrote it.
func fieldOf(name string, v gjson.Result) record.Field {
	if v.IsArray() {
		if items := v.Array(); len(items) == 1 { // xml2js makes every element a list
			v = items[0]
		}
	}
	switch v.Type {
	case gjson.Null:
		return record.Field{Name: name, Kind: record.KindNull}
	case gjson.True, gjson.False:
		return record.Field{Name: name, Kind: record.KindBool, Value: v.Raw}
	case gjson.Number:
		return record.Field{Name: name, Kind: record.KindNumber, Value: v.Raw}
	case gjson.String:
		return record.Field{Name: name, Kind: record.KindText, Value: v.String()}
	case gjson.JSON:
	}
	if v.IsObject() {
		if text, isNil, ok := elementOf(v); ok {
			if isNil {
				return record.Field{Name: name, Kind: record.KindNull}
			}
			return record.Field{Name: name, Kind: record.KindText, Value: text}
		}
	}
	return record.Field{Name: name, Kind: record.KindJSON, Value: v.Raw}
}

// elementOf reads an object that stands for one element: its text and its
// attributes, nothing else.
func elementOf(v gjson.Result) (text string, isNil, ok bool) {
	ok = true
	attributes := false
	v.ForEach(func(key, value gjson.Result) bool {
		name := key.String()
		attr, prefixed := prefixedAttribute(name)
		switch {
		case isAttributes(name) && value.IsObject():
			attributes = true
			isNil = isNil || truth(attribute(value, "nil"))
		case prefixed:
			attributes = true
			isNil = isNil || attr == "nil" && truth(value.String())
		case name == "_" || name == "#text" || name == "$t" || name == "_text":
			text, attributes = value.String(), true
		default:
			ok = false
		}
		return ok
	})
	return text, isNil, ok && attributes
}

func truth(s string) bool { return s == "true" || s == "1" }
