package revenova

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/fluxnex/fluxnex/pkg/integration"
)

type webhook struct{}

// Detect goes by the first byte; the content type only decides for a body that
// begins like neither.
func (webhook) Detect(contentType string, body []byte) (string, integration.AuthScheme) {
	for i, c := range body {
		switch {
		case isXMLSpace(c), i < 3 && (c == 0xEF || c == 0xBB || c == 0xBF):
			continue
		case c == '<':
			return formatSOAP, integration.AuthSecret
		case c == '{', c == '[':
			return formatJSON, integration.AuthStandardWebhook
		}
		break
	}
	if strings.Contains(strings.ToLower(contentType), "xml") {
		return formatSOAP, integration.AuthSecret
	}
	return formatJSON, integration.AuthStandardWebhook
}

func (webhook) Split(format string, body []byte) (integration.Delivery, error) {
	var d integration.Delivery
	var err error
	text := textOf(body)
	switch format {
	case formatSOAP:
		d, err = splitSOAP(text)
	case formatJSON:
		d, err = splitJSON(text)
	default:
		err = fmt.Errorf("no format %q: Detect names the formats", format)
	}
	if err != nil {
		return integration.Delivery{Sanitized: []byte(withoutSession(text))}, err
	}
	return d, nil
}

// textOf and bytesOf are the same bytes as the other type: a body is read as text,
// and its events are parts of it.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) } //nolint:gosec // as long as the slice

func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) } //nolint:gosec // as long as the string

const soapAck = `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>` +
	`<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>` +
	`</soapenv:Body></soapenv:Envelope>`

const (
	typeXML  = "text/xml; charset=utf-8"
	typeJSON = "application/json"
)

// Accepted is the SOAP Ack for an outbound message: Salesforce repeats for 24
// hours what is answered in any other way.
func (webhook) Accepted(format string, gatewayIDs []string) integration.Response {
	if format == formatSOAP {
		return integration.Response{ContentType: typeXML, Body: []byte(soapAck)}
	}
	const usualID = 48
	body := append(make([]byte, 0, usualID*(1+len(gatewayIDs))), `{"gateway_ids":[`...)
	for i, id := range gatewayIDs {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(append(append(body, '"'), id...), '"') // of letters, digits and dashes: nothing is to be escaped
	}
	return integration.Response{ContentType: typeJSON, Body: append(body, "]}"...)}
}

// Failed is a SOAP fault without an Ack, so that Salesforce repeats.
func (webhook) Failed(format, message string) integration.Response {
	if format == formatSOAP {
		return integration.Response{ContentType: typeXML, Body: []byte(
			`<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><soapenv:Fault>` +
				`<faultcode>soapenv:Server</faultcode><faultstring>` + strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(message) + `</faultstring>` +
				`</soapenv:Fault></soapenv:Body></soapenv:Envelope>`)}
	}
	body, _ := json.Marshal(struct {
		Error string `json:"error"`
	}{message})
	return integration.Response{ContentType: typeJSON, Body: body}
}

var errNotOurs = errors.New("no outbound message, change event, accounting event or record was found in the body")
