package revenova

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// sample reads a real body that nobody here wrote; they are not kept in the
// repository because many of their sources show no licence.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "samples", name))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("the samples are not on this machine: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// split goes through the two steps the gateway takes.
func split(t testing.TB, contentType string, body []byte) integration.Delivery {
	t.Helper()
	format, _ := webhook{}.Detect(contentType, body)
	d, err := webhook{}.Split(format, body)
	if err != nil {
		t.Fatalf("split: %v", err)
	}
	return d
}

func observe(t testing.TB, e integration.Event) integration.Observation {
	t.Helper()
	o, err := replicator{}.Observe(e.Format, e.ContentType, e.Payload, nil)
	if err != nil {
		t.Fatalf("observe %s: %v\n%s", e.Format, err, e.Payload)
	}
	return o
}

// notificationsByXML reads the fields of every sObject with encoding/xml.
func notificationsByXML(t testing.TB, body []byte) []map[string]string {
	t.Helper()
	dec := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xEF\xBB\xBF"))))
	var out []map[string]string
	depth, inside := 0, 0
	name, value := "", ""
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("encoding/xml: %v", err)
		}
		switch k := tok.(type) {
		case xml.StartElement:
			depth++
			if k.Name.Local == "sObject" {
				out = append(out, map[string]string{})
				inside = depth
			} else if inside > 0 && depth == inside+1 {
				name, value = k.Name.Local, ""
			}
		case xml.CharData:
			value += string(k)
		case xml.EndElement:
			if inside > 0 && depth == inside+1 {
				out[len(out)-1][name] = value
			}
			if depth == inside {
				inside = 0
			}
			depth--
		}
	}
}

func TestEveryFieldOfRealOutboundMessagesSurvives(t *testing.T) {
	for _, tc := range []struct {
		file, entity, organization string
		ids                        []string
		version                    string
	}{
		{"account_full_type-addresses_v30.xml", "sf_account", "00Dd0000000dtDqEAI", []string{"001d000001XD5XKAA1"}, "2014-05-19T11:02:14.000Z"},
		{"contact_managed-package-namespaces_nulls-omitted_v41.xml", "sf_contact", "00Dn00000008y2tEAA", []string{"003n000000NOtUbAAL"}, ""},
		{"custom-object_decimals_dates_v42.xml", "sf_discountrule__c", "00DD0000000muCUMAY", []string{"a025700000OPgOjAAL"}, "2018-05-04T11:35:40.000Z"},
		{"lead_three-notifications_utf8-bom.xml", "", "0123456789ABCDENNN", nil, ""},
		{"opportunity_full_dates-booleans-numbers.xml", "sf_opportunity", "00D5w000004qGTOEA2", []string{"0065w000023STAmAAO"}, "2020-05-09T03:04:32.000Z"},
		{"opportunity_single_15char-ids_v23.xml", "sf_opportunity", "00DQ0000000EB93MAG", []string{"006Q0000009N3gfIAC"}, ""},
	} {
		t.Run(tc.file, func(t *testing.T) {
			body := sample(t, "salesforce-outbound-message/"+tc.file)
			d := split(t, "text/xml", body)
			if d.Organization != tc.organization {
				t.Errorf("organization %q, want %q", d.Organization, tc.organization)
			}
			want := notificationsByXML(t, body)
			if len(d.Events) != len(want) || len(want) == 0 {
				t.Fatalf("%d events, encoding/xml sees %d notifications", len(d.Events), len(want))
			}
			for i, e := range d.Events {
				if tc.ids != nil && e.LocalID != tc.ids[i] {
					t.Errorf("event %d is about %q, want %q", i, e.LocalID, tc.ids[i])
				}
				if e.EventID == "" || e.LocalID != normalID(want[i]["Id"]) {
					t.Errorf("event %d: id %q of record %q, want a notification id and %q", i, e.EventID, e.LocalID, want[i]["Id"])
				}
				o := observe(t, e)
				if tc.entity != "" && o.EntityType != tc.entity {
					t.Errorf("entity type %q, want %q", o.EntityType, tc.entity)
				}
				if tc.version != "" && o.Version != tc.version {
					t.Errorf("version %q, want %q", o.Version, tc.version)
				}
				sameFields(t, o.Fields, want[i])
			}
			noSession(t, body, d)
		})
	}
}

func sameFields(t testing.TB, got []record.Field, want map[string]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d fields, want %d", len(got), len(want))
	}
	for _, f := range got {
		if w, ok := want[f.Name]; !ok || f.Value != w {
			t.Errorf("field %s = %q, the body has %q (%v)", f.Name, f.Value, w, ok)
		}
	}
}

func noSession(t testing.TB, body []byte, d integration.Delivery) {
	t.Helper()
	m := regexp.MustCompile(`<SessionId>([^<]+)</SessionId>`).FindSubmatch(body)
	if m == nil {
		return
	}
	stored := append([]byte{}, d.Sanitized...)
	for _, e := range d.Events {
		stored = append(stored, e.Payload...)
	}
	if bytes.Contains(stored, m[1]) && string(m[1]) != "..." {
		t.Errorf("the session %s is stored", m[1])
	}
}

func TestMalformedRealMessageIsStoredWhole(t *testing.T) {
	body := sample(t, "salesforce-outbound-message/malformed_sobject-open-tag-missing.xml")
	format, _ := webhook{}.Detect("text/xml", body)
	d, err := webhook{}.Split(format, body)
	if err == nil {
		t.Fatalf("it was split into %d events", len(d.Events))
	}
	if !bytes.Equal(d.Sanitized, body) {
		t.Errorf("what is stored differs from what came:\n%s", d.Sanitized)
	}
}

func TestGatewayWrapperHoldsTheMessage(t *testing.T) {
	body := sample(t, "salesforce-outbound-message/apigateway-json-wrapper_contact.json")
	d := split(t, "application/json", body)
	if len(d.Events) != 1 || d.Events[0].LocalID != "aContactId" || d.Events[0].Format != formatSOAP {
		t.Fatalf("events %+v", d.Events)
	}
	if o := observe(t, d.Events[0]); o.EntityType != "sf_contact" {
		t.Errorf("entity type %q", o.EntityType)
	}
}

func TestRealJSONConversions(t *testing.T) {
	t.Run("xml2js", func(t *testing.T) {
		d := split(t, "application/json", sample(t, "salesforce-outbound-message-json/opportunity_xml2js-default_explicit-arrays.json"))
		if d.Organization != "00D7F00000107XsUAI" || len(d.Events) != 1 || d.Events[0].EventID != "04l7F000008aePZQAY" {
			t.Fatalf("organization %q, events %+v", d.Organization, d.Events)
		}
		o := observe(t, d.Events[0])
		if o.EntityType != "sf_opportunity" {
			t.Errorf("entity type %q", o.EntityType)
		}
		sameFields(t, o.Fields, map[string]string{
			"Id": "0067F000003pmdQQAQ", "AccountId": "0017F000007ydJgQAI", "Amount": "50000.0", "CloseDate": "2017-04-29",
			"LeadSource": "Web", "Name": "Edge Installation", "StageName": "Closed Won",
		})
	})
	t.Run("express-xml-bodyparser", func(t *testing.T) {
		body := sample(t, "salesforce-outbound-message-json/opportunity_express-xml-bodyparser_lowercased-tags_no-attributes.json")
		body = regexp.MustCompile(`(?m)\s*// .*$`).ReplaceAll(body, nil) // its author's comments are not JSON
		d := split(t, "application/json", body)
		if len(d.Events) != 1 || d.Events[0].LocalID != normalID("006P0000006uyYUIBY") {
			t.Fatalf("events %+v", d.Events)
		}
		o := observe(t, d.Events[0])
		if o.EntityType != "sf_opportunity" {
			t.Errorf("entity type %q", o.EntityType)
		}
		sameFields(t, o.Fields, map[string]string{"Id": "006P0000006uyYUIBY", "AccountId": "001P000000zcWKQIA2"})
	})
}

// valuesByJSON reads the top-level members with encoding/json, numbers as they
// are written, skipping the ones named.
func valuesByJSON(t testing.TB, body []byte, skip ...string) map[string]string {
	t.Helper()
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for name, v := range raw {
		var s string
		switch {
		case string(v) == "null":
		case json.Unmarshal(v, &s) == nil:
		default:
			s = string(v)
		}
		out[name] = s
	}
	for _, name := range skip {
		delete(out, name)
	}
	return out
}

func TestRealRESTRecordsAndEvents(t *testing.T) {
	for _, tc := range []struct {
		file, entity, id, format string
		skip                     []string
		extra                    map[string]string
	}{
		{"revenova/load_rest-record_v61.json", "sf_rtms__load__c", "a1GTQ000008EiIE2A0", formatREST, []string{"attributes"}, nil},
		{"salesforce-rest/record_get_all-field-types.json", "sf_whizbang", "23foo", formatREST, []string{"attributes"}, nil},
		{"revenova/pubsub_customer-event.json", "sf_account", "1js8dje8dje9dke9eq", formatAccounting, nil, map[string]string{"Custom_Field__c": "customValue"}},
		{"revenova/pubsub_load-event.json", "sf_rtms__load__c", "1js8dje8dje9dke9et", formatAccounting, nil, map[string]string{"Custom_Field__c": "customValue"}},
		{"revenova/pubsub_customer-invoice-event.json", "sf_rtms__customerinvoice__c", "1js8dje8dje9dke9ew", formatAccounting, nil, map[string]string{"Custom_Field__c": "customValue"}},
		{
			"salesforce-rest/cdc_update-contact_compound-address.json", "sf_contact", "003bm000016htgPAAQ", formatCDC,
			[]string{"ChangeEventHeader", "MailingAddress"},
			map[string]string{"MailingStreet": "1235 wildwood St", "MailingCity": "", "OtherPostalCode": ""},
		},
	} {
		t.Run(filepath.Base(tc.file), func(t *testing.T) {
			body := sample(t, tc.file)
			d := split(t, "application/json", body)
			if len(d.Events) != 1 || d.Events[0].LocalID != tc.id || d.Events[0].Format != tc.format {
				t.Fatalf("events %+v", d.Events)
			}
			o := observe(t, d.Events[0])
			if o.EntityType != tc.entity {
				t.Errorf("entity type %q, want %q", o.EntityType, tc.entity)
			}
			want := valuesByJSON(t, body, tc.skip...)
			maps.Copy(want, tc.extra)
			sameFields(t, o.Fields, want)
		})
	}
}

func TestAckIsTheOneSalesforceExpects(t *testing.T) {
	squeeze := func(b []byte) string {
		return regexp.MustCompile(`>\s+<`).ReplaceAllString(strings.TrimSpace(string(b)), "><")
	}
	got := webhook{}.Accepted(formatSOAP, []string{"gw-1"})
	if want := squeeze(sample(t, "salesforce-outbound-message/ack_true.xml")); squeeze(got.Body) != want {
		t.Errorf("the ack is\n%s\nwant\n%s", got.Body, want)
	}
	if !strings.HasPrefix(got.ContentType, "text/xml") {
		t.Errorf("content type %q", got.ContentType)
	}
}
