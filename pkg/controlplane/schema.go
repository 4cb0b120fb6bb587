package controlplane

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
)

//go:generate go run ./schemagen ../../docs/config.schema.json

// JSONSchema describes one document of a configuration file, for editors. It
// is made from the structs that the files are decoded into, so the two agree;
// what needs more than one object to check (does the target exist?) it cannot say.
func JSONSchema() ([]byte, error) {
	var kinds []any
	for _, k := range Kinds() {
		spec, _ := newSpec(k)
		object := schemaOf(reflect.TypeOf(spec).Elem())
		properties, _ := object["properties"].(map[string]any)
		properties["kind"] = map[string]any{"const": string(k)}
		object["title"] = string(k)
		kinds = append(kinds, object)
	}
	text, err := json.MarshalIndent(map[string]any{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"$id":         "https://fluxnex.com/config.schema.json",
		"title":       "FluxNex configuration",
		"description": "One document of a file for fluxnex apply -f. Generated from pkg/controlplane; do not edit.",
		"type":        "object",
		"oneOf":       kinds,
	}, "", "  ")
	return append(text, '\n'), err
}

func schemaOf(t reflect.Type) map[string]any {
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.String:
		return map[string]any{"type": []string{"string", "number", "boolean"}} // any scalar is taken as its text
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer", "minimum": 0}
	case reflect.Float64:
		return map[string]any{"type": "number", "minimum": 0}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		if t.Elem().Kind() == reflect.Interface {
			return map[string]any{"type": "object"}
		}
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Struct:
		return structSchema(t)
	}
	return map[string]any{}
}

func structSchema(t reflect.Type) map[string]any {
	properties := map[string]any{}
	var required []string
	for f := range t.Fields() {
		name := jsonName(f)
		property := schemaOf(f.Type)
		c := checksOf(f)
		doc := f.Tag.Get("doc")
		if c.expand {
			if doc != "" {
				doc += "; "
			}
			doc += "${NAME} and ${NAME:-default} are replaced by the environment"
		}
		if doc != "" {
			property["description"] = doc
		}
		if len(c.enum) > 0 {
			property["enum"] = c.enum
			property["type"] = "string"
		}
		if c.required {
			required = append(required, name)
		}
		properties[name] = property
	}
	out := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	if t == reflect.TypeFor[SecretRef]() {
		out["description"] = "where a secret is read from when the object is applied; never the secret itself"
		var ways []any
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			ways = append(ways, map[string]any{"required": []string{name}})
		}
		out["anyOf"] = ways
	}
	return out
}
