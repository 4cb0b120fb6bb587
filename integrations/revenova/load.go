package revenova

import (
	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

func upsertTMSLoad(r *record.Replica, s integration.Settings) integration.Normalized {
	l := &canonical.Load{
		SourceID:     r.RecordID.Local(),
		Number:       text(r, "Name", "loadName"),
		Status:       r.Text("rtms__Load_Status__c"),
		Customer:     lookup(r, canonical.TMSCustomer, "rtms__Customer__c", "customerId"),
		BillTo:       lookup(r, canonical.TMSCustomer, "rtms__Bill_To__c", "customerBillToId"),
		Carrier:      lookup(r, canonical.TMSVendor, "rtms__Carrier__c"),
		OrderNumber:  filled(r, "rtms__Order_Number__c"),
		PONumber:     filled(r, "rtms__PO_Number__c"),
		OrderDate:    day(filled(r, "rtms__Order_Date__c"), s),
		ShipDate:     day(filled(r, "rtms__Expected_Ship_Date2__c"), s),
		DeliveryDate: day(filled(r, "rtms__Expected_Delivery_Date2__c"), s),
		Mode:         text(r, "rtms__Mode_Name__c", "mode"),
		Weight:       filled(r, "rtms__Total_Weight__c", "weight"),
		WeightUnits:  filled(r, "rtms__Weight_Units__c", "weightUnits"),
		Revenue:      optionalMoney(r, "rtms__Customer_Invoice_Total__c", "rtms__Customer_Quote_Total__c"),
		Cost:         optionalMoney(r, "rtms__Carrier_Invoice_Total__c", "rtms__Carrier_Quote_Total__c"),
		Currency:     r.Text("CurrencyIsoCode"),
	}
	c := integration.Canonical{Entity: canonical.TMSLoad, Value: l}
	if cancelled(r, s) {
		c.Withdrawn, c.Void = "load_cancelled", true
	}
	return integration.Normalized{
		Entities:   []integration.Canonical{c},
		References: refs(l.Customer, l.BillTo, l.Carrier),
	}
}

// cancelled reports a load that will not be carried.
func cancelled(load *record.Replica, s integration.Settings) bool {
	return anyOf(listSetting(s, "cancelled_statuses", "Cancelled", "Declined", "Expired"), load.Text("rtms__Load_Status__c"))
}

// optionalMoney is the first of the named amounts that is there, readable and
// not zero: Revenova keeps 0.0 in totals that do not exist yet.
func optionalMoney(r *record.Replica, names ...string) *canonical.Money {
	var zero *canonical.Money
	for _, name := range names {
		m, err := canonical.ParseMoney(filled(r, name))
		if err != nil {
			continue
		}
		if m = cents(m); !m.IsZero() {
			return &m
		}
		if zero == nil {
			zero = &m
		}
	}
	return zero
}
