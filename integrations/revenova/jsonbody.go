package revenova

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/fluxnex/fluxnex/pkg/integration"
)

// splitJSON splits the usual form in one pass.
func splitJSON(body string) (integration.Delivery, error) {
	if d, ok := splitPlain(body); ok {
		return d, nil
	}
	return splitAny(body)
}

// splitAny recognises which of the JSON forms a body holds: one event, a list
// of them, or a wrapper around either.
func splitAny(body string) (integration.Delivery, error) {
	var d integration.Delivery
	root, err := parseJSON(body)
	if err != nil {
		return d, err
	}
	if root.IsArray() {
		for _, item := range root.Array() {
			if !splitItem(item, &d, 0) {
				d.Events = append(d.Events, unreadable(item))
			}
		}
		return d, nil
	}
	var room [usualMembers]namedValue
	m := membersInto(room[:0], root)
	if soap, ok := wrappedSOAP(m); ok {
		return splitSOAP(soap)
	}
	if !root.IsObject() || !splitObject(root, m, &d, 0) {
		return d, errNotOurs
	}
	return d, nil
}

// unreadable keeps an item of a list that is no event we know.
func unreadable(item gjson.Result) integration.Event {
	return integration.Event{Format: formatOMJSON, ContentType: typeJSON, Payload: bytesOf(withoutSession(item.Raw))}
}

// wrappedSOAP unwraps what an API gateway made of the request: the SOAP message
// as a string beside headers and query, which hold the sender's credentials.
func wrappedSOAP(root members) (string, bool) {
	body := root.get("body")
	if body.Type != gjson.String {
		return "", false
	}
	text := body.String()
	if root.get("isbase64encoded").Bool() {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return "", false
		}
		text = string(raw)
	}
	return text, strings.HasPrefix(strings.TrimLeft(strings.TrimPrefix(text, "\uFEFF"), " \t\r\n"), "<")
}

// splitItem adds the events of one object; false means it is none we know.
func splitItem(item gjson.Result, d *integration.Delivery, depth int) bool {
	if !item.IsObject() || depth > 4 {
		return false
	}
	return splitObject(item, membersOf(item), d, depth)
}

func splitObject(item gjson.Result, m members, d *integration.Delivery, depth int) bool {
	if m.get("ChangeEventHeader").IsObject() {
		return splitCDC(item, "", d)
	}
	if m.get("attributes").IsObject() && m.get("id").Exists() {
		d.Events = append(d.Events, integration.Event{
			LocalID: normalID(m.get("id").String()), Format: formatREST,
			ContentType: typeJSON, Payload: bytesOf(item.Raw),
		})
		return true
	}
	if splitOMJSON(item, m, d) {
		return true
	}
	if splitAccounting(item, "", d) {
		return true
	}
	if records := m.get("records"); records.IsArray() { // of a query
		for _, r := range records.Array() {
			if !splitItem(r, d, depth+1) {
				d.Events = append(d.Events, unreadable(r))
			}
		}
		return true
	}
	// The streaming API's wrappers: {"data":{"payload":…}}, {"payload":…}.
	if payload := m.get("payload"); payload.IsObject() {
		id := payload.Get("EventUuid").String()
		if id == "" {
			id = item.Get("event.EventUuid").String()
		}
		if member(payload, "ChangeEventHeader").IsObject() {
			return splitCDC(payload, id, d)
		}
		return splitAccounting(payload, id, d)
	}
	if data := m.get("data"); data.IsObject() {
		return splitItem(data, d, depth+1)
	}
	return false
}

// member finds a member whatever its prefix and case: converters drop the one
// and change the other.
func member(obj gjson.Result, name string) gjson.Result {
	var out gjson.Result
	obj.ForEach(func(key, value gjson.Result) bool {
		if strings.EqualFold(localName(key.String()), name) {
			out = value
			return false
		}
		return true
	})
	return out
}

// members are those of an object that is asked for many of them: each search of
// the text itself would walk over everything that is nested in it.
type members []namedValue

type namedValue struct {
	quoted string // the name as it is written
	local  string // without its prefix
	value  gjson.Result
}

// usualMembers is room for what surrounds the fields of a record.
const usualMembers = 4

func membersOf(obj gjson.Result) members { return membersInto(make(members, 0, 2*usualMembers), obj) }

// membersInto uses the room that the caller has.
func membersInto(out members, obj gjson.Result) members {
	if obj.IsObject() {
		obj.ForEach(func(key, value gjson.Result) bool {
			out = append(out, namedValue{key.Raw, localName(key.String()), value})
			return true
		})
	}
	return out
}

// get is member on what was found before.
func (m members) get(name string) gjson.Result {
	for i := range m {
		if strings.EqualFold(m[i].local, name) {
			return m[i].value
		}
	}
	return gjson.Result{}
}

// squashed finds a name whatever its underscores and case.
func (m members) squashed(name string) gjson.Result {
	for i := range m {
		if squash(m[i].local) == name {
			return m[i].value
		}
	}
	return gjson.Result{}
}

// localName is a name without its prefix.
func localName(name string) string {
	return name[strings.LastIndexByte(name, ':')+1:]
}

// without is the text of the object that m are the members of, without those to
// drop by their local names; the rest stays verbatim.
func (m members) without(obj gjson.Result, drop func(local string) bool) string {
	if !slices.ContainsFunc(m, func(v namedValue) bool { return drop(v.local) }) {
		return obj.Raw
	}
	var b strings.Builder
	b.WriteByte('{')
	for _, v := range m {
		if drop(v.local) {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.WriteString(v.quoted)
		b.WriteByte(':')
		b.WriteString(v.value.Raw)
	}
	b.WriteByte('}')
	return b.String()
}

// object reads a payload that must be one JSON object.
func object(payload string) (gjson.Result, error) {
	root, err := parseJSON(payload)
	if err != nil {
		return root, err
	}
	if !root.IsObject() {
		return root, fmt.Errorf("%w: the payload is no object", errJSON)
	}
	return root, nil
}
