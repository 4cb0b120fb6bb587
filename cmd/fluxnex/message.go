package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"time"
)

// outboundMessage is what Salesforce would send for one record of the example
// tenant's Revenova org.
type outboundMessage struct {
	Object       string // "Account"
	Organization string
	Notification string
	ID           string
	Fields       [][2]string // after Id, in alphabetical order as Salesforce writes them
}

// acmeTrucking is the account of the demo.
func acmeTrucking(organization string, modified time.Time) outboundMessage {
	return outboundMessage{
		Object:       "Account",
		Organization: organization,
		Notification: "04l5g00000" + fmt.Sprintf("%05d", modified.Unix()%100_000) + "AAA",
		ID:           "0015g00000AbCdEAAV",
		Fields: [][2]string{
			{"AccountNumber", "ACME-001"},
			{"BillingCity", "Reno"},
			{"BillingCountry", "USA"},
			{"BillingPostalCode", "89501"},
			{"BillingState", "NV"},
			{"BillingStreet", "1 Haul Road\nDock 4"},
			{"Name", "Acme Trucking"},
			{"Phone", "(775) 555-0100"},
			{"SystemModstamp", modified.UTC().Format("2006-01-02T15:04:05.000Z")},
			{"Type", "Vendor"},
			{"Website", "acme-trucking.example.com"},
			{"rtms__TMS_Type__c", "Carrier"},
		},
	}
}

// soap writes the message as the field sees it.
func (m outboundMessage) soap() []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
`)
	fmt.Fprintf(&b, "   <OrganizationId>%s</OrganizationId>\n   <ActionId>04k5g000000TestAAA</ActionId>\n   <SessionId xsi:nil=\"true\"/>\n", m.Organization)
	b.WriteString("   <EnterpriseUrl>https://example.my.salesforce.com/services/Soap/c/61.0</EnterpriseUrl>\n   <PartnerUrl>https://example.my.salesforce.com/services/Soap/u/61.0</PartnerUrl>\n")
	fmt.Fprintf(&b, "   <Notification>\n    <Id>%s</Id>\n    <sObject xsi:type=\"sf:%s\" xmlns:sf=\"urn:sobject.enterprise.soap.sforce.com\">\n     <sf:Id>%s</sf:Id>\n", m.Notification, m.Object, m.ID)
	for _, f := range m.Fields {
		fmt.Fprintf(&b, "     <sf:%s>", f[0])
		_ = xml.EscapeText(&b, []byte(f[1])) // a buffer does not fail
		fmt.Fprintf(&b, "</sf:%s>\n", f[0])
	}
	b.WriteString("    </sObject>\n   </Notification>\n  </notifications>\n </soapenv:Body>\n</soapenv:Envelope>\n")
	return b.Bytes()
}
