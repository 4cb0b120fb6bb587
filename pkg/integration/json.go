package integration

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// AppendJSON appends what encoding/json writes without escaping HTML, objects in
// the order of their names: the same payload has the same bytes, whatever wrote
// it. What payloads are made of goes without reflection, anything else is left
// to the library.
func AppendJSON(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case *Tree:
		return appendTree(dst, v)
	case string:
		return appendText(dst, v)
	case bool:
		if v {
			return append(dst, "true"...), nil
		}
		return append(dst, "false"...), nil
	case map[string]any:
		return appendMap(dst, v)
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

func appendTree(dst []byte, t *Tree) ([]byte, error) {
	if t == nil {
		return append(dst, "null"...), nil
	}
	dst = append(dst, '{')
	for i := range t.members {
		m := &t.members[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendText(dst, m.name); err != nil {
			return dst, err
		}
		dst = append(dst, ':')
		if m.isText() {
			dst, err = appendText(dst, m.text)
		} else {
			dst, err = AppendJSON(dst, m.value)
		}
		if err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func appendMap(dst []byte, m map[string]any) ([]byte, error) {
	if m == nil {
		return append(dst, "null"...), nil
	}
	t := NewTree(len(m))
	for name, value := range m {
		t.Put(name, value)
	}
	return appendTree(dst, t)
}

func appendList[E any](dst []byte, list []E) ([]byte, error) {
	dst = append(dst, '[')
	for i := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = AppendJSON(dst, list[i]); err != nil {
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
