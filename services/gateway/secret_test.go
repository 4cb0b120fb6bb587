package gateway

import (
	"net/http"
	"net/url"
	"testing"
)

func TestTheKeyIsTheOneThatAReaderOfURLsFinds(t *testing.T) {
	for _, query := range []string{
		"key=abc", "key=", "key", "", "key=a%20b+c", "key=a+b", "a=b&key=c", "key=a&key=b", "key=a;b", "key=a=b", "%6bey=a", "key=%zz", "keys=a",
	} {
		r := &http.Request{URL: &url.URL{RawQuery: query}, Header: http.Header{}}
		if got, want := presentedSecret(r), r.URL.Query().Get("key"); got != want {
			t.Errorf("%q presents %q, want %q", query, got, want)
		}
	}
}
