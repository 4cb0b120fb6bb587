package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// Fields are the members of a JSON object, sorted by name, each value as it was
// written: numbers keep their digits, objects and lists their bytes.
func Fields(object []byte) ([]record.Field, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	if members == nil {
		return nil, fmt.Errorf("not a JSON object: null")
	}
	out := make([]record.Field, 0, len(members))
	for name, raw := range members {
		f := record.Field{Name: name, Kind: record.KindNumber, Value: string(raw)}
		switch raw[0] {
		case '"':
			f.Kind = record.KindText
			if err := json.Unmarshal(raw, &f.Value); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		case '{', '[':
			f.Kind = record.KindJSON
		case 't', 'f':
			f.Kind = record.KindBool
		case 'n':
			f.Kind, f.Value = record.KindNull, ""
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b record.Field) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Member is one member of a JSON object as it was written; nil if there is none.
func Member(object []byte, name string) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(object, &members) != nil || bytes.Equal(members[name], []byte("null")) {
		return nil
	}
	return members[name]
}
