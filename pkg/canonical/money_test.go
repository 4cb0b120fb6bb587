package canonical

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestParseMoneyReadsWhatSourcesWrite(t *testing.T) {
	for in, want := range map[string]string{
		"1000.0": "1000.0", "-12.50": "-12.50", "1E3": "1000", "1,000.00": "1000.00",
		"29.12345678901234567890123456789": "29.12345678901234567890123456789", " 7 ": "7", "0.0": "0.0",
	} {
		m, err := ParseMoney(in)
		if err != nil || m.String() != want {
			t.Errorf("%q read as %q, %v; want %q", in, m.String(), err, want)
		}
	}
}

func TestParseMoneyRefusesTheRest(t *testing.T) {
	for _, in := range []string{"", "null", "1,00", "12,34.5", "1e999999999", "0x10", "NaN", "1.2.3", "--1"} {
		if m, err := ParseMoney(in); !errors.Is(err, ErrMoney) {
			t.Errorf("%q read as %v, %v", in, m, err)
		}
	}
}

func TestMoneyAddsExactly(t *testing.T) {
	sum := MustMoney("0.1").Add(MustMoney("0.2"))
	if sum.Cmp(MustMoney("0.3")) != 0 {
		t.Errorf("0.1 + 0.2 = %v", sum)
	}
	if got := MustMoney("2.345").Round(2).Fixed(2); got != "2.35" {
		t.Errorf("2.345 rounds to %s", got)
	}
}

func FuzzMoney(f *testing.F) {
	for _, s := range []string{"1000.0", "1E3", "-1,234.50", "1e-60", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMoney(s)
		if err != nil {
			return
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var back Money
		if err := json.Unmarshal(b, &back); err != nil || back.Cmp(m) != 0 {
			t.Errorf("%q → %s → %v, %v", s, b, back, err)
		}
	})
}

func TestDecodeKnowsEveryEntity(t *testing.T) {
	for _, e := range All() {
		if _, err := Decode(e, []byte(`{}`)); err != nil {
			t.Errorf("%s: %v", e, err)
		}
	}
	if _, err := Decode("TMS_DREAM", []byte(`{}`)); err == nil {
		t.Error("an unknown entity was decoded")
	}
}
