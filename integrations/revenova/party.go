package revenova

import (
	"github.com/tidwall/gjson"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// party reads what a vendor and a customer have in common.
func party(r, profile *record.Replica) canonical.Party {
	p := canonical.Party{
		SourceID:      r.RecordID.Local(),
		Name:          text(r, "Name", "vendorName", "customerName"),
		DBAName:       text(r, "rtms__DBA_Name__c", "dbaName"),
		AccountNumber: r.Text("AccountNumber"),
		Phone:         r.Text("Phone"),
		Fax:           r.Text("Fax"),
		Website:       r.Text("Website"),
		Billing:       address(r, "Billing", "billing"),
		Shipping:      address(r, "Shipping", "shipping"),
		Currency:      text(r, "CurrencyIsoCode", "vendorCurrency", "customerCurrency"),
		Types:         roles(r),
	}
	if profile.Live() {
		p.TermsDays = filled(profile, "rtms__Invoice_Terms__c")
		p.TaxID = filled(profile, "rtms__Federal_Tax_ID__c")
	}
	if f, ok := r.Field("contacts"); ok && f.Kind == record.KindJSON {
		first := gjson.Get(f.Value, `0`)
		p.Email = first.Get("email").String()
		if p.Phone == "" {
			p.Phone = first.Get("phone").String()
		}
	}
	return p
}

// address reads one address under the API's or an event's prefix; nil if empty.
func address(r *record.Replica, prefixes ...string) *canonical.Address {
	get := func(part string) string {
		for _, p := range prefixes {
			if v := r.Text(p + part); v != "" {
				return v
			}
		}
		return ""
	}
	a := canonical.Address{
		Street: get("Street"), City: get("City"), State: get("State"),
		PostalCode: get("PostalCode"), Country: get("Country"),
	}
	if a == (canonical.Address{}) {
		return nil
	}
	return &a
}

// notSelf drops a reference of a record to itself: an account is often its own
// bill-to.
func notSelf(ref *canonical.Ref, r *record.Replica) *canonical.Ref {
	if ref != nil && ref.RecordID == r.RecordID {
		return nil
	}
	return ref
}

func upsertTMSVendor(r, profile *record.Replica) integration.Normalized {
	v := &canonical.Vendor{Party: party(r, profile)}
	v.MCNumber, v.DOTNumber = text(r, "mcNumber"), text(r, "dotNumber")
	v.RemitTo = lookup(r, canonical.TMSVendor, "CarrierRemitToId", "carrierRemitToId")
	if profile.Live() {
		if mc := filled(profile, "rtms__MC_Number__c"); mc != "" {
			v.MCNumber = mc
		}
		if dot := filled(profile, "rtms__DOT_Number__c"); dot != "" {
			v.DOTNumber = dot
		}
		if to := lookup(profile, canonical.TMSVendor, "rtms__Carrier_Remit_To__c"); to != nil {
			v.RemitTo = to
		}
	}
	v.RemitTo = notSelf(v.RemitTo, r)
	return integration.Normalized{
		Entities:   []integration.Canonical{{Entity: canonical.TMSVendor, Value: v}},
		References: refs(v.RemitTo),
	}
}

func upsertTMSCustomer(r, profile *record.Replica) integration.Normalized {
	c := &canonical.Customer{Party: party(r, profile)}
	c.BillTo = lookup(r, canonical.TMSCustomer, "defaultCustomerBillToId")
	if profile.Live() {
		if to := lookup(profile, canonical.TMSCustomer, "rtms__Default_Customer_Bill_To__c"); to != nil {
			c.BillTo = to
		}
	}
	c.BillTo = notSelf(c.BillTo, r)
	return integration.Normalized{
		Entities:   []integration.Canonical{{Entity: canonical.TMSCustomer, Value: c}},
		References: refs(c.BillTo),
	}
}

func upsertTMSContact(r *record.Replica) integration.Normalized {
	c := &canonical.Contact{
		SourceID:  r.RecordID.Local(),
		FirstName: r.Text("FirstName"),
		LastName:  text(r, "LastName", "Name"),
		Email:     r.Text("Email"),
		Phone:     text(r, "Phone", "MobilePhone"),
		Title:     r.Text("Title"),
		Account:   lookup(r, canonical.TMSCustomer, "AccountId"),
		Address:   address(r, "Mailing"),
	}
	return integration.Normalized{
		Entities:   []integration.Canonical{{Entity: canonical.TMSContact, Value: c}},
		References: refs(c.Account),
	}
}
