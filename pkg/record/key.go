package record

import (
	"errors"
	"fmt"
	"strings"
)

// TenantID names a tenant for ever: ids are never used again after a tenant is
// erased, so a key can never mean two tenants.
type TenantID string

// ID names one source record inside a tenant: "<app>:<id>". The integration
// makes <id> unique in its app ("revenova:0015g00000AbCdEAAV",
// "quickbooks:Vendor:56").
type ID string

// NewID joins an app's name and the id the integration chose.
func NewID(app, id string) ID { return ID(app + ":" + id) }

// App is the part before the first colon; "" if there is none.
func (id ID) App() string {
	app, _, ok := strings.Cut(string(id), ":")
	if !ok {
		return ""
	}
	return app
}

// Local is the part after the first colon: the id as the source app knows it.
func (id ID) Local() string {
	_, local, _ := strings.Cut(string(id), ":")
	return local
}

// Key is the message key that all states of a record carry on every data
// topic: "tenant_id/record_id", injectively escaped, so that no pair of
// (tenant, id) can be written as another pair's key.
type Key string

// KeyOf escapes '%', '/' and control bytes in both parts.
func KeyOf(t TenantID, id ID) Key { return Key(escape(string(t)) + "/" + escape(string(id))) }

// Is reports whether k is the key of a record, as KeyOf would make it.
func (k Key) Is(t TenantID, id ID) bool {
	if n := len(t); len(k) == n+1+len(id) && k[n] == '/' && string(k[:n]) == string(t) && string(k[n+1:]) == string(id) {
		return plain(string(t)) && plain(string(id))
	}
	return k == KeyOf(t, id)
}

// ErrKey reports bytes that KeyOf cannot have produced.
var ErrKey = errors.New("not a record key")

// Parse is the inverse of KeyOf. It refuses anything KeyOf does not produce,
// including other spellings of the same pair.
func (k Key) Parse() (TenantID, ID, error) {
	t, id, ok := strings.Cut(string(k), "/")
	if !ok {
		return "", "", fmt.Errorf("%w: %q has no '/'", ErrKey, string(k))
	}
	tenant, err := unescape(t)
	if err != nil {
		return "", "", err
	}
	local, err := unescape(id)
	if err != nil {
		return "", "", err
	}
	if KeyOf(TenantID(tenant), ID(local)) != k {
		return "", "", fmt.Errorf("%w: %q is not in its canonical spelling", ErrKey, string(k))
	}
	return TenantID(tenant), ID(local), nil
}

const hexDigits = "0123456789ABCDEF"

func mustEscape(c byte) bool { return c == '%' || c == '/' || c < 0x20 || c == 0x7f }

func plain(s string) bool {
	for i := range len(s) {
		if mustEscape(s[i]) {
			return false
		}
	}
	return true
}

func escape(s string) string {
	n := 0
	for i := range len(s) {
		if mustEscape(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 2*n)
	for i := range len(s) {
		c := s[i]
		if mustEscape(c) {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

func unescape(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", fmt.Errorf("%w: truncated escape in %q", ErrKey, s)
		}
		hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
		if hi < 0 || lo < 0 {
			return "", fmt.Errorf("%w: bad escape in %q", ErrKey, s)
		}
		b.WriteByte(byte(hi<<4 | lo)) //nolint:gosec // two hex digits
		i += 2
	}
	return b.String(), nil
}
