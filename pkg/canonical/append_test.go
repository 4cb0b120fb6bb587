package canonical

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
)

// random fills a value so that every form of text, absence and list comes.
func random(r *rand.Rand, v reflect.Value) {
	texts := []string{"", "Acme Trucking", "12 Dock Road\nSuite 2", "a \"b\" \\ <c> & d", "Müller\u2028", "\xff", "tab\there", "04001", "\x7f"}
	switch {
	case v.Type() == reflect.TypeFor[Money]():
		v.Set(reflect.ValueOf(MustMoney([]string{"0", "-12.50", "1850.00", "3"}[r.IntN(4)])))
	case v.Kind() == reflect.String:
		v.SetString(texts[r.IntN(len(texts))])
	case v.Kind() == reflect.Pointer:
		if r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			random(r, v.Elem())
		}
	case v.Kind() == reflect.Slice:
		n := r.IntN(4)
		if n == 0 && r.IntN(2) == 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			random(r, v.Index(i))
		}
	case v.Kind() == reflect.Struct:
		for _, field := range v.Fields() {
			random(r, field)
		}
	}
}

func TestBodiesAreTheLibrarys(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, e := range All() {
		byHand := 0
		for range 2000 {
			v := zero(e)
			random(r, reflect.ValueOf(v).Elem())
			want, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Append([]byte("kept"), v)
			if err != nil || !bytes.Equal(got, append([]byte("kept"), want...)) {
				t.Fatalf("%s: appended\n%s (%v)\nwant\n%s", e, got, err, want)
			}
			if scan(string(want), zero(e)) {
				byHand++
			}
			checkDecode(t, e, want)
		}
		if byHand < 500 {
			t.Errorf("%s: %d of 2000 bodies were read without the library", e, byHand)
		}
	}
}

// checkDecode holds Decode against the library.
func checkDecode(t *testing.T, e Entity, body []byte) {
	t.Helper()
	want := zero(e)
	failed := json.Unmarshal(body, want) != nil
	got, err := Decode(e, body)
	if (err != nil) != failed || !failed && !reflect.DeepEqual(got, want) {
		t.Fatalf("%s of %q is\n%+v (%v)\nwant\n%+v", e, body, got, err, want)
	}
}

func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		for _, e := range All() {
			v := zero(e)
			random(r, reflect.ValueOf(v).Elem())
			body, err := json.Marshal(v)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(e), body)
		}
	}
	for _, body := range []string{
		`{}`, ` {}`, `{} `, `{"name":null}`, `{"NAME":"x"}`, `{"name":"a","name":"b"}`, `{"billing":{"city":"a"},"billing":{"state":"b"}}`,
		`{"types":["a"],"types":["b","c"]}`, `{"name":"\u00e9\ud83d\ude00\ud800"}`, `{"name":"a\`, `{"name":"\x"}`, `{"total":1}`, `{"total":"x"}`, `{"lines":[{"amount":"1"},]}`, `{"lines":[]}`,
	} {
		for _, e := range All() {
			f.Add(string(e), []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, entity string, body []byte) {
		if zero(Entity(entity)) == nil {
			return
		}
		checkDecode(t, Entity(entity), body)
	})
}
