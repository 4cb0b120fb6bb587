package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFileBytes: a configuration file that is larger is something else.
const maxFileBytes = 4 << 20

// Object is one declared object and where it was declared.
type Object struct {
	Spec  Spec
	File  string
	start place
	// fields says where each field was written, by its path ("auth.token").
	fields map[string]place
}

type place struct{ line, column int }

// Problem places a message at a field of the object; "" is the object itself.
// A field that was not written is placed at the nearest one around it.
func (o *Object) problem(field, format string, args ...any) Problem {
	at, ok := o.fields[field]
	for !ok && strings.Contains(field, ".") {
		field = field[:strings.LastIndex(field, ".")]
		at, ok = o.fields[field]
	}
	if !ok {
		at = o.start
	}
	return Problem{File: o.File, Line: at.line, Column: at.column, Message: fmt.Sprintf(format, args...)}
}

// Lookup is os.LookupEnv or what stands in for it.
type Lookup func(name string) (value string, ok bool)

// Read reads files and directories (their *.yaml and *.yml, not what is below)
// and returns what they declare. All problems of all files are one [Problems].
func Read(paths []string, env Lookup) ([]Object, error) {
	files, err := expandPaths(paths)
	if err != nil {
		return nil, err
	}
	var objects []Object
	var problems Problems
	for _, file := range files {
		text, err := readFile(file)
		if err != nil {
			return nil, err
		}
		found, wrong := Parse(file, text, env)
		objects = append(objects, found...)
		problems = append(problems, wrong...)
	}
	problems = append(problems, duplicates(objects)...)
	return objects, problems.orNil()
}

func expandPaths(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("%s: no such file or directory", path)
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, err
		}
		found := 0
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml") {
				files = append(files, filepath.Join(path, e.Name()))
				found++
			}
		}
		if found == 0 {
			return nil, fmt.Errorf("%s: the directory has no *.yaml file", path)
		}
	}
	return files, nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s: %d bytes are too many for a configuration file", path, info.Size())
	}
	return os.ReadFile(path) // #nosec G304 -- the operator's own path
}

// Parse reads the YAML documents of one file, strictly: what is not known is a
// problem, never ignored. File is only used to name it.
func Parse(file string, text []byte, env Lookup) ([]Object, Problems) {
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		if located, ok := errors.AsType[yaml.Error](err); ok {
			p := Problem{File: file, Message: "not valid YAML: " + located.GetMessage()}
			if t := located.GetToken(); t != nil && t.Position != nil {
				p.Line, p.Column = t.Position.Line, t.Position.Column
			}
			return nil, Problems{p}
		}
		return nil, Problems{{File: file, Message: "not valid YAML: " + err.Error()}}
	}
	var objects []Object
	var problems Problems
	for _, doc := range tree.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType || doc.Body.Type() == ast.CommentType {
			continue
		}
		d := &decoder{object: Object{File: file, fields: map[string]place{}}, env: env}
		d.document(doc.Body)
		if len(d.problems) > 0 {
			problems = append(problems, d.problems...)
			continue
		}
		objects = append(objects, d.object)
	}
	return objects, problems
}

func duplicates(objects []Object) Problems {
	var problems Problems
	first := map[Key]*Object{}
	for i := range objects {
		o := &objects[i]
		key := o.Spec.Key()
		if earlier, ok := first[key]; ok {
			problems = append(problems, o.problem("", "%s is declared twice, first in %s:%d", key, earlier.File, earlier.start.line))
			continue
		}
		first[key] = o
	}
	return problems
}

func kindNames() []string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return names
}

// Secrets relative to a file are read from its directory.
func besides(file, path string) string {
	if filepath.IsAbs(path) || file == "" {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}

// expandEnvironment replaces ${NAME} and ${NAME:-default}; nothing else of a
// shell's language.
func expandEnvironment(text string, env Lookup) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		inner, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", errors.New("${ without }")
		}
		name, fallback, hasFallback := strings.Cut(inner, ":-")
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isNameRune(r) }) {
			return "", fmt.Errorf("${%s} is not ${NAME} or ${NAME:-default}", inner)
		}
		value, ok := env(name)
		switch {
		case ok && value != "":
			out.WriteString(value)
		case hasFallback:
			out.WriteString(fallback)
		default:
			return "", fmt.Errorf("the environment variable %s is not set; set it, or give a default: ${%s:-default}", name, name)
		}
		text = after
	}
}

func isNameRune(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}
