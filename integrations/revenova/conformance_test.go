package revenova_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/integrations/integrationtest"
	"github.com/fluxnex/fluxnex/integrations/revenova"
)

const planted = "00D5g000004xYzA!AQcAQPlantedSessionToken"

func TestConformance(t *testing.T) {
	body := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const xml, json = "text/xml; charset=utf-8", "application/json"
	account, load, invoice, bill, contact := "0015g00000AbCdEAAV", "a0L5g000000AaaAEAS", "a0I5g000000AccCEAS", "a0B5g000000AddDEAS", "0035g00000AeeEEAAZ"
	integrationtest.Source(t, revenova.New(), []integrationtest.SourceCase{
		{Name: "outbound message", ContentType: xml, Body: body("outbound-message_every-entity.xml"), Records: []string{account, load, invoice, bill, contact}, Secrets: []string{planted}},
		{Name: "malformed message", ContentType: xml, Body: []byte(strings.Replace(string(body("outbound-message_every-entity.xml")), "</sObject>", "", 1)), Secrets: []string{planted}},
		{Name: "converted to JSON", ContentType: json, Body: body("outbound-message_converted.json"), Records: []string{account}},
		{Name: "vendor event", ContentType: json, Body: body("vendor-event.json"), Records: []string{account}},
		{Name: "vendor invoice event", ContentType: json, Body: body("vendor-invoice-event.json"), Records: []string{bill}},
		{Name: "change event", ContentType: json, Body: body("change-event_delete.json"), Records: []string{account}},
		{Name: "REST records", ContentType: json, Body: body("query.json"), Records: []string{load, invoice}},
		{Name: "no event", ContentType: json, Body: []byte(`{"hello":"world"}`)},
		{Name: "empty", ContentType: xml, Body: []byte(" ")},
	})
}
