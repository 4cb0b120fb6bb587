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
	switch t := tree.(type) {
	case map[string]any:
		head, rest, _ := strings.Cut(path, ".")
		return each(t[head], rest, f)
	case []any:
		for _, e := range t {
			if !each(e, path, f) {
				return false
			}
		}
	}
	return true
}

// Set puts a value at a dotted path, making the objects on the way; nil
// removes what is there. It refuses to write through a list or a scalar.
func Set(tree map[string]any, path string, v any) error {
	parts := strings.Split(path, ".")
	for i, p := range parts[:len(parts)-1] {
		next, present := tree[p]
		if !present || next == nil {
			if v == nil {
				return nil
			}
			next = map[string]any{}
			tree[p] = next
		}
		m, ok := next.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: %s is not an object", path, strings.Join(parts[:i+1], "."))
		}
		tree = m
	}
	last := parts[len(parts)-1]
	if v == nil {
		delete(tree, last)
		return nil
	}
	tree[last] = v
	return nil
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
	case map[string]any:
		return len(t) == 0
	case []any:
		return len(t) == 0
	}
	return false
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
	head, rest, _ := strings.Cut(path, ".")
	switch t := tree.(type) {
	case map[string]any:
		return filled(t[head], rest)
	case []any:
		for _, e := range t {
			if !filled(e, path) {
				return false
			}
		}
		return len(t) > 0
	}
	return false
}

// Check finds what an object's schema forbids: mandatory fields that are
// empty and texts longer than their limit, counted in characters.
func Check(o *Object, s ObjectSchema) []Problem {
	var out []Problem
	for _, f := range s.Fields {
		if f.Mandatory && !o.refersAt(f.Path) && !filled(o.Payload, f.Path) {
			out = append(out, Problem{
				Code:    "missing_field",
				Field:   f.Path,
				Message: fmt.Sprintf("%s has no %s, which is mandatory.", o.Type, f.Path),
				Remedy:  fmt.Sprintf("Fill the field in the source record, or map %s from another one.", f.Path),
			})
		}
		if f.Max == 0 {
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

// tooLong is how many characters the first text at a path has that is over the
// limit; 0 if none is. Every record is asked this for some fifty paths.
func tooLong(tree any, path string, limit int) int {
	switch t := tree.(type) {
	case string:
		if path != "" || len(t) <= limit {
			return 0
		}
		if n := utf8.RuneCountInString(t); n > limit {
			return n
		}
	case map[string]any:
		if path == "" {
			return 0
		}
		head, rest, _ := strings.Cut(path, ".")
		return tooLong(t[head], rest, limit)
	case []any:
		if path == "" {
			return 0
		}
		for _, e := range t {
			if n := tooLong(e, path, limit); n > 0 {
				return n
			}
		}
	}
	return 0
}

// Segment escapes a value so that it stays one segment of a URL path: also "."
// and "..", which url.PathEscape leaves alone.
func Segment(s string) string {
	if strings.Trim(s, ".") == "" {
		return strings.Repeat("%2E", len(s))
	}
	return url.PathEscape(s)
}
