package revenova

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

const session = "00D5g000004xYzA!AQcAQPlantedSessionToken"

// message is an outbound message in the envelope Salesforce sends.
func message(notifications ...string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
   <OrganizationId>00D5g000004xYzA</OrganizationId>
   <ActionId>04k5g000000TSwMAAW</ActionId>
   <SessionId>` + session + `</SessionId>
   <EnterpriseUrl>https://x.my.salesforce.com/services/Soap/c/61.0/00D5g000004xYzA</EnterpriseUrl>
   ` + strings.Join(notifications, "\n   ") + `
  </notifications>
 </soapenv:Body>
</soapenv:Envelope>`
}

func notification(n int, object, fields string) string {
	return fmt.Sprintf(`<Notification>
    <Id>04l5g%012dAA</Id>
    <sObject xsi:type="sf:%s" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">
     %s
    </sObject>
   </Notification>`, n, object, fields)
}

func accountXML(id, more string) string {
	return notification(1, "Account", "<sf:Id>"+id+"</sf:Id>"+more)
}

func value(o integration.Observation, name string) record.Field {
	for _, f := range o.Fields {
		if f.Name == name {
			return f
		}
	}
	return record.Field{}
}

// only splits a body that holds one event and observes it.
func only(t *testing.T, body string) (integration.Event, integration.Observation) {
	t.Helper()
	d := split(t, "", []byte(body))
	if len(d.Events) != 1 {
		t.Fatalf("%d events in %s", len(d.Events), body)
	}
	return d.Events[0], observe(t, d.Events[0])
}

func TestFifteenAndEighteenCharacterIDsAreOneRecord(t *testing.T) {
	for in, want := range map[string]string{
		"70130000001tcyI":        "70130000001tcyIAAQ",
		"70130000001tcyIAAQ":     "70130000001tcyIAAQ",
		"70130000001TCYIAAQ":     "70130000001tcyIAAQ", // a tool made it upper case
		"70130000001tcyiaaq":     "70130000001tcyIAAQ",
		" 70130000001tcyI\n":     "70130000001tcyIAAQ",
		"1js8dje8dje9dke9eq":     "1js8dje8dje9dke9eq", // a placeholder of the documentation
		"sf-acc-001":             "sf-acc-001",
		"":                       "",
		strings.Repeat("x", 2e3): "",
	} {
		if got := normalID(in); got != want {
			t.Errorf("normalID(%.40q) = %q, want %q", in, got, want)
		}
	}
	d := split(t, "text/xml", []byte(message(accountXML("0015g00000AbCdE", ""))))
	if d.Organization != normalID("00D5g000004xYzA") || len(d.Organization) != 18 || d.Events[0].LocalID != normalID("0015g00000AbCdE") {
		t.Errorf("organization %q, record %q", d.Organization, d.Events[0].LocalID)
	}
}

func TestAMessageOfAHundredIsAHundredEvents(t *testing.T) {
	var all []string
	for i := range 100 {
		all = append(all, notification(i, "Account", fmt.Sprintf("<sf:Id>0015g00000%05d</sf:Id><sf:Name>N%d</sf:Name>", i, i)))
	}
	all[50] = notification(50, "Account", "<sf:Name>has no id</sf:Name>")
	d := split(t, "text/xml", []byte(message(all...)))
	if len(d.Events) != 100 {
		t.Fatalf("%d events", len(d.Events))
	}
	for i, e := range d.Events {
		if (e.LocalID == "") != (i == 50) {
			t.Errorf("event %d has record %q", i, e.LocalID)
		}
		if o := observe(t, e); i != 50 && value(o, "Name").Value != fmt.Sprintf("N%d", i) {
			t.Errorf("event %d: %+v", i, o.Fields)
		}
	}
}

func TestSessionIsNeverStored(t *testing.T) {
	inJSON := strings.ReplaceAll(strings.ReplaceAll(message(accountXML("0015g00000AbCdE", "")), `"`, `\"`), "\n", `\n`)
	for name, body := range map[string]string{
		"outbound message":      message(accountXML("0015g00000AbCdE", "")),
		"malformed message":     message("<Notification>"),
		"inside a notification": message("<Notification><SessionId>" + session + "</SessionId><Id>04l</Id><sObject/></Notification>"),
		"as CDATA":              strings.Replace(message(), ">"+session, "><![CDATA["+session+"]]>", 1),
		"gateway wrapper":       `{"queryStringParameters":{"apiToken":"secret"},"body":"` + inJSON + `"}`,
		"malformed wrapper":     `{"body":"` + inJSON,
		"escaped slashes":       `{"x":"` + strings.ReplaceAll(inJSON, "/", `\/`) + `"`,
		"escaped brackets":      `{"x":"` + strings.NewReplacer("<", `\u003c`, ">", `\u003e`).Replace(inJSON) + `"`,
		"xml2js":                `{"notifications":{"SessionId":["` + session + `"],"Notification":{"sObject":{"Id":"x"}}}}`,
		"lower case":            `{"notifications":[{"sessionid":"` + session + `","notification":[{"sobject":[{"sf:id":["x"]}]}]}]}`,
		"flat":                  `{"type":"sf:Account","object_id":"x","session_id":"` + session + `"}`,
		"malformed JSON":        `{"SessionId": "` + session,
	} {
		t.Run(name, func(t *testing.T) {
			format, _ := webhook{}.Detect("", []byte(body))
			d, err := webhook{}.Split(format, []byte(body))
			stored := [][]byte{d.Sanitized}
			for _, e := range d.Events {
				stored = append(stored, e.Payload)
			}
			for _, s := range stored {
				if bytes.Contains(s, []byte("Planted")) {
					t.Errorf("stored: %s", s)
				}
			}
			if err != nil && len(d.Sanitized) == 0 {
				t.Error("nothing is stored")
			}
		})
	}
}

func TestAPayloadCanBeReadAlone(t *testing.T) {
	e, o := only(t, message(accountXML("0015g00000AbCdE", `<sf:Phone xsi:nil="true"/><sf:Name>Acme &amp; Söhne</sf:Name>`)))
	if err := xml.Unmarshal(e.Payload, new(struct{})); err != nil {
		t.Errorf("the payload is no document: %v\n%s", err, e.Payload)
	}
	if o.EntityType != "sf_account" || value(o, "Phone").Kind != record.KindNull || value(o, "Name").Value != "Acme & Söhne" {
		t.Errorf("%+v", o)
	}
	if !bytes.Contains(e.Payload, []byte(`<sf:Name>Acme &amp; Söhne</sf:Name>`)) {
		t.Errorf("the notification's bytes were changed: %s", e.Payload)
	}
}

func TestPrefixesAreArbitraryAndNamespacesAreNot(t *testing.T) {
	body := `<S:Envelope xmlns:S='http://schemas.xmlsoap.org/soap/envelope/' xmlns:i='http://www.w3.org/2001/XMLSchema-instance' xmlns:o='http://soap.sforce.com/2005/09/outbound' xmlns:ns1='urn:sobject.enterprise.soap.sforce.com'>` +
		`<S:Body><o:notifications><o:Notification><o:Id>04l</o:Id><o:sObject i:type='ns1:rtms__Load__c'><ns1:Id>a0L5g000000AaaA</ns1:Id>` +
		`<ns1:Note__c>sf:Account</ns1:Note__c></o:sObject></o:Notification></o:notifications></S:Body></S:Envelope>`
	e, o := only(t, body)
	if e.EventID != "04l" || o.EntityType != "sf_rtms__load__c" || value(o, "Note__c").Value != "sf:Account" {
		t.Errorf("%+v %+v", e, o)
	}
	foreign := strings.ReplaceAll(body, "http://soap.sforce.com/2005/09/outbound", "urn:somebody-else")
	if d, err := (webhook{}).Split(formatSOAP, []byte(foreign)); err == nil {
		t.Errorf("a message of another namespace was split: %+v", d)
	}
}

func TestFormsOfTheProlog(t *testing.T) {
	body := message(accountXML("0015g00000AbCdE", "<sf:Name>A</sf:Name>"))
	bare := body[strings.Index(body, "?>")+2:]
	for name, b := range map[string]string{
		"byte order mark": "\uFEFF" + body, "blank line first": "\r\n \n" + body, "no prolog": bare,
		"lower-case encoding": strings.Replace(body, "UTF-8", "utf-8", 1), "comment": "<!-- x -->" + bare,
	} {
		t.Run(name, func(t *testing.T) {
			if e, _ := only(t, b); e.LocalID == "" {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestValuesSurviveByteForByte(t *testing.T) {
	_, o := only(t, message(accountXML("0015g00000AbCdE", `<sf:BillingPostalCode>04001</sf:BillingPostalCode><sf:Empty__c></sf:Empty__c>`+
		`<sf:Html__c>&lt;br&gt;</sf:Html__c><sf:Cdata__c><![CDATA[<b> & </b>]]> tail</sf:Cdata__c><sf:Word__c>null</sf:Word__c>`+
		"<sf:BillingStreet>1 Main\nSuite 2\nDock 3</sf:BillingStreet><sf:Big__c>9007199254740993.10</sf:Big__c>")))
	for name, want := range map[string]string{
		"BillingPostalCode": "04001", "Empty__c": "", "Html__c": "<br>", "Cdata__c": "<b> & </b> tail", "Word__c": "null",
		"BillingStreet": "1 Main\nSuite 2\nDock 3", "Big__c": "9007199254740993.10",
	} {
		if f := value(o, name); f.Value != want || f.Kind != record.KindText {
			t.Errorf("%s = %+v, want %q", name, f, want)
		}
	}
}

func TestANotificationWithoutDataIsFetched(t *testing.T) {
	_, o := only(t, message(accountXML("0015g00000AbCdE", "")))
	if o.Version != "" || len(o.Fields) != 1 || o.Deleted {
		t.Errorf("%+v", o)
	}
}

func TestTheVersionClock(t *testing.T) {
	for name, tc := range map[string]struct{ fields, want string }{
		"SystemModstamp before LastModifiedDate": {"<sf:LastModifiedDate>2014-06-02T13:00:00.000Z</sf:LastModifiedDate><sf:SystemModstamp>2014-05-19T11:02:14.000Z</sf:SystemModstamp>", "2014-05-19T11:02:14.000Z"},
		"LastModifiedDate alone":                 {"<sf:LastModifiedDate>2014-06-02T13:00:00.000Z</sf:LastModifiedDate>", "2014-06-02T13:00:00.000Z"},
		"another zone and no colon":              {"<sf:SystemModstamp>2014-06-02T13:00:00.000+0200</sf:SystemModstamp>", "2014-06-02T11:00:00.000Z"},
		"no time":                                {"<sf:SystemModstamp>yesterday</sf:SystemModstamp>", ""},
	} {
		if _, o := only(t, message(accountXML("0015g00000AbCdE", tc.fields))); o.Version != tc.want {
			t.Errorf("%s: version %q, want %q", name, o.Version, tc.want)
		}
	}
}

func TestBombsAreRefused(t *testing.T) {
	deep := strings.Repeat("<a>", 65) + strings.Repeat("</a>", 65)
	var attributes, elements strings.Builder
	for i := range 257 {
		fmt.Fprintf(&attributes, ` a%d=""`, i)
	}
	for range maxXMLElements + 1 {
		elements.WriteString("<a/>")
	}
	inside := func(s string) string { return message("<Notification>" + s + "</Notification>") }
	for name, body := range map[string]string{
		"document type":          `<!DOCTYPE x [<!ENTITY a "b">]>` + message(),
		"entity":                 inside("&a;"),
		"depth":                  inside(deep),
		"attributes":             inside("<a" + attributes.String() + "/>"),
		"elements":               inside(elements.String()),
		"second root":            message() + "<a/>",
		"text after the root":    message() + "x",
		"attribute twice":        inside(`<a b="1" b="2"/>`),
		"other encoding":         strings.Replace(message(), "UTF-8", "ISO-8859-1", 1),
		"UTF-16":                 "\xFE\xFF\x00<",
		"not UTF-8":              inside("<a>\xFF</a>"),
		"control character":      inside("<a>\x01</a>"),
		"character reference":    inside("<a>&#0;</a>"),
		"unbound prefix":         inside("<x:a/>"),
		"ends early":             message()[:len(message())-5],
		"no outbound message":    "<html/>",
		"no element":             "<?xml version='1.0'?>",
		"JSON":                   `{"a":1}`,
		"names twice":            `{"type":"sf:Account","object_id":"1","object_id":"2"}`,
		"names in another case":  `{"type":"sf:Account","object_id":"1","Object_Id":"2"}`,
		"name escaped":           `{"type":"sf:Account","object_id":"1","\u006fbject_id":"2"}`,
		"JSON depth":             strings.Repeat("[", 65) + strings.Repeat("]", 65),
		"NaN":                    `{"a":NaN}`,
		"half a surrogate":       `{"a":"\ud800"}`,
		"comment":                "{/* */}",
		"something behind":       `{} {}`,
		"number with zero ahead": `{"a":01}`,
	} {
		t.Run(name, func(t *testing.T) {
			format, _ := webhook{}.Detect("text/xml", []byte(body))
			d, err := webhook{}.Split(format, []byte(body))
			if err == nil {
				t.Fatalf("accepted: %d events", len(d.Events))
			}
			if len(d.Events) != 0 || len(d.Sanitized) == 0 {
				t.Errorf("%d events, %d bytes to store", len(d.Events), len(d.Sanitized))
			}
		})
	}
}

func TestJSONConversions(t *testing.T) {
	const want = "0015g00000AbCdE"
	one := `"$":{"xsi:type":"sf:Account","xmlns:sf":"urn:sobject.enterprise.soap.sforce.com"},"sf:Id":"` + want + `","sf:Name":"Acme","sf:Phone":{"$":{"xsi:nil":"true"}}`
	for name, body := range map[string]string{
		"the specification's":        `{"notification":{"sobject":{"$":{"xsi:type":"sf:Account"},"sf:Id":"` + want + `","sf:Name":"Acme","sf:Phone":null}}}`,
		"objects":                    `{"soapenv:Envelope":{"soapenv:Body":{"notifications":{"OrganizationId":"00D5g000004xYzA","Notification":{"Id":"04l","sObject":{` + one + `}}}}}}`,
		"without envelope":           `{"notifications":{"Notification":[{"Id":"04l","sObject":{` + one + `}}]}}`,
		"prefixes stripped":          `{"Envelope":{"Body":{"notifications":{"Notification":{"Id":"04l","sObject":{"$":{"type":"Account"},"Id":"` + want + `","Name":"Acme","Phone":null}}}}}}`,
		"attributes with @":          `{"notification":{"sobject":{"@xsi:type":"sf:Account","sf:Id":"` + want + `","sf:Name":{"#text":"Acme"},"sf:Phone":{"@xsi:nil":"true"}}}}`,
		"attributes with -":          `{"notification":{"sobject":{"-xsi:type":"sf:Account","sf:Id":"` + want + `","sf:Name":"Acme","sf:Phone":null}}}`,
		"lists and lower-case names": `{"soapenv:envelope":{"soapenv:body":[{"notifications":[{"notification":[{"id":["04l"],"sobject":[{"$":{"xsi:type":"sf:Account"},"sf:id":["` + want + `"],"sf:name":["Acme"],"sf:phone":[{"$":{"xsi:nil":"true"}}]}]}]}]}]}}`,
		"flat":                       `{"type":"sf:Account","object_id":"` + want + `","message_id":"04l","name":"Acme","phone":null}`,
	} {
		t.Run(name, func(t *testing.T) {
			e, o := only(t, body)
			if e.LocalID != normalID(want) || e.Format != formatOMJSON {
				t.Errorf("event %+v", e)
			}
			if o.EntityType != "sf_account" || value(o, "Name").Value != "Acme" || value(o, "Phone").Kind != record.KindNull || value(o, "Id").Value != want || len(o.Fields) != 4 && len(o.Fields) != 3 {
				t.Errorf("%+v", o)
			}
		})
	}
	t.Run("two notifications", func(t *testing.T) {
		d := split(t, "", []byte(`{"notifications":{"Notification":[{"Id":"1","sObject":{`+one+`}},{"Id":"2","sObject":{`+one+`}}]}}`))
		if len(d.Events) != 2 || d.Events[1].EventID != "2" || d.Events[1].LocalID != normalID(want) {
			t.Errorf("%+v", d.Events)
		}
	})
}

func TestAListKeepsItsGoodEventsBesideABadOne(t *testing.T) {
	d := split(t, "", []byte(`[{"attributes":{"type":"Account"},"Id":"0015g00000AbCdE"},{"what":"ever"},7]`))
	if len(d.Events) != 3 || d.Events[0].LocalID == "" || d.Events[1].LocalID != "" || d.Events[2].LocalID != "" {
		t.Errorf("%+v", d.Events)
	}
}

func TestChangeEvents(t *testing.T) {
	header := `"ChangeEventHeader":{"entityName":"Account","changeType":"%s","commitTimestamp":1778192987123,"recordIds":["0015g00000AbCdE","0015g00000AbCdF"],"changedFields":["Phone","BillingAddress.City"]}`
	for change, check := range map[string]func(o integration.Observation) bool{
		"UPDATE": func(o integration.Observation) bool {
			return !o.Deleted && value(o, "Name").Value == "A" && value(o, "Phone").Kind == record.KindNull &&
				value(o, "BillingCity").Kind == record.KindNull && value(o, "BillingStreet").Value == "1 Main" && o.Version == "2026-05-07T22:29:47.123Z"
		},
		"DELETE":     func(o integration.Observation) bool { return o.Deleted && o.Version == "2026-05-07T22:29:47.123Z" },
		"GAP_UPDATE": func(o integration.Observation) bool { return !o.Deleted && o.Version == "" && len(o.Fields) == 0 },
		"GAP_DELETE": func(o integration.Observation) bool { return o.Deleted && o.Version != "" },
	} {
		event := `{"Name":"A","BillingAddress":{"Street":"1 Main"},` + fmt.Sprintf(header, change) + `}`
		for _, body := range []string{event, `{"data":{"payload":` + event + `},"channel":"/data/AccountChangeEvent"}`, `{"payload":` + event + `}`} {
			d := split(t, "", []byte(body))
			if len(d.Events) != 2 || d.Events[1].LocalID != normalID("0015g00000AbCdF") || d.Events[0].Format != formatCDC {
				t.Fatalf("%s: %+v", change, d.Events)
			}
			if o := observe(t, d.Events[0]); o.EntityType != "sf_account" || !check(o) {
				t.Errorf("%s: %+v", change, o)
			}
		}
	}
}

func TestDetect(t *testing.T) {
	for body, want := range map[string]integration.AuthScheme{
		"\uFEFF\n<a/>": integration.AuthSecret, " {}": integration.AuthStandardWebhook, "[]": integration.AuthStandardWebhook, "x": integration.AuthStandardWebhook,
	} {
		if _, auth := (webhook{}).Detect("application/json", []byte(body)); auth != want {
			t.Errorf("%q: %s, want %s", body, auth, want)
		}
	}
	if format, auth := (webhook{}).Detect("text/xml", nil); format != formatSOAP || auth != integration.AuthSecret {
		t.Errorf("an empty body of XML: %s %s", format, auth)
	}
}

func TestAnswers(t *testing.T) {
	if r := (webhook{}).Failed(formatSOAP, "a < b & c"); !bytes.Contains(r.Body, []byte("a &lt; b &amp; c")) || bytes.Contains(r.Body, []byte("Ack")) {
		t.Errorf("%s", r.Body)
	} else if err := xml.Unmarshal(r.Body, new(struct{})); err != nil {
		t.Error(err)
	}
	if r := (webhook{}).Accepted(formatJSON, []string{"gw-1"}); string(r.Body) != `{"gateway_ids":["gw-1"]}` {
		t.Errorf("%s", r.Body)
	}
	if r := (webhook{}).Failed(formatJSON, "no"); string(r.Body) != `{"error":"no"}` {
		t.Errorf("%s", r.Body)
	}
}
