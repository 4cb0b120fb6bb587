package revenova

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

type replicator struct{}

// parserVersion changes when a stored payload would be read differently.
const parserVersion = 1

func (replicator) Version() int32 { return parserVersion }

func (replicator) Observe(format, _ string, payload []byte, room []record.Field) (integration.Observation, error) {
	var o integration.Observation
	var err error
	text := textOf(payload)
	switch format {
	case formatSOAP:
		o, err = observeSOAP(text)
	case formatOMJSON:
		o, err = observeOMJSON(text, room)
	case formatAccounting:
		o, err = observeAccounting(text)
	case formatCDC:
		o, err = observeCDC(text)
	case formatREST:
		o, err = observeREST(text)
	default:
		err = fmt.Errorf("no parser for format %q", format)
	}
	if err != nil {
		return integration.Observation{}, fault.Unreadable("unreadable_payload", err)
	}
	return o, nil
}

// entityType is the replica's name of a Salesforce object, "" for "".
func entityType(object string) string {
	if object == "" {
		return ""
	}
	if object == "Account" { // what nearly all records are
		return typeAccount
	}
	return "sf_" + strings.ToLower(object)
}

var errAmbiguous = errors.New("one field with two values")

// finish puts an observation's fields in order and takes id, version and
// deletion out of them.
func finish(o integration.Observation) (integration.Observation, error) {
	sortFields(o.Fields)
	twice := false
	for i := 1; i < len(o.Fields); i++ {
		f, before := &o.Fields[i], &o.Fields[i-1]
		if f.Name != before.Name {
			continue
		}
		if *f != *before {
			return o, fmt.Errorf("%w: %s", errAmbiguous, f.Name)
		}
		twice = true
	}
	if twice {
		o.Fields = slices.CompactFunc(o.Fields, func(a, b record.Field) bool { return a.Name == b.Name })
	}
	id := fieldValue(o.Fields, "Id")
	if o.EntityType == "" {
		o.EntityType = entityType(standardObject(id))
	}
	if o.Version == "" {
		o.Version = version(fieldValue(o.Fields, "SystemModstamp"))
	}
	if o.Version == "" {
		o.Version = version(fieldValue(o.Fields, "LastModifiedDate"))
	}
	if fieldValue(o.Fields, "IsDeleted") == "true" {
		o.Deleted = true
	}
	return o, nil
}

// sortFields sorts by name and keeps the order of equal names. Sources write
// nearly in this order, the id in front: then each field moves a place or two.
func sortFields(fields []record.Field) {
	const few = 100
	if len(fields) > few {
		slices.SortStableFunc(fields, func(a, b record.Field) int { return strings.Compare(a.Name, b.Name) })
		return
	}
	for i := 1; i < len(fields); i++ {
		to := i
		for to > 0 && fields[to-1].Name > fields[i].Name {
			to--
		}
		if to < i {
			f := fields[i]
			copy(fields[to+1:i+1], fields[to:i])
			fields[to] = f
		}
	}
}

// fieldValue is the value of a field in a sorted list.
func fieldValue(fields []record.Field, name string) string {
	i, ok := slices.BinarySearchFunc(fields, name, func(f record.Field, n string) int { return strings.Compare(f.Name, n) })
	if !ok {
		return ""
	}
	return fields[i].Value
}

// standardObject tells a standard object by the id's first three characters,
// for converters that drop xsi:type. Custom objects have prefixes of their org.
func standardObject(id string) string {
	if len(id) < 3 {
		return ""
	}
	switch id[:3] {
	case "001":
		return "Account"
	case "003":
		return "Contact"
	case "006":
		return "Opportunity"
	case "00Q":
		return "Lead"
	}
	return ""
}

const versionLayout = "2006-01-02T15:04:05.000Z"

// version writes a point in time so that times order bytewise; "" if the text
// is none.
func version(text string) string {
	if text == "" {
		return ""
	}
	for _, layout := range [...]string{
		time.RFC3339Nano,                // outbound messages: 2017-05-02T11:53:53.000Z
		"2006-01-02T15:04:05.999-0700",  // REST: 2011-07-07T00:37:00.000+0000
		"2006-01-02T15:04:05.999999999", // no zone: UTC
		time.DateTime,                   // 2019-08-05 00:00:00
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return versionOf(t)
		}
	}
	return ""
}

func versionOf(t time.Time) string {
	t = t.UTC()
	if y := t.Year(); y < 1 || y > 9999 {
		return ""
	}
	return t.Format(versionLayout)
}
