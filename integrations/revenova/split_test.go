package revenova

import (
	"fmt"
	"strings"
	"testing"
)

// What the gateway pays for a usual body: 1.4 KB of JSON as a converter makes
// it, 2.9 KB of SOAP.
func BenchmarkSplit(b *testing.B) {
	var asJSON, asXML strings.Builder
	for i := range 33 {
		name := fmt.Sprintf("rtms__Insurance_Field_%d__c", i)
		fmt.Fprintf(&asJSON, `,"sf:%s":"Portland ME %d"`, name, i)
		fmt.Fprintf(&asXML, "<sf:%s>Portland ME %d</sf:%s>", name, i, name)
	}
	for name, body := range map[string]string{
		"JSON": `{"notification":{"organizationId":"00D5g000004XyZzEAK","sobject":{"$":{"xsi:type":"sf:Account"},"sf:Id":"0015g00000AbCdEAAV"` + asJSON.String() + `}}}`,
		"SOAP": message(accountXML("0015g00000AbCdE", asXML.String())),
	} {
		b.Run(name, func(b *testing.B) {
			format, _ := webhook{}.Detect("", []byte(body))
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				d, err := webhook{}.Split(format, []byte(body))
				if err != nil || len(d.Events) != 1 {
					b.Fatalf("%d events, %v", len(d.Events), err)
				}
			}
		})
	}
}
