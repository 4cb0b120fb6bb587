package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/fluxnex/fluxnex/integrations"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/schemas"
	"github.com/fluxnex/fluxnex/tests/torture"
)

// The tenant of the benchmark, the first one where there are several. Its
// secrets protect nothing.
const (
	tenantID      = "bench"
	tenantSlug    = "bench-logistics"
	organization  = "00D5g000004XyZzEAK"
	webhookKey    = "b3a1f0c2d4e5968778695a4b3c2d1e0f00112233445566778899aabbccddeeff"
	signingSecret = "whsec_YmVuY2htYXJrLXNpZ25pbmctc2VjcmV0LTAxMjM="
)

// accountID is the Salesforce id of the benchmark's n-th account.
func accountID(n int) string { return torture.LongID(fmt.Sprintf("0015g0%09d", n)) }

func keyOf(localID string) string {
	return string(record.KeyOf(tenantID, record.NewID("revenova", localID)))
}

// version is a modification time that grows with n.
func version(n int) time.Time {
	return time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Second)
}

// fields of an account in its n-th version: a vendor, as Revenova's orgs have
// them, about 1.5 KB as JSON.
func fields(id string, n int) []torture.Field {
	name := "Acme Trucking " + id
	return []torture.Field{
		{Name: "AccountNumber", Value: "AC-" + id[6:15]},
		{Name: "BillingCity", Value: "Portland"},
		{Name: "BillingCountry", Value: "US"},
		{Name: "BillingPostalCode", Value: "04001"},
		{Name: "BillingState", Value: "ME"},
		{Name: "BillingStreet", Value: fmt.Sprintf("%d Dock Road\nSuite 2", n)},
		{Name: "CreatedDate", Value: "2026-01-05T09:30:00.000Z"},
		{Name: "Credit_Hold__c", Value: "false"},
		{Name: "CurrencyIsoCode", Value: "USD"},
		{Name: "Description", Value: "Regional carrier, refrigerated and dry van, New England and the Maritimes"},
		{Name: "Insurance_Rating__c", Value: "A-"},
		{Name: "IsDeleted", Value: "false"},
		{Name: "LastModifiedDate", Value: version(n).Format(torture.StampLayout)},
		{Name: "Name", Value: name},
		{Name: "OwnerId", Value: "0055g000004XyZzAAK"},
		{Name: "Phone", Value: fmt.Sprintf("+1 207 555 %04d", n%10_000)},
		{Name: "ShippingCity", Value: "Portland"},
		{Name: "ShippingCountry", Value: "US"},
		{Name: "ShippingPostalCode", Value: "04001"},
		{Name: "ShippingState", Value: "ME"},
		{Name: "ShippingStreet", Value: "1 Dock Road"},
		{Name: "Type", Value: "Vendor"},
		{Name: "Website", Value: "https://www.acme-trucking.example"},
		{Name: "rtms__Accounting_Method__c", Value: "Accrual"},
		{Name: "rtms__Carrier_Status__c", Value: "Approved"},
		{Name: "rtms__DOT_Number__c", Value: "2345678"},
		{Name: "rtms__Federal_Tax_ID__c", Value: "01-2345678"},
		{Name: "rtms__Insurance_Expiration__c", Value: "2027-06-30"},
		{Name: "rtms__Invoice_Terms__c", Value: "Net 30"},
		{Name: "rtms__MC_Number__c", Value: "MC123456"},
		{Name: "rtms__SCAC__c", Value: "ACMT"},
		{Name: "rtms__Service_Area__c", Value: "ME;NH;VT;MA;RI;CT;NY;NB;NS"},
		{Name: "rtms__TMS_Type__c", Value: "Carrier"},
	}
}

// soapBody is one account as an outbound message.
func soapBody(id string, n int) []byte {
	return torture.Envelope(organization, []torture.Notification{{
		ID: torture.LongID(fmt.Sprintf("04l5g0%09d", n)), Record: id, Stamp: version(n), Fields: fields(id, n),
	}})
}

// jsonBody is the same as middleware converts it.
func jsonBody(id, object string, n int, fs []torture.Field) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"notification":{"organizationId":%q,"sobject":{"$":{"xsi:type":"sf:%s"},"sf:Id":%q,"sf:SystemModstamp":%q`,
		organization, object, id, version(n).Format(torture.StampLayout))
	for _, f := range fs {
		value, _ := json.Marshal(f.Value) // a string cannot fail
		fmt.Fprintf(&b, `,"sf:%s":%s`, f.Name, value)
	}
	b.WriteString(`}}}`)
	return b.Bytes()
}

// hook is one webhook as it goes over the wire.
type hook struct {
	key    string // of the record
	path   string // at the gateway
	header http.Header
	body   []byte
}

// hooks are n webhooks of the accounts from first on, in their version-th
// state.
func hooks(n, first, version int, soap bool, now time.Time) ([]hook, error) {
	out := make([]hook, n)
	for i := range out {
		id := accountID(first + i)
		h := hook{key: keyOf(id), path: "/webhooks/revenova/" + tenantSlug, header: http.Header{}}
		if soap {
			h.path += "?key=" + webhookKey
			h.body = soapBody(id, version)
			h.header.Set("Content-Type", "text/xml; charset=utf-8")
			h.header.Set("SOAPAction", `""`)
		} else {
			h.body = jsonBody(id, "Account", version, fields(id, version))
			h.header.Set("Content-Type", "application/json")
			if err := torture.Sign(h.header, signingSecret, "msg_bench_"+strconv.Itoa(version)+"_"+id, now, h.body); err != nil {
				return nil, err
			}
		}
		out[i] = h
	}
	return out, nil
}

// request is a hook's bytes for one host: a path of its own for the baseline,
// which gets the key in a header because it understands no body.
func (h *hook) request(host, path string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n%s: %s\r\n", path, host, len(h.body), keyHeader, h.key)
	_ = h.header.Write(&b) // a buffer does not fail
	b.WriteString("\r\n")
	b.Write(h.body)
	return b.Bytes()
}

const keyHeader = "X-Bench-Key"

// message is one record for the gateway topic.
type message struct{ key, value []byte }

// tenantOf is the i-th tenant.
func tenantOf(i int) string {
	if i == 0 {
		return tenantID
	}
	return tenantID + "-" + strconv.Itoa(i)
}

// events are gateway events as the gateway writes them for JSON bodies, of
// several tenants in turn.
func events(codecs *schemas.Codecs, tenants int, bodies [][]byte) ([]message, error) {
	revenova, ok := integrations.Lookup("revenova")
	if !ok {
		return nil, fmt.Errorf("there is no integration revenova")
	}
	out := make([]message, 0, len(bodies))
	for i, body := range bodies {
		format, _ := revenova.Webhook.Detect("application/json", body)
		d, err := revenova.Webhook.Split(format, body)
		if err != nil {
			return nil, err
		}
		for _, part := range d.Events {
			e := &record.GatewayEvent{
				TenantID: record.TenantID(tenantOf(i % tenants)), SourceApp: "revenova", RecordID: record.NewID("revenova", part.LocalID),
				GatewayID: fmt.Sprintf("gw-%032d", i), Origin: record.OriginWebhook, ReceivedAt: time.Now(),
				Format: part.Format, ContentType: part.ContentType, Outcome: record.OutcomePayload, Payload: part.Payload,
			}
			value, err := codecs.Gateway.Append(nil, e)
			if err != nil {
				return nil, err
			}
			out = append(out, message{key: []byte(e.Key()), value: value})
		}
	}
	return out, nil
}

// accounts are the gateway events of n accounts from first on, of several
// tenants in turn.
func accounts(codecs *schemas.Codecs, tenants, n, first, version int) ([]message, error) {
	bodies := make([][]byte, n)
	for i := range bodies {
		id := accountID(first + i)
		bodies[i] = jsonBody(id, "Account", version, fields(id, version))
	}
	return events(codecs, tenants, bodies)
}

// invoices are the gateway events of n invoices whose loads nobody has.
func invoices(codecs *schemas.Codecs, n, first int) ([]message, error) {
	bodies := make([][]byte, n)
	for i := range bodies {
		id := torture.LongID(fmt.Sprintf("a0I5g0%09d", first+i))
		bodies[i] = jsonBody(id, "rtms__CustomerInvoice__c", 1, waitingInvoice(first+i))
	}
	return events(codecs, 1, bodies)
}

// waitingInvoice is an invoice whose load nobody has.
func waitingInvoice(n int) []torture.Field {
	return []torture.Field{
		{Name: "Name", Value: fmt.Sprintf("INV-%09d", n)},
		{Name: "rtms__Load__c", Value: torture.LongID(fmt.Sprintf("a0L5g0%09d", n))},
		{Name: "rtms__Invoice_Date__c", Value: "2026-11-20"},
		{Name: "rtms__Invoice_Status__c", Value: "Approved"},
		{Name: "rtms__Invoice_Total__c", Value: "1850.00"},
		{Name: "rtms__Net_Line_Haul__c", Value: "1850.00"},
		{Name: "Description", Value: "Dry van Portland ME to Albany NY, appointment 08:00, lumper included, reference PO 4711-A"},
	}
}
