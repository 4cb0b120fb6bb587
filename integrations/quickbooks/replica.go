package quickbooks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// replicator reads objects as QuickBooks answers them, so that the platform
// knows the other side. What kind of object it is is in the record's id
// ("Vendor:56").
type replicator struct{}

// Version of the parser.
func (replicator) Version() int32 { return 1 }

// syncTokenDigits is more than any object will ever be changed.
const syncTokenDigits = 19

// Observe reads one whole object. A SyncToken counts the changes of its object;
// with zeros before it, tokens order bytewise.
func (replicator) Observe(format, _ string, payload []byte, _ []record.Field) (integration.Observation, error) {
	o := integration.Observation{Complete: true}
	fields, err := integration.Fields(payload)
	if format != "rest" {
		err = fmt.Errorf("no parser for format %q", format)
	}
	if err != nil {
		return o, fault.Unreadable("unreadable_payload", err)
	}
	o.Fields = fields
	id, token := value(fields, "Id"), value(fields, "SyncToken")
	if id == "" || token == "" || len(token) > syncTokenDigits || strings.Trim(token, "0123456789") != "" {
		return integration.Observation{}, fault.Unreadable("unreadable_payload", fmt.Errorf("an object with Id %q and SyncToken %.30q", id, token))
	}
	o.Version = strings.Repeat("0", syncTokenDigits-len(token)) + token
	o.Deleted = value(fields, "status") == "Deleted"
	return o, nil
}

func value(fields []record.Field, name string) string {
	if i := slices.IndexFunc(fields, func(f record.Field) bool { return f.Name == name }); i >= 0 {
		return fields[i].Value
	}
	return ""
}
