package revenova

import (
	"fmt"

	"github.com/tidwall/gjson"

	"github.com/fluxnex/fluxnex/pkg/integration"
)

// Entity types this integration understands; see entityType.
const (
	typeAccount = "sf_account"
	typeContact = "sf_contact"
	typeLoad    = "sf_rtms__load__c"
	typeInvoice = "sf_rtms__customerinvoice__c"
	typeBill    = "sf_rtms__carrierinvoice__c"
	typeProfile = "sf_rtms__transportationprofile__c"
)

// accountingKind says which record an accounting event is about. The events
// carry no type of their own; each is told by its leading id.
func accountingKind(e gjson.Result) (entity string, id gjson.Result) {
	has := func(name string) bool { return e.Get(name).Exists() }
	switch {
	case has("paymentId"): // these go to Revenova, not from it
		return "", gjson.Result{}
	case has("invoiceId") && (has("vendorId") || has("vendorRemitToId")):
		return typeBill, e.Get("invoiceId")
	case has("invoiceId"):
		return typeInvoice, e.Get("invoiceId")
	case has("loadId"):
		return typeLoad, e.Get("loadId")
	case has("vendorId"):
		return typeAccount, e.Get("vendorId")
	case has("customerId"):
		return typeAccount, e.Get("customerId")
	}
	return "", gjson.Result{}
}

func splitAccounting(e gjson.Result, eventID string, d *integration.Delivery) bool {
	entity, id := accountingKind(e)
	if entity == "" {
		return false
	}
	for _, name := range [...]string{"EventUUID", "EventUuid", "eventUUID", "eventUuid"} {
		if eventID == "" {
			eventID = e.Get(name).String()
		}
	}
	d.Events = append(d.Events, integration.Event{
		LocalID: normalID(id.String()), EventID: eventID,
		Format: formatAccounting, ContentType: typeJSON, Payload: bytesOf(e.Raw),
	})
	return true
}

// observeAccounting keeps the event's own field names; lists (charges, stops,
// contacts) are kept verbatim. Custom fields, which are named by their API
// names, become fields too.
func observeAccounting(payload string) (integration.Observation, error) {
	var o integration.Observation
	root, err := object(payload)
	if err != nil {
		return o, err
	}
	if o.EntityType, _ = accountingKind(root); o.EntityType == "" {
		return o, fmt.Errorf("%w: no accounting event", errJSON)
	}
	present := map[string]bool{}
	root.ForEach(func(key, value gjson.Result) bool {
		name := key.String()
		if name == "nvoiceDate" { // as Revenova's documentation prints it
			name = "invoiceDate"
		}
		present[name] = true
		o.Fields = append(o.Fields, jsonField(name, value))
		return true
	})
	for _, custom := range root.Get("customFields").Array() {
		name := custom.Get("fieldname").String()
		if value := custom.Get("value"); name != "" && value.Exists() && !present[name] {
			present[name] = true
			o.Fields = append(o.Fields, jsonField(name, value))
		}
	}
	// Without a version on purpose: nothing in the event orders it.
	return finish(o)
}
