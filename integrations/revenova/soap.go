package revenova

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

const (
	nsOutbound = "http://soap.sforce.com/2005/09/outbound"
	nsXSI      = "http://www.w3.org/2001/XMLSchema-instance"
)

// splitSOAP cuts an outbound message into its notifications. Each becomes a
// document of its own: the bytes of the element, with the namespaces declared
// that the message around it declared.
func splitSOAP(body string) (integration.Delivery, error) {
	var d integration.Delivery
	s, err := newXMLScanner(body)
	if err != nil {
		return d, err
	}
	found := false
	for {
		kind, err := s.next()
		if err != nil {
			return d, err
		}
		if kind == xmlEOF {
			break
		}
		if kind != xmlStart {
			continue
		}
		uri, local, err := s.element()
		if err != nil {
			return d, err
		}
		if uri == nsOutbound && local == "notifications" && s.depth() <= 3 {
			found = true
			if err := splitNotifications(s, &d); err != nil {
				return d, err
			}
		}
	}
	if !found {
		return d, errNotOurs
	}
	return d, nil
}

// splitNotifications reads <notifications>, whose start tag is current.
func splitNotifications(s *xmlScanner, d *integration.Delivery) error {
	depth := s.depth() - 1
	for {
		kind, err := s.next()
		if err != nil {
			return err
		}
		switch {
		case kind == xmlEnd && s.depth() == depth:
			return nil
		case kind != xmlStart:
			continue
		}
		uri, local, err := s.element()
		if err != nil {
			return err
		}
		switch {
		case uri == nsOutbound && local == "OrganizationId":
			text, err := s.content()
			if err != nil {
				return err
			}
			d.Organization = normalID(text)
		case uri == nsOutbound && local == "Notification":
			e, err := splitNotification(s)
			if err != nil {
				return err
			}
			d.Events = append(d.Events, e)
		default:
			if err := s.skip(); err != nil {
				return err
			}
		}
	}
}

// Room for one notification, with its namespaces, and for those alone.
const (
	usualNotification = 4 << 10
	usualScope        = 256
)

// splitNotification reads one <Notification>, whose start tag is current.
func splitNotification(s *xmlScanner) (integration.Event, error) {
	e := integration.Event{Format: formatSOAP, ContentType: typeXML}
	depth := s.depth() - 1
	payload := make([]byte, 0, min(len(s.doc)-s.start+usualScope, usualNotification))
	payload = append(payload, s.doc[s.start:s.nameEnd]...)
	payload = declareScope(payload, s)
	from := s.nameEnd // of what is not yet in payload
	ids := 0
	for {
		kind, err := s.next()
		if err != nil {
			return e, err
		}
		if kind == xmlEnd && s.depth() == depth {
			e.Payload = append(payload, s.doc[from:s.end]...)
			return e, nil
		}
		if kind != xmlStart {
			continue
		}
		uri, local, err := s.element()
		if err != nil {
			return e, err
		}
		switch level := s.depth() - depth; {
		case local == "SessionId" && uri == nsOutbound:
			inner := s.end
			if err := s.skip(); err != nil {
				return e, err
			}
			payload = append(payload, s.doc[from:inner]...)
			from = s.start
		case level == 2 && local == "Id" && uri == nsOutbound:
			if e.EventID, err = s.content(); err != nil {
				return e, err
			}
		case level == 2 && local == "sObject" && uri == nsOutbound:
		case level == 3 && local == "Id" && uri != nsOutbound:
			text, err := s.content()
			if err != nil {
				return e, err
			}
			// Two sObjects in one notification: nobody knows whose event it is.
			if ids++; ids == 1 {
				e.LocalID = normalID(text)
			} else if normalID(text) != e.LocalID {
				e.LocalID = ""
			}
		default:
			if err := s.skip(); err != nil {
				return e, err
			}
		}
	}
}

// declareScope adds the namespaces in scope that the current start tag does
// not declare itself.
func declareScope(b []byte, s *xmlScanner) []byte {
	outside := s.bindings[:s.open[len(s.open)-1].bindings]
	own := s.bindings[len(outside):]
	for i, x := range slices.Backward(outside) {
		if bound(own, x.prefix) || bound(outside[i+1:], x.prefix) {
			continue
		}
		b = append(b, " xmlns"...)
		if x.prefix != "" {
			b = append(append(b, ':'), x.prefix...)
		}
		b = append(append(b, '=', x.quote), x.uri...)
		b = append(b, x.quote)
	}
	return b
}

func bound(bs []xmlBinding, prefix string) bool {
	for _, b := range bs {
		if b.prefix == prefix {
			return true
		}
	}
	return false
}

// observeSOAP reads what splitNotification made.
func observeSOAP(payload string) (integration.Observation, error) {
	var o integration.Observation
	s, err := newXMLScanner(payload)
	if err != nil {
		return o, err
	}
	objects := 0
	for {
		kind, err := s.next()
		if err != nil {
			return o, err
		}
		if kind == xmlEOF {
			break
		}
		if kind != xmlStart {
			continue
		}
		uri, local, err := s.element()
		if err != nil {
			return o, err
		}
		if s.depth() == 1 && (uri != nsOutbound || local != "Notification") {
			return o, fmt.Errorf("%w: the payload is no Notification", errXML)
		}
		if s.depth() != 2 || uri != nsOutbound || local != "sObject" {
			continue
		}
		if objects++; objects > 1 {
			return o, fmt.Errorf("%w: two sObjects in one Notification", errXML)
		}
		if t, ok := s.attr(nsXSI, "type"); ok {
			_, name := splitName(strings.TrimSpace(t))
			o.EntityType = entityType(name)
		}
		if err := readSObject(s, &o); err != nil {
			return o, err
		}
	}
	if objects == 0 {
		return o, fmt.Errorf("%w: no sObject in the Notification", errXML)
	}
	return finish(o)
}

// readSObject reads the fields of <sObject>, whose start tag is current.
func readSObject(s *xmlScanner, o *integration.Observation) error {
	depth := s.depth() - 1
	o.Fields = make([]record.Field, 0, 32)
	for {
		kind, err := s.next()
		if err != nil {
			return err
		}
		switch {
		case kind == xmlEnd && s.depth() == depth:
			return nil
		case kind != xmlStart:
			continue
		}
		_, local, err := s.element()
		if err != nil {
			return err
		}
		nilled, _ := s.attr(nsXSI, "nil")
		f := record.Field{Name: local, Kind: record.KindText}
		if f.Value, err = s.content(); err != nil {
			return err
		}
		if nilled == "true" || nilled == "1" {
			f.Kind, f.Value = record.KindNull, ""
		}
		o.Fields = append(o.Fields, f)
	}
}
