package revenova

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func seeds(f *testing.F) {
	f.Helper()
	f.Add([]byte(message(accountXML("0015g00000AbCdE", "<sf:Name>A &amp; B</sf:Name><x:y xmlns:x='z'><![CDATA[q]]></x:y>"))))
	f.Add([]byte(`{"notification":{"sobject":{"$":{"xsi:type":"sf:Account"},"sf:Id":"x","sf:N":["1"]}}}`))
	f.Add([]byte(`[{"type":"sf:Account","object_id":"1","session_id":"s"},{"records":[{"attributes":{"type":"A"},"Id":"2"}]}]`))
	f.Add([]byte(`{"data":{"payload":{"a":{"Street":1},"ChangeEventHeader":{"entityName":"A","changeType":"UPDATE","recordIds":["1"],"changedFields":["b.c"]}}}}`))
	f.Add([]byte(`{"invoiceId":"1","vendorId":"2","charges":[{"chargeAmount":1.50}],"customFields":[{"fieldname":"X__c","value":1}]}`))
	f.Add([]byte(`{"body":"<a/>","isBase64Encoded":false}`))
}

// Whatever comes, splitting ends, ids are normal, and what was split can be read
// again.
func FuzzSplit(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		format, _ := webhook{}.Detect("", body)
		d, err := webhook{}.Split(format, body)
		if err != nil && len(d.Events) > 0 {
			t.Fatalf("%d events and %v", len(d.Events), err)
		}
		for _, e := range d.Events {
			if normalID(e.LocalID) != e.LocalID {
				t.Fatalf("id %q is not normal", e.LocalID)
			}
			o, err := replicator{}.Observe(e.Format, e.ContentType, e.Payload, nil)
			if err != nil && e.Format == formatSOAP && e.LocalID != "" && !errors.Is(err, errAmbiguous) {
				t.Fatalf("a notification of %q cannot be read alone: %v\n%s", e.LocalID, err, e.Payload)
			}
			for i := 1; i < len(o.Fields); i++ {
				if o.Fields[i-1].Name >= o.Fields[i].Name {
					t.Fatalf("fields are not sorted or not unique: %+v", o.Fields)
				}
			}
		}
	})
}

func FuzzObserve(f *testing.F) {
	for _, format := range []string{formatSOAP, formatOMJSON, formatAccounting, formatCDC, formatREST} {
		f.Add(format, []byte(`{"attributes":{"type":"A"},"Id":"1","x":[1,{"y":null}]}`))
	}
	f.Add(formatSOAP, []byte(`<Notification xmlns="http://soap.sforce.com/2005/09/outbound"><sObject><a>1</a></sObject></Notification>`))
	f.Fuzz(func(t *testing.T, format string, payload []byte) {
		o, err := replicator{}.Observe(format, "", payload, nil)
		if err != nil && (len(o.Fields) > 0 || o.EntityType != "") {
			t.Fatalf("an observation and %v", err)
		}
	})
}

// What our scanner takes, encoding/xml takes too, with the same tokens.
func FuzzXMLBudget(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		agrees(t, string(body), false)
		agrees(t, string(body), true)
	})
}

// agrees reads the tokens one by one, or the elements that hold one text at once.
func agrees(t *testing.T, body string, leaves bool) {
	t.Helper()
	s, err := newXMLScanner(body)
	if err != nil {
		return
	}
	var ours []string
	for {
		kind, err := s.next()
		if err != nil {
			return
		}
		if kind == xmlEOF {
			break
		}
		switch kind {
		case xmlStart:
			ours = append(ours, "<"+s.name)
			if !leaves {
				continue
			}
			if text, ok := s.leaf(); ok {
				ours = append(ours, text, ">"+s.name)
			}
		case xmlEnd:
			ours = append(ours, ">"+s.name)
		case xmlText:
			text, err := s.decoded()
			if err != nil {
				t.Fatalf("a text is not readable: %v", err)
			}
			ours = append(ours, text)
		case xmlEOF:
		}
		if s.depth() > maxXMLDepth || s.elements > maxXMLElements {
			t.Fatalf("over the budget: %d levels, %d elements", s.depth(), s.elements)
		}
	}
	dec := xml.NewDecoder(strings.NewReader(s.doc))
	var theirs []string
	for {
		tok, err := dec.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("encoding/xml refuses what we take: %v\n%q", err, s.doc)
		}
		switch k := tok.(type) {
		case xml.StartElement:
			theirs = append(theirs, "<"+joined(k.Name))
		case xml.EndElement:
			theirs = append(theirs, ">"+joined(k.Name))
		case xml.CharData:
			theirs = append(theirs, string(k))
		}
	}
	if a, b := strings.Join(ours, ""), strings.Join(theirs, ""); a != b {
		t.Fatalf("we read\n%q\nencoding/xml\n%q", a, b)
	}
}

func joined(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

// What we take, encoding/json takes too.
func FuzzJSONBudget(f *testing.F) {
	seeds(f)
	f.Add([]byte(`{"a":"\ud83d\ude00\n","A\u0301":-0.1e+5,"b":[true,false,null,{}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		root, err := parseJSON(string(body))
		if err == nil && !json.Valid([]byte(root.Raw)) {
			t.Fatalf("encoding/json refuses what we take: %q", body)
		}
	})
}

func BenchmarkOutboundMessage(b *testing.B) {
	var fields strings.Builder
	for _, name := range objectFields(typeAccount) {
		if name != "Id" {
			fields.WriteString("<sf:" + name + ">2026-11-24T11:00:00.000Z</sf:" + name + ">\n     ")
		}
	}
	body := []byte(message(accountXML("0015g00000AbCdE", fields.String())))
	d, err := webhook{}.Split(formatSOAP, body)
	if err != nil {
		b.Fatal(err)
	}
	payload := d.Events[0].Payload
	b.Run("split", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = webhook{}.Split(formatSOAP, body)
		}
	})
	b.Run("observe", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = replicator{}.Observe(formatSOAP, "", payload, nil)
		}
	})
	b.Run("encoding-xml-RawToken", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dec := xml.NewDecoder(strings.NewReader(string(payload)))
			for {
				if _, err := dec.RawToken(); err != nil {
					break
				}
			}
		}
	})
}
