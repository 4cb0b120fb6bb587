package revenova

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/fluxnex/fluxnex/pkg/integration"
)

// splitJSON recognises which of the JSON forms a body holds: one event, a list
// of them, or a wrapper around either.
func splitJSON(body string) (integration.Delivery, error) {
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
	if soap, ok := wrappedSOAP(membersOf(root)); ok {
		return splitSOAP(soap)
	}
	if !root.IsObject() || !splitItem(root, &d, 0) {
		return d, errNotOurs
	}
	return d, nil
}

// unreadable keeps an item of a list that is no event we know.
func unreadable(item gjson.Result) integration.Event {
	return integration.Event{Format: formatOMJSON, ContentType: typeJSON, Payload: []byte(withoutSession(item.Raw))}
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
	m := membersOf(item)
	if m.get("ChangeEventHeader").IsObject() {
		return splitCDC(item, "", d)
	}
	if m.get("attributes").IsObject() && m.get("id").Exists() {
		d.Events = append(d.Events, integration.Event{
			LocalID: normalID(m.get("id").String()), Format: formatREST,
			ContentType: typeJSON, Payload: []byte(item.Raw),
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
type members []struct {
	local string // without its prefix
	value gjson.Result
}

func membersOf(obj gjson.Result) members {
	out := make(members, 0, 8)
	if obj.IsObject() {
		obj.ForEach(func(key, value gjson.Result) bool {
			out = append(out, struct {
				local string
				value gjson.Result
			}{localName(key.String()), value})
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

// withoutMember cuts a member out of an object's text; the rest stays verbatim.
func withoutMember(obj gjson.Result, drop func(name string) bool) string {
	dropped := false
	obj.ForEach(func(key, _ gjson.Result) bool {
		dropped = drop(key.String())
		return !dropped
	})
	if !dropped {
		return obj.Raw
	}
	var b strings.Builder
	b.WriteByte('{')
	obj.ForEach(func(key, value gjson.Result) bool {
		if !drop(key.String()) {
			if b.Len() > 1 {
				b.WriteByte(',')
			}
			b.WriteString(key.Raw)
			b.WriteByte(':')
			b.WriteString(value.Raw)
		}
		return true
	})
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
