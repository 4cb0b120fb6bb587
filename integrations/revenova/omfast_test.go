package revenova

import (
	"reflect"
	"testing"
)

// FuzzObservePlain holds the reader of the usual form against the one of all
// forms.
func FuzzObservePlain(f *testing.F) {
	for _, doc := range []string{
		`{"organizationId":"00D","sobject":{"$":{"xsi:type":"sf:Account"},"sf:Id":"0015g00000AbCdEAAV","sf:Name":"Acme\nTrucking","sf:Total":1850.00,"sf:On":true,"sf:Off":false,"sf:None":null}}`,
		` {"Id":"04l","sObject":{}}`, `{"sobject":{}}`, `{"sobject":{},"sf:sobject":{"Id":"1"}}`, `{"sobject":{},"Envelope":{"sobject":{}}}`,
		`{"sobject":{"id":"001"}}`, `{"sobject":{"Id":"1","id":"1"}}`, `{"sobject":{"a:Id":"1","b:Id":"2"}}`, `{"sobject":{"a:Id":"1","b:Id":"1"}}`,
		`{"sobject":{"Id":["1"]}}`, `{"sobject":{"Id":{"_":"1"}}}`, `{"sobject":{"xsi:type":"sf:Contact","Id":"1"}}`, `{"sobject":{"@type":"x"}}`,
		`{"sobject":{"$":{"TYPE":"sf:Load","type2":"x"},"attributes":{"type":"sf:Other"},"Id":"1"}}`, `{"sobject":{"$":{"type":1}}}`, `{"sobject":{"$":{"type":""},"A":-0.5e3}}`,
		`{"sobject":{"A":01}}`, `{"sobject":{"A":"\ud800"}}`, `{"sobject":{"A":"` + "\x01" + `"}}`, `{"sobject":{"A":trueish}}`, `{"sobject":{"A":"b"},}`, `{"sobject":{"A":"b"}} x`, "\uFEFF{\"sobject\":{}}",
		`{"type":"x","object_id":"1","sobject":{}}`, `{"Id":"\u0031","sobject":{"\u0041":"b","":"c","x:":"d"}}`, `{"sobject":null}`, `{"sobject":{"SystemModstamp":"2026-03-02T08:00:00.000Z","IsDeleted":true}}`,
	} {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		got, ok := observePlain(doc, nil)
		if !ok {
			return
		}
		want, err := observeAnyOMJSON(doc)
		if err != nil {
			t.Fatalf("%q is read as %+v, and refused: %v", doc, got, err)
		}
		if len(got.Fields) == 0 && len(want.Fields) == 0 {
			got.Fields, want.Fields = nil, nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q is read as\n%+v, else as\n%+v", doc, got, want)
		}
	})
}

func TestTheUsualFormIsReadInOnePass(t *testing.T) {
	o, ok := observePlain(`{"organizationId":"00D","sobject":{"$":{"xsi:type":"sf:Account"},"sf:Id":"0015g00000AbCdEAAV","sf:Name":"Acme"}}`, nil)
	if !ok || o.EntityType != "sf_account" || len(o.Fields) != 2 {
		t.Errorf("read as %+v, %v", o, ok)
	}
}
