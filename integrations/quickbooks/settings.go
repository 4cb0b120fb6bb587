package quickbooks

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/fluxnex/fluxnex/pkg/integration"
)

// text reads an id that a person may have written as a number.
func text(v any) string {
	switch t := v.(type) {
	case string:
		return t
	case json.Number:
		return t.String()
	case int:
		return strconv.Itoa(t)
	case int64:
		return strconv.FormatInt(t, 10)
	case uint64:
		return strconv.FormatUint(t, 10)
	case float64:
		if t == math.Trunc(t) && math.Abs(t) < 1<<53 {
			return strconv.FormatInt(int64(t), 10)
		}
	}
	return ""
}

func setting(s integration.Settings, name string) string { return text(s[name]) }

// byKey reads a setting that is one id for all or an object of ids with
// "default" for the rest.
func byKey(s integration.Settings, name, key string) string {
	m, ok := s[name].(map[string]any)
	if !ok {
		return setting(s, name)
	}
	if v := text(m[key]); v != "" {
		return v
	}
	return text(m["default"])
}

func flag(s integration.Settings, name string) bool {
	b, _ := s[name].(bool)
	return b
}
