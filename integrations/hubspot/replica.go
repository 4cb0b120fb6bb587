package hubspot

import (
	"fmt"
	"slices"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// replicator reads objects as HubSpot answers them, so that the platform knows
// the other side. What kind of object it is is in the record's id
// ("companies:512").
type replicator struct{}

// Version of the parser.
func (replicator) Version() int32 { return 1 }

const versionLayout = "2006-01-02T15:04:05.000Z"

// Observe reads one object. It is not complete: HubSpot answers the properties
// that were asked for. They become fields beside the object's own members.
func (replicator) Observe(format, _ string, payload []byte, _ []record.Field) (integration.Observation, error) {
	var o integration.Observation
	fields, err := integration.Fields(payload)
	if format != "rest" {
		err = fmt.Errorf("no parser for format %q", format)
	}
	if err != nil {
		return o, fault.Unreadable("unreadable_payload", err)
	}
	if properties := integration.Member(payload, "properties"); properties != nil {
		more, err := integration.Fields(properties)
		if err != nil {
			return o, fault.Unreadable("unreadable_payload", fmt.Errorf("properties: %w", err))
		}
		fields = append(slices.DeleteFunc(fields, func(f record.Field) bool {
			return f.Name == "properties" || slices.ContainsFunc(more, func(m record.Field) bool { return m.Name == f.Name })
		}), more...)
	}
	o.Fields = fields
	if value(fields, "id") == "" {
		return integration.Observation{}, fault.Unreadable("unreadable_payload", fmt.Errorf("an object without an id"))
	}
	if t, err := time.Parse(time.RFC3339Nano, value(fields, "updatedAt")); err == nil {
		o.Version = t.UTC().Format(versionLayout)
	}
	o.Deleted = value(fields, "archived") == "true"
	return o, nil
}

func value(fields []record.Field, name string) string {
	if i := slices.IndexFunc(fields, func(f record.Field) bool { return f.Name == name }); i >= 0 {
		return fields[i].Value
	}
	return ""
}
