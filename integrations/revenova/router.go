package revenova

import (
	"fmt"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

type normalizer struct{}

// Settings of a Revenova connection. All are optional.
//
//	vendor_types            values of rtms__TMS_Type__c that make a vendor   (Carrier, Vendor, Factoring Company)
//	customer_types          … that make a customer                          (Customer)
//	vendor_account_types    values of the standard field Type that do        (Vendor)
//	customer_account_types  … and for customers                              (Customer)
//	invoice_statuses        rtms__Invoice_Status__c of invoices to be sent   (Approved, Invoiced, Paid, Short Paid)
//	bill_statuses           … of vendor invoices                             (Approved, Paid, Short Paid)
//	cancelled_statuses      rtms__Load_Status__c that void what belongs to the load (Cancelled, Declined, Expired)
//	time_zone               the company's zone ("America/Chicago"), for dates sent as points in time
//
// A status that is not among the fields a tenant sends gates nothing: the
// tenant's own workflow rule is then the gate.

// Normalize is the router: it names the handlers of a record's entity type.
func (normalizer) Normalize(r *record.Replica, parents map[record.ID]*record.Replica, s integration.Settings) integration.Normalized {
	switch r.EntityType {
	case typeAccount:
		return account(r, parents, s)
	case typeContact:
		return upsertTMSContact(r)
	case typeLoad:
		return upsertTMSLoad(r, s)
	case typeInvoice:
		return upsertTMSInvoice(r, parents, s)
	case typeBill:
		return upsertTMSBill(r, parents, s)
	case typeProfile:
		return integration.Normalized{Ignored: "a transportation profile belongs to its account"}
	}
	return integration.Normalized{Ignored: fmt.Sprintf("%s is not synchronised", r.EntityType)}
}

// account is a vendor, a customer, both or neither.
func account(r *record.Replica, parents map[record.ID]*record.Replica, s integration.Settings) integration.Normalized {
	var n integration.Normalized
	profile := parents[profileID(r)]
	types := roles(r)
	if vendorRole(r, types, s) {
		v := upsertTMSVendor(r, profile)
		n.Entities = append(n.Entities, v.Entities...)
		n.References = append(n.References, v.References...)
	}
	if customerRole(r, types, s) {
		c := upsertTMSCustomer(r, profile)
		n.Entities = append(n.Entities, c.Entities...)
		n.References = append(n.References, c.References...)
	}
	if len(n.Entities) == 0 {
		n.Ignored = fmt.Sprintf("neither vendor nor customer: Type %q, TMS type %q",
			r.Text("Type"), text(r, "rtms__TMS_Type__c", "tmsType"))
	}
	return n
}

func roles(r *record.Replica) []string { return multi(text(r, "rtms__TMS_Type__c", "tmsType")) }

func vendorRole(r *record.Replica, types []string, s integration.Settings) bool {
	return anyOf(listSetting(s, "vendor_types", "Carrier", "Vendor", "Factoring Company"), types...) ||
		anyOf(listSetting(s, "vendor_account_types", "Vendor"), r.Text("Type")) ||
		len(types) == 0 && has(r, "vendorId") // a Vendor event is one by its name
}

func customerRole(r *record.Replica, types []string, s integration.Settings) bool {
	return anyOf(listSetting(s, "customer_types", "Customer"), types...) ||
		anyOf(listSetting(s, "customer_account_types", "Customer"), r.Text("Type")) ||
		len(types) == 0 && has(r, "customerId")
}

// Parents: an invoice takes its customer from its load and cannot do without,
// unless an accounting event named the customer. A profile only adds to its
// account.
func (normalizer) Parents(r *record.Replica) []integration.Parent {
	switch r.EntityType {
	case typeAccount:
		if id := profileID(r); id != "" {
			return []integration.Parent{{RecordID: id, EntityType: typeProfile}}
		}
	case typeInvoice:
		if id := loadID(r); id != "" {
			return []integration.Parent{{RecordID: id, EntityType: typeLoad, Required: filled(r, "customerBillToId", "customerId") == ""}}
		}
	case typeBill:
		if id := loadID(r); id != "" {
			return []integration.Parent{{RecordID: id, EntityType: typeLoad, Required: filled(r, "vendorId", "vendorRemitToId") == ""}}
		}
	}
	return nil
}

func profileID(r *record.Replica) record.ID {
	return parentID(normalID(filled(r, "rtms__Transportation_Profile__c")))
}

func loadID(r *record.Replica) record.ID {
	return parentID(normalID(filled(r, "rtms__Load__c", "loadId")))
}

func parentID(id string) record.ID {
	if id == "" {
		return ""
	}
	return record.NewID(App, id)
}

// Used names what invoices and bills read of a load, and accounts of a profile.
func (normalizer) Used(entity string) []string {
	switch entity {
	case typeLoad:
		return []string{
			"Name", "loadName", "CurrencyIsoCode", "rtms__Load_Status__c",
			"rtms__Bill_To__c", "customerBillToId", "rtms__Customer__c", "customerId", "rtms__Carrier__c",
		}
	case typeProfile:
		return []string{
			"rtms__MC_Number__c", "rtms__DOT_Number__c", "rtms__Federal_Tax_ID__c", "rtms__Invoice_Terms__c",
			"rtms__Carrier_Remit_To__c", "rtms__Default_Customer_Bill_To__c",
		}
	}
	return nil
}

func (normalizer) Fetchable(entity string) (string, bool) { return objectName(entity) }
