package revenova

import (
	"fmt"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// upsertTMSInvoice makes an invoice to the load's bill-to: the customer is not
// on the invoice itself, except in an accounting event.
func upsertTMSInvoice(r *record.Replica, parents map[record.ID]*record.Replica, s integration.Settings) integration.Normalized {
	load := parents[loadID(r)]
	lines, total, problem := charges(r, []component{
		{"rtms__Net_Line_Haul__c", "Freight", "Freight"},
		{"rtms__Fuel_Surcharge__c", "Fuel", "Fuel surcharge"},
		{"rtms__Accessorial_Charges__c", "Accessorial", "Accessorial charges"},
		{"rtms__Adjustments__c", "Adjustment", "Adjustments"},
		{"rtms__Tax_Amount__c", "Taxes", "Taxes"},
	}, "rtms__Invoice_Total__c", "invoiceTotal")
	if problem != nil {
		return integration.Normalized{Failure: problem}
	}
	tax := optionalMoney(r, "rtms__Tax_Amount__c", "taxAmount")
	if tax == nil {
		tax = &canonical.Money{}
	}
	customer := firstRef(canonical.TMSCustomer,
		from{load, "rtms__Bill_To__c"}, from{r, "customerBillToId"}, from{load, "customerBillToId"},
		from{load, "rtms__Customer__c"}, from{r, "customerId"}, from{load, "customerId"})
	if customer == nil {
		return integration.Normalized{Failure: &integration.Problem{
			Code: "missing_customer", Field: "rtms__Bill_To__c",
			Message: fmt.Sprintf("Load %s has neither a Bill To nor a customer, so nobody can be invoiced.", loadNumber(r, load)),
			Remedy:  "Set Bill To on the load in Revenova.",
		}}
	}
	i := &canonical.Invoice{
		SourceID:   r.RecordID.Local(),
		Number:     text(r, "Name", "invoiceNumber"),
		Status:     r.Text("rtms__Invoice_Status__c"),
		Customer:   *customer,
		Load:       lookup(r, canonical.TMSLoad, "rtms__Load__c", "loadId"),
		LoadNumber: loadNumber(r, load),
		Date:       day(filled(r, "rtms__Invoice_Date__c", "invoiceDate"), s),
		DueDate:    day(filled(r, "rtms__Invoice_Due_Date__c", "invoiceDueDate"), s),
		Currency:   documentCurrency(r, load),
		Total:      total,
		Tax:        *tax,
		Lines:      lines,
	}
	c := integration.Canonical{Entity: canonical.TMSInvoice, Value: i}
	gate(&c, r, load, s, listSetting(s, "invoice_statuses", "Approved", "Invoiced", "Paid", "Short Paid"))
	return integration.Normalized{
		Entities:   []integration.Canonical{c},
		References: refs(customer),
	}
}

// upsertTMSBill makes a bill from the vendor of the invoice, else the carrier of
// its load.
func upsertTMSBill(r *record.Replica, parents map[record.ID]*record.Replica, s integration.Settings) integration.Normalized {
	load := parents[loadID(r)]
	haul := component{"rtms__Net_Line_Haul__c", "Freight", "Freight"}
	if !has(r, haul.field) {
		haul.field = "rtms__Line_Haul__c"
	}
	lines, total, problem := charges(r, []component{
		haul,
		{"rtms__Fuel_Surcharge__c", "Fuel", "Fuel surcharge"},
		{"rtms__Accessorial_Charges__c", "Accessorial", "Accessorial charges"},
		{"rtms__Adjustments__c", "Adjustment", "Adjustments"},
	}, "rtms__Invoice_Total__c", "rtms__Carrier_Invoice_Total__c", "invoiceTotal")
	if problem != nil {
		return integration.Normalized{Failure: problem}
	}
	remitTo := lookup(r, canonical.TMSVendor, "rtms__Remit_To__c", "vendorRemitToId")
	vendor := firstRef(canonical.TMSVendor, from{r, "rtms__Vendor__c"}, from{r, "vendorId"}, from{load, "rtms__Carrier__c"})
	if vendor == nil {
		vendor = remitTo
	}
	if vendor == nil {
		return integration.Normalized{Failure: &integration.Problem{
			Code: "missing_vendor", Field: "rtms__Vendor__c",
			Message: "The vendor invoice names no vendor, and its load no carrier.",
			Remedy:  "Set the vendor on the vendor invoice in Revenova.",
		}}
	}
	if remitTo != nil && remitTo.RecordID == vendor.RecordID {
		remitTo = nil
	}
	b := &canonical.Bill{
		SourceID:   r.RecordID.Local(),
		Number:     text(r, "Name", "invoiceNumber"),
		Status:     r.Text("rtms__Invoice_Status__c"),
		Vendor:     *vendor,
		RemitTo:    remitTo,
		Load:       lookup(r, canonical.TMSLoad, "rtms__Load__c", "loadId"),
		LoadNumber: loadNumber(r, load),
		Date:       day(filled(r, "rtms__Invoice_Date__c", "invoiceDate"), s),
		DueDate:    day(filled(r, "rtms__Invoice_Due_Date__c", "invoiceDueDate"), s),
		Currency:   documentCurrency(r, load),
		Total:      total,
		Lines:      lines,
	}
	c := integration.Canonical{Entity: canonical.TMSBill, Value: b}
	gate(&c, r, load, s, listSetting(s, "bill_statuses", "Approved", "Paid", "Short Paid"))
	return integration.Normalized{
		Entities:   []integration.Canonical{c},
		References: refs(vendor, remitTo),
	}
}

// gate holds a document back by its status or its load's.
func gate(c *integration.Canonical, r, load *record.Replica, s integration.Settings, send []string) {
	switch status := r.Text("rtms__Invoice_Status__c"); {
	case load.Live() && cancelled(load, s):
		c.Withdrawn, c.Void = "load_cancelled", true
	case has(r, "rtms__Invoice_Status__c") && !anyOf(send, status):
		c.Withdrawn = "status_not_ready: " + status
	}
}

type from struct {
	r    *record.Replica
	name string
}

// firstRef is the first of the lookups that has a value.
func firstRef(e canonical.Entity, fields ...from) *canonical.Ref {
	for _, f := range fields {
		if f.r.Live() {
			if ref := lookup(f.r, e, f.name); ref != nil {
				return ref
			}
		}
	}
	return nil
}

func loadNumber(r, load *record.Replica) string {
	if load.Live() {
		if n := text(load, "Name", "loadName"); n != "" {
			return n
		}
	}
	return text(r, "loadNumber")
}

func documentCurrency(r, load *record.Replica) string {
	if c := text(r, "CurrencyIsoCode", "invoiceCurrency"); c != "" || !load.Live() {
		return c
	}
	return load.Text("CurrencyIsoCode")
}
