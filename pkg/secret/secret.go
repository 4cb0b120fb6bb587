package secret

import (
	"fmt"
	"log/slog"
)

const hidden = "***"

// Secret is a credential. It prints as *** however it is formatted, logged or
// marshalled; only [Secret.Reveal] returns the text.
type Secret string

// Reveal returns the text, for the one place that has to send it.
func (s Secret) Reveal() string { return string(s) }

// String hides the text from %s and %v.
func (s Secret) String() string { return hidden }

// GoString hides the text from %#v.
func (s Secret) GoString() string { return hidden }

// Format hides the text from every verb, %x and %q included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// LogValue hides the text from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON hides the text from JSON.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// MarshalText hides the text from everything that writes text, map keys included.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalYAML hides the text from YAML.
func (s Secret) MarshalYAML() (any, error) { return hidden, nil }
