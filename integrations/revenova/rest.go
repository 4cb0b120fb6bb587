package revenova

import (
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// observeREST reads one record as the REST API answers it. It is not Complete:
// a retrieve answers the fields that were asked for, with explicit nulls.
func observeREST(payload string) (integration.Observation, error) {
	var o integration.Observation
	root, err := object(payload)
	if err != nil {
		return o, err
	}
	root.ForEach(func(key, value gjson.Result) bool {
		if key.String() == "attributes" && value.IsObject() {
			o.EntityType = entityType(value.Get("type").String())
			return true
		}
		o.Fields = append(o.Fields, jsonField(key.String(), value))
		return true
	})
	return finish(o)
}

// jsonField keeps a JSON value as it is: numbers in their literal text, objects
// and lists verbatim.
func jsonField(name string, v gjson.Result) record.Field {
	if v.IsObject() || v.IsArray() {
		return record.Field{Name: name, Kind: record.KindJSON, Value: v.Raw}
	}
	return fieldOf(name, v)
}

// splitCDC makes one event for each record a change event names.
func splitCDC(event gjson.Result, id string, d *integration.Delivery) bool {
	header := member(event, "ChangeEventHeader")
	if id == "" {
		id = header.Get("transactionKey").String()
		if seq := header.Get("sequenceNumber"); id != "" && seq.Exists() {
			id += "-" + seq.Raw
		}
	}
	ids := header.Get("recordIds").Array()
	if len(ids) == 0 {
		return false
	}
	for _, r := range ids {
		d.Events = append(d.Events, integration.Event{
			LocalID: normalID(r.String()), EventID: id,
			Format: formatCDC, ContentType: typeJSON, Payload: bytesOf(event.Raw),
		})
	}
	return true
}

// observeCDC reads a change event, which holds only what changed. A changed
// field that is not there became null.
func observeCDC(payload string) (integration.Observation, error) {
	var o integration.Observation
	root, err := object(payload)
	if err != nil {
		return o, err
	}
	header := member(root, "ChangeEventHeader")
	o.EntityType = entityType(header.Get("entityName").String())
	change := header.Get("changeType").String()
	o.Deleted = change == "DELETE" || change == "GAP_DELETE"
	present := map[string]bool{}
	add := func(f record.Field) {
		if !present[f.Name] {
			present[f.Name] = true
			o.Fields = append(o.Fields, f)
		}
	}
	root.ForEach(func(key, value gjson.Result) bool {
		name := key.String()
		switch {
		case name == "ChangeEventHeader":
		case value.IsObject() && compound(name):
			value.ForEach(func(part, v gjson.Result) bool {
				add(jsonField(flatName(name, part.String()), v))
				return true
			})
		default:
			add(jsonField(name, value))
		}
		return true
	})
	if change == "UPDATE" {
		for _, changed := range header.Get("changedFields").Array() {
			name := changed.String()
			if parent, part, ok := strings.Cut(name, "."); ok {
				name = flatName(parent, part)
			}
			if !root.Get(gjson.Escape(name)).Exists() {
				add(record.Field{Name: name, Kind: record.KindNull})
			}
		}
	}
	if strings.HasPrefix(change, "GAP_") {
		// A gap event says that something happened, not what: the fetch that
		// follows an unversioned event finds out.
		o.Fields = nil
		o, err = finish(o)
		if o.Deleted {
			o.Version = commitTime(header)
		}
		return o, err
	}
	if o.Deleted {
		o.Version = commitTime(header)
	}
	if o, err = finish(o); err == nil && o.Version == "" {
		o.Version = commitTime(header)
	}
	return o, err
}

func commitTime(header gjson.Result) string {
	ms := header.Get("commitTimestamp").Int()
	if ms <= 0 {
		return ""
	}
	return versionOf(time.UnixMilli(ms))
}

// compound reports a compound field whose parts are fields of their own in
// every other form.
func compound(name string) bool { return name == "Name" || strings.HasSuffix(name, "Address") }

// flatName is the field a part of a compound field is: MailingAddress.City →
// MailingCity, Name.LastName → LastName.
func flatName(parent, part string) string {
	if prefix, ok := strings.CutSuffix(parent, "Address"); ok {
		return prefix + part
	}
	if parent == "Name" {
		return part
	}
	return parent + "." + part
}
