package canonical

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/shopspring/decimal"
)

// Money is an exact decimal amount without a currency. It is never a float:
// it is read from a decimal string or a JSON number's literal text, and
// written to JSON as a string.
type Money struct{ d decimal.Decimal }

// ErrMoney reports text that is not a plain decimal number.
var ErrMoney = errors.New("not an amount of money")

// maxDigits bounds what a source may send: an exponent of nine digits would
// otherwise expand to gigabytes.
const maxDigits = 64

// ParseMoney reads "1000.0", "-12.50", "1E3" and "1,000.00". "" is an error:
// the caller decides what a missing amount means.
func ParseMoney(s string) (Money, error) {
	t := strings.TrimSpace(s)
	if strings.Count(t, ",") > 0 {
		whole, _, _ := strings.Cut(t, ".")
		parts := strings.Split(strings.TrimLeft(whole, "+-"), ",")
		for i, p := range parts {
			if (i == 0 && (len(p) < 1 || len(p) > 3)) || (i > 0 && len(p) != 3) {
				return Money{}, fmt.Errorf("%w: %q", ErrMoney, s)
			}
		}
		t = strings.ReplaceAll(t, ",", "")
	}
	if t == "" || len(t) > maxDigits {
		return Money{}, fmt.Errorf("%w: %.80q", ErrMoney, s)
	}
	d, err := decimal.NewFromString(t)
	if err != nil || d.Exponent() > maxDigits || d.Exponent() < -maxDigits {
		return Money{}, fmt.Errorf("%w: %q", ErrMoney, s)
	}
	return Money{d}, nil
}

// MustMoney is ParseMoney for constants in code and tests.
func MustMoney(s string) Money {
	m, err := ParseMoney(s)
	if err != nil {
		panic(err)
	}
	return m
}

// Add is m + o, exactly.
func (m Money) Add(o Money) Money { return Money{m.d.Add(o.d)} }

// Sub is m - o.
func (m Money) Sub(o Money) Money { return Money{m.d.Sub(o.d)} }

// Neg is -m.
func (m Money) Neg() Money { return Money{m.d.Neg()} }

// Mul is exact, for quantity times unit price.
func (m Money) Mul(o Money) Money { return Money{m.d.Mul(o.d)} }

// Round rounds half away from zero to the given number of decimal places.
func (m Money) Round(places int32) Money { return Money{m.d.Round(places)} }

// Cmp orders amounts: -1, 0, +1.
func (m Money) Cmp(o Money) int { return m.d.Cmp(o.d) }

// Sign is -1, 0 or +1.
func (m Money) Sign() int { return m.d.Sign() }

// IsZero reports a zero amount.
func (m Money) IsZero() bool { return m.d.IsZero() }

// String is the plain decimal with the digits it was read with: "2100.00".
func (m Money) String() string {
	if e := m.d.Exponent(); e < 0 {
		return m.d.StringFixed(-e)
	}
	return m.d.String()
}

// Fixed is the decimal with exactly the given places: "2100.00".
func (m Money) Fixed(places int32) string { return m.d.StringFixed(places) }

// Number is a JSON number literal with two places, for APIs that want numbers.
func (m Money) Number() json.Number { return json.Number(m.Fixed(2)) }

// MarshalJSON writes a string.
func (m Money) MarshalJSON() ([]byte, error) { return json.Marshal(m.String()) }

// UnmarshalJSON reads a string or a number literal.
func (m *Money) UnmarshalJSON(b []byte) error {
	s := string(b)
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
	}
	v, err := ParseMoney(s)
	if err != nil {
		return err
	}
	*m = v
	return nil
}
