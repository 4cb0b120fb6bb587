package compat_test

import (
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/schemas/compat"
)

const before = `{"type":"record","name":"R","fields":[
 {"name":"id","type":"string"},
 {"name":"note","type":"string","default":""},
 {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"},"default":0},
 {"name":"items","type":{"type":"array","items":{"type":"record","name":"Item","fields":[{"name":"n","type":"int"}]}},"default":[]},
 {"name":"size","type":"int","default":0}]}`

func TestWhatPassesAndWhatDoesNot(t *testing.T) {
	edit := func(old, text string) string {
		t.Helper()
		next := strings.Replace(before, old, text, 1)
		if next == before {
			t.Fatalf("%q is not in the schema", old)
		}
		return next
	}
	for name, tc := range map[string]struct {
		next, says string // "" passes
	}{
		"the same":                           {before, ""},
		"another doc":                        {edit(`"name":"id",`, `"name":"id","doc":"x",`), ""},
		"a field added with a default":       {edit(`{"name":"id"`, `{"name":"more","type":"long","default":7},{"name":"id"`), ""},
		"a field with a default removed":     {edit(`{"name":"note","type":"string","default":""},`, ``), ""},
		"a nested field added with default":  {edit(`{"name":"n","type":"int"}`, `{"name":"n","type":"int"},{"name":"m","type":"int","default":1}`), ""},
		"fields in another order":            {`{"type":"record","name":"R","fields":[{"name":"note","type":"string","default":""},{"name":"id","type":"string"}]}`, ""},
		"a field added without a default":    {edit(`{"name":"id"`, `{"name":"more","type":"long"},{"name":"id"`), "R.more: a new field needs a default"},
		"a field without a default removed":  {edit(`{"name":"id","type":"string"},`, ``), "R.id: a removed field must have had a default"},
		"a field renamed":                    {edit(`"name":"id"`, `"name":"key"`), "R.id"},
		"a field renamed with an alias":      {edit(`"name":"id"`, `"name":"key","aliases":["id"],"default":""`), "R.id: a removed field must have had a default"},
		"a field retyped":                    {edit(`"name":"id","type":"string"`, `"name":"id","type":"long"`), "R.id: was string and is long"},
		"a field promoted":                   {edit(`"name":"size","type":"int"`, `"name":"size","type":"long"`), "R.size: was int and is long"},
		"a field made optional":              {edit(`"name":"id","type":"string"`, `"name":"id","type":["string","null"]`), "R.id: was string and is union"},
		"another unit of time":               {edit("timestamp-micros", "timestamp-millis"), "timestamp-micros"},
		"a nested field without a default":   {edit(`{"name":"n","type":"int"}`, `{"name":"n","type":"int"},{"name":"m","type":"int"}`), "R.items[].m"},
		"a nested field retyped":             {edit(`{"name":"n","type":"int"}`, `{"name":"n","type":"string"}`), "R.items[].n: was int and is string"},
		"a record renamed":                   {edit(`"name":"R"`, `"name":"S"`), "keeps its name"},
		"no Avro":                            {`{"type":"nosuch"}`, "parse schema"},
		"not a record":                       {`"string"`, "a topic's value is a record"},
		"recursive":                          {edit(`{"name":"id"`, `{"name":"next","type":["null","R"],"default":null},{"name":"id"`), "contains itself"},
		"an array of nothing":                {edit(`{"name":"id"`, `{"name":"none","type":{"type":"array","items":"null"},"default":[]},{"name":"id"`), "at least one byte"},
		"an array of records without fields": {edit(`{"name":"id"`, `{"name":"none","type":{"type":"array","items":{"type":"record","name":"E","fields":[]}},"default":[]},{"name":"id"`), "at least one byte"},
	} {
		t.Run(name, func(t *testing.T) {
			err := compat.FullTransitive(tc.next, []string{before})
			switch {
			case tc.says == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)):
				t.Errorf("says %v, want %q", err, tc.says)
			}
		})
	}
}

// TestEveryVersionCounts: a field that comes back with another type passes
// against the latest version and breaks values of the first.
func TestEveryVersionCounts(t *testing.T) {
	v1 := `{"type":"record","name":"R","fields":[{"name":"a","type":"string","default":""}]}`
	v2 := `{"type":"record","name":"R","fields":[]}`
	v3 := `{"type":"record","name":"R","fields":[{"name":"a","type":"long","default":0}]}`
	if err := compat.FullTransitive(v3, []string{v2}); err != nil {
		t.Errorf("against the latest only: %v", err)
	}
	if err := compat.FullTransitive(v3, []string{v1, v2}); err == nil || !strings.Contains(err.Error(), "version 1") {
		t.Errorf("says %v, want a conflict with version 1", err)
	}
}
