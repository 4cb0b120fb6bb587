package revenova

import (
	"reflect"
	"testing"
)

// FuzzSplitPlain: what is split in one pass is split as the splitter of all
// forms does.
func FuzzSplitPlain(f *testing.F) {
	for _, body := range []string{
		`{"notification":{"organizationId":"00D","Id":"04l","sobject":{"$":{"xsi:type":"sf:Account"},"sf:Id":"0015g00000AbCdE","sf:Name":"Acme"}}}`,
		`{"ns:Notification":{"sobject":{"id":7,"Id ":"x","a":{"id":"y"},"b":[1,{"c":null}]},"x":{"sobject":{"id":"z"}}}}`,
		`{"notification":{"SessionId":"planted","sobject":{"Id":"1"}}}`,
		`{"notification":{"sobject":[{"Id":"1"}]}}`,
		`{"notification":{"sobject":{"Id":["1"]},"s:sobject":{"Id":"2"}}}`,
		`{"notification":{"id":"1","x:id":"2","sobject":{"x:id":"3","id":"4"}}}`,
		` {"notification":{"sobject":{}}}`,
		`{"notification":{"sobject":{"Id":"1"}},"body":"<a/>"}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, ok := splitPlain(body)
		if !ok {
			return
		}
		want, err := splitAny(body)
		if err != nil {
			t.Fatalf("%q is split in one pass, but: %v", body, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q is split into\n%+v\nwant\n%+v", body, got, want)
		}
	})
}

func TestTheUsualFormIsSplitInOnePass(t *testing.T) {
	d, ok := splitPlain(`{"notification":{"organizationId":"00D","sobject":{"$":{"xsi:type":"sf:Account"},"sf:Id":"0015g00000AbCdE","sf:Name":"Acme"}}}`)
	if !ok || len(d.Events) != 1 || d.Events[0].LocalID != "0015g00000AbCdEAAV" {
		t.Errorf("%v, %+v: the form that most converters give must not need the slow way", ok, d)
	}
}
