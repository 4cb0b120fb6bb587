package integration

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Values finds every non-null value at a dotted path of a JSON tree. A list on
// the way stands for each of its elements: "Line.Amount" is the amounts of all
// lines.
func Values(tree any, path string) []any {
	var out []any
	each(tree, path, func(v any) bool {
		out = append(out, v)
		return true
	})
	return out
}

// each calls f for every value at a path until it returns false.
func each(tree any, path string, f func(any) bool) bool {
	if path == "" {
		return tree == nil || f(tree)
	}
	if list, ok := tree.([]any); ok {
		for _, e := range list {
			if !each(e, path, f) {
				return false
			}
		}
		return true
	}
	o := objectOf(tree)
	if o == nil {
		return true
	}
	head, rest, _ := strings.Cut(path, ".")
	return each(o.Get(head), rest, f)
}

// object is a *Tree, or a map out of an expression or of what was decoded.
type object interface {
	Get(name string) any
	Put(name string, value any)
	Delete(name string)
	Len() int
	empty() any // another one of its kind
}

type mapObject map[string]any

func (m mapObject) Get(name string) any        { return m[name] }
func (m mapObject) Put(name string, value any) { m[name] = value }
func (m mapObject) Delete(name string)         { delete(m, name) }
func (m mapObject) Len() int                   { return len(m) }
func (m mapObject) empty() any                 { return map[string]any{} }

func (t *Tree) empty() any { return &Tree{} }

// objectOf is nil for what is no object.
func objectOf(v any) object {
	switch t := v.(type) {
	case *Tree:
		return t
	case map[string]any:
		return mapObject(t)
	}
	return nil
}

// Set puts a value at a dotted path of a *Tree or map[string]any, making the
// objects on the way; nil removes what is there. It refuses to write through a
// list or a scalar.
func Set(tree any, path string, v any) error {
	for at := 0; ; {
		o := objectOf(tree)
		if o == nil {
			return fmt.Errorf("%s: %s is not an object", path, path[:max(at-1, 0)])
		}
		name, _, more := strings.Cut(path[at:], ".")
		switch {
		case more:
			if tree = o.Get(name); tree == nil {
				if v == nil {
					return nil
				}
				tree = o.empty()
				o.Put(name, tree)
			}
			at += len(name) + 1
		case v == nil:
			o.Delete(name)
			return nil
		default:
			o.Put(name, v)
			return nil
		}
	}
}

// Empty reports a value that says nothing: null, "", an empty object or list.
func Empty(v any) bool {
	switch t := v.(type) {
	case nil:
		return true
	case string:
		return strings.TrimSpace(t) == ""
	case json.Number:
		return t == ""
	case []any:
		return len(t) == 0
	}
	o := objectOf(v)
	return o != nil && o.Len() == 0
}

// Missing lists the paths at which an object has nothing to send. A path that
// a reference fills just in time is not missing; in a list, every element must
// have it.
func Missing(o *Object, paths ...string) []string {
	var out []string
	for _, p := range paths {
		if !o.refersAt(p) && !filled(o.Payload, p) {
			out = append(out, p)
		}
	}
	return out
}

func (o *Object) refersAt(path string) bool {
	for _, r := range o.References {
		if r.Path == path || strings.HasPrefix(r.Path, path+".") {
			return true
		}
	}
	return false
}

func filled(tree any, path string) bool {
	if path == "" {
		return !Empty(tree)
	}
	if list, ok := tree.([]any); ok {
		for _, e := range list {
			if !filled(e, path) {
				return false
			}
		}
		return len(list) > 0
	}
	o := objectOf(tree)
	if o == nil {
		return false
	}
	head, rest, _ := strings.Cut(path, ".")
	return filled(o.Get(head), rest)
}

// Check finds what an object's schema forbids: mandatory fields that are
// empty and texts longer than their limit, counted in characters.
func Check(o *Object, s ObjectSchema) []Problem {
	var out []Problem
	most := longest(o.Payload) // most limits are far above it, and need no look
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.Mandatory && !o.refersAt(f.Path) && !filled(o.Payload, f.Path) {
			out = append(out, Problem{
				Code:    "missing_field",
				Field:   f.Path,
				Message: fmt.Sprintf("%s has no %s, which is mandatory.", o.Type, f.Path),
				Remedy:  fmt.Sprintf("Fill the field in the source record, or map %s from another one.", f.Path),
			})
		}
		if f.Max == 0 || f.Max >= most {
			continue
		}
		if n := tooLong(o.Payload, f.Path, f.Max); n > 0 {
			out = append(out, Problem{
				Code:    "too_long",
				Field:   f.Path,
				Message: fmt.Sprintf("%s of this %s has %d characters; %d are allowed.", f.Path, o.Type, n, f.Max),
				Remedy:  fmt.Sprintf("Shorten the field in the source record, or map %s with an expression that does.", f.Path),
			})
		}
	}
	return out
}

// longest is how many bytes the longest text of a tree has: no text has more
// characters.
func longest(v any) int {
	n := 0
	switch t := v.(type) {
	case string:
		n = len(t)
	case *Tree:
		for i := range t.Len() {
			m := &t.members[i]
			if m.isText() {
				n = max(n, len(m.text))
			} else {
				n = max(n, longest(m.value))
			}
		}
	case map[string]any:
		for _, e := range t {
			n = max(n, longest(e))
		}
	case []any:
		for _, e := range t {
			n = max(n, longest(e))
		}
	}
	return n
}

// tooLong is how many characters the first text at a path has that is over the
// limit; 0 if none is.
func tooLong(tree any, path string, limit int) int {
	over := func(text string) int {
		if len(text) <= limit {
			return 0
		}
		if n := utf8.RuneCountInString(text); n > limit {
			return n
		}
		return 0
	}
	if t, ok := tree.(*Tree); ok { // nearly always, and a text of its own
		head, rest, more := strings.Cut(path, ".")
		switch m := t.find(head); {
		case m == nil:
			return 0
		case more:
			return tooLong(m.get(), rest, limit)
		case m.isText():
			return over(m.text)
		}
		return 0
	}
	n := 0
	each(tree, path, func(v any) bool {
		if text, ok := v.(string); ok {
			n = over(text)
		}
		return n == 0
	})
	return n
}

// Segment escapes a value so that it stays one segment of a URL path: also "."
// and "..", which url.PathEscape leaves alone.
func Segment(s string) string {
	if strings.Trim(s, ".") == "" {
		return strings.Repeat("%2E", len(s))
	}
	return url.PathEscape(s)
}
