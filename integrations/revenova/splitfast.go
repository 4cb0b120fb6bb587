package revenova

import (
	"strings"
	"unicode/utf8"

	"github.com/fluxnex/fluxnex/pkg/integration"
)

// splitPlain splits a body with one notification in the form of observePlain
// while it checks it. Whatever else the body holds, and whatever is wrong with
// it, false leaves it to the splitter of all forms.
func splitPlain(body string) (integration.Delivery, bool) {
	var d integration.Delivery
	if !utf8.ValidString(body) {
		return d, false
	}
	var room [64]seenName
	c := jsonChecker{doc: body, names: room[:0]}
	e := integration.Event{Format: formatOMJSON, ContentType: typeJSON}
	from, to := 0, 0
	ok := c.members(func(name string) bool {
		if from > 0 || !strings.EqualFold(localName(name), "notification") {
			return false
		}
		from = c.pos
		found := c.splitNotification(&e)
		to = c.pos
		return found
	})
	if !ok || from == 0 || c.pos != len(body) {
		return d, false
	}
	e.Payload = bytesOf(body[from:to])
	d.Events = []integration.Event{e}
	return d, true
}

// splitNotification fails where something would have to be taken out.
func (c *jsonChecker) splitNotification(e *integration.Event) bool {
	found, eventID := false, false
	ok := c.members(func(name string) bool {
		local := localName(name)
		switch {
		case isSessionName(local):
			return false
		case !found && strings.EqualFold(local, "sobject"):
			found = true
			return c.splitObject(e)
		case !eventID && strings.EqualFold(local, "id"):
			id, ok := c.scalar("")
			e.EventID, eventID = id.Value, true
			return ok
		}
		return c.value(2) == nil
	})
	return ok && found
}

func (c *jsonChecker) splitObject(e *integration.Event) bool {
	found := false
	return c.members(func(name string) bool {
		if found || !strings.EqualFold(localName(name), "id") {
			return c.value(3) == nil
		}
		found = true
		id, ok := c.scalar("")
		e.LocalID = normalID(id.Value)
		return ok
	})
}
