package torture

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

// StampLayout is a dateTime in an outbound message.
const StampLayout = "2006-01-02T15:04:05.000Z"

// Notification is one Notification of an outbound message.
type Notification struct {
	ID     string // 04l…
	Record string
	Stamp  time.Time
	Fields []Field
}

// Envelope is a SOAP outbound message as Salesforce sends it, of up to 100
// accounts.
func Envelope(organization string, notifications []Notification) []byte {
	return EnvelopeOf("Account", organization, notifications)
}

// EnvelopeOf is one of records of any object.
func EnvelopeOf(object, organization string, notifications []Notification) []byte {
	var b strings.Builder
	short := organization
	if len(short) > 15 {
		short = short[:15]
	}
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" +
		`<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">` + "\n" +
		` <soapenv:Body>` + "\n" +
		`  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">` + "\n")
	fmt.Fprintf(&b, "   <OrganizationId>%s</OrganizationId>\n   <ActionId>04k5g000000TortAAC</ActionId>\n   <SessionId xsi:nil=\"true\"/>\n", organization)
	fmt.Fprintf(&b, "   <EnterpriseUrl>https://torture.my.salesforce.com/services/Soap/c/61.0/%s</EnterpriseUrl>\n", short)
	fmt.Fprintf(&b, "   <PartnerUrl>https://torture.my.salesforce.com/services/Soap/u/61.0/%s</PartnerUrl>\n", short)
	for _, n := range notifications {
		fmt.Fprintf(&b, "   <Notification>\n    <Id>%s</Id>\n", n.ID)
		fmt.Fprintf(&b, "    <sObject xsi:type=\"sf:%s\" xmlns:sf=\"urn:sobject.enterprise.soap.sforce.com\">\n", object)
		element(&b, "Id", n.Record)
		stamped := false
		for _, f := range n.Fields {
			if !stamped && f.Name > "SystemModstamp" {
				element(&b, "SystemModstamp", n.Stamp.UTC().Format(StampLayout))
				stamped = true
			}
			element(&b, f.Name, f.Value)
		}
		if !stamped {
			element(&b, "SystemModstamp", n.Stamp.UTC().Format(StampLayout))
		}
		b.WriteString("    </sObject>\n   </Notification>\n")
	}
	b.WriteString("  </notifications>\n </soapenv:Body>\n</soapenv:Envelope>")
	return []byte(b.String())
}

func element(b *strings.Builder, name, value string) {
	fmt.Fprintf(b, "     <sf:%s>", name)
	// A strings.Builder does not fail.
	_ = xml.EscapeText(b, []byte(value))
	fmt.Fprintf(b, "</sf:%s>\n", name)
}

// Acknowledged reports whether an answer makes Salesforce stop repeating: HTTP
// 200 and <Ack>true</Ack> in the outbound namespace, whatever the prefixes.
func Acknowledged(status int, body []byte) bool {
	if status != 200 {
		return false
	}
	var ack struct {
		Body struct {
			Response struct {
				Ack string `xml:"http://soap.sforce.com/2005/09/outbound Ack"`
			} `xml:"http://soap.sforce.com/2005/09/outbound notificationsResponse"`
		} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
	}
	if err := xml.Unmarshal(body, &ack); err != nil {
		return false
	}
	return strings.TrimSpace(ack.Body.Response.Ack) == "true"
}

// DeleteEvent is a change event of Salesforce's change data capture for a
// deletion of an account: JSON, only the header, as it comes for deletes.
func DeleteEvent(record string, stamp time.Time, number int64) ([]byte, error) {
	return deleteEvent("Account", record, stamp, number)
}

func deleteEvent(object, record string, stamp time.Time, number int64) ([]byte, error) {
	return json.Marshal(map[string]any{
		"ChangeEventHeader": map[string]any{
			"entityName":      object,
			"recordIds":       []string{record},
			"changeType":      "DELETE",
			"changedFields":   []string{},
			"changeOrigin":    "com/salesforce/api/soap/61.0;client=SfdcInternalAPI/",
			"transactionKey":  fmt.Sprintf("00000000-0000-0000-0000-%012d", number),
			"sequenceNumber":  1,
			"commitTimestamp": stamp.UnixMilli(),
			"commitNumber":    number,
			"commitUser":      "0055g000004XyZzAAK",
		},
	})
}
