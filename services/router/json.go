package router

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// appendJSON writes what encoding/json writes without escaping HTML, maps in
// the order of their keys: the same payload has the same bytes. What payloads
// are made of goes without reflection, anything else is left to the library.
func appendJSON(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case string:
		return appendText(dst, v)
	case bool:
		if v {
			return append(dst, "true"...), nil
		}
		return append(dst, "false"...), nil
	case map[string]any:
		return appendObject(dst, v)
	case []any:
		if v == nil {
			return append(dst, "null"...), nil
		}
		return appendList(dst, v)
	case []map[string]any:
		if v == nil {
			return append(dst, "null"...), nil
		}
		return appendList(dst, v)
	}
	return appendOther(dst, v)
}

type member struct {
	name  string
	value any
}

func appendObject(dst []byte, m map[string]any) ([]byte, error) {
	if m == nil {
		return append(dst, "null"...), nil
	}
	var room [24]member
	members := room[:0]
	for name, value := range m {
		members = append(members, member{name, value})
	}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	dst = append(dst, '{')
	for i := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendText(dst, members[i].name); err != nil {
			return dst, err
		}
		if dst, err = appendJSON(append(dst, ':'), members[i].value); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func appendList[E any](dst []byte, list []E) ([]byte, error) {
	dst = append(dst, '[')
	for i := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendJSON(dst, list[i]); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func appendText(dst []byte, s string) ([]byte, error) {
	for i := range len(s) {
		if b := s[i]; b < ' ' || b == '"' || b == '\\' || b >= utf8.RuneSelf {
			return appendOther(dst, s)
		}
	}
	return append(append(append(dst, '"'), s...), '"'), nil
}

func appendOther(dst []byte, v any) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return dst, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
