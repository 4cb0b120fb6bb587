package revenova

// objectFields lists the fields that are asked for when an object is fetched,
// in the spelling of Salesforce. Names of packaged fields differ between
// package versions: fetch.go drops what an org does not have.
func objectFields(entity string) []string {
	common := []string{"Id", "Name", "CreatedDate", "LastModifiedDate", "SystemModstamp", "IsDeleted"}
	switch entity {
	case typeAccount:
		return append(common, "Type", "AccountNumber", "ParentId", "Phone", "Fax", "Website", "CurrencyIsoCode",
			"BillingStreet", "BillingCity", "BillingState", "BillingPostalCode", "BillingCountry",
			"ShippingStreet", "ShippingCity", "ShippingState", "ShippingPostalCode", "ShippingCountry",
			"rtms__TMS_Type__c", "rtms__Transportation_Profile__c", "rtms__DBA_Name__c", "rtms__Accounting_Status__c")
	case typeContact:
		return append(common, "FirstName", "LastName", "Email", "Phone", "MobilePhone", "Title", "AccountId",
			"MailingStreet", "MailingCity", "MailingState", "MailingPostalCode", "MailingCountry")
	case typeLoad:
		return append(common, "CurrencyIsoCode", "rtms__Load_Status__c", "rtms__Customer__c", "rtms__Bill_To__c", "rtms__Carrier__c",
			"rtms__Order_Number__c", "rtms__PO_Number__c", "rtms__Order_Date__c", "rtms__Expected_Ship_Date2__c",
			"rtms__Expected_Delivery_Date2__c", "rtms__Total_Weight__c", "rtms__Weight_Units__c", "rtms__Mode_Name__c",
			"rtms__Customer_Invoice_Total__c", "rtms__Carrier_Invoice_Total__c",
			"rtms__Customer_Quote_Total__c", "rtms__Carrier_Quote_Total__c")
	case typeInvoice:
		return append(common, "CurrencyIsoCode", "rtms__Load__c", "rtms__Invoice_Status__c", "rtms__Invoice_Date__c", "rtms__Invoice_Due_Date__c",
			"rtms__Net_Line_Haul__c", "rtms__Fuel_Surcharge__c", "rtms__Accessorial_Charges__c", "rtms__Adjustments__c",
			"rtms__Tax_Amount__c", "rtms__Invoice_Total__c")
	case typeBill:
		return append(common, "CurrencyIsoCode", "rtms__Load__c", "rtms__Vendor__c", "rtms__Remit_To__c", "rtms__Invoice_Status__c",
			"rtms__Invoice_Date__c", "rtms__Invoice_Due_Date__c", "rtms__Net_Line_Haul__c", "rtms__Line_Haul__c",
			"rtms__Fuel_Surcharge__c", "rtms__Accessorial_Charges__c", "rtms__Adjustments__c",
			"rtms__Invoice_Total__c", "rtms__Carrier_Invoice_Total__c")
	case typeProfile:
		return append(common, "rtms__MC_Number__c", "rtms__DOT_Number__c", "rtms__Federal_Tax_ID__c",
			"rtms__Invoice_Terms__c", "rtms__Carrier_Remit_To__c", "rtms__Default_Customer_Bill_To__c")
	}
	return nil
}

// objectName is an entity type's API name, for the ones that can be fetched.
func objectName(entity string) (string, bool) {
	switch entity {
	case typeAccount:
		return "Account", true
	case typeContact:
		return "Contact", true
	case typeLoad:
		return "rtms__Load__c", true
	case typeInvoice:
		return "rtms__CustomerInvoice__c", true
	case typeBill:
		return "rtms__CarrierInvoice__c", true
	case typeProfile:
		return "rtms__TransportationProfile__c", true
	}
	return "", false
}

// knownFields finds a field's own spelling by what a converter made of it.
func knownFields(made func(string) string) map[string]string {
	out := make(map[string]string, 128)
	for _, entity := range [...]string{typeAccount, typeContact, typeLoad, typeInvoice, typeBill, typeProfile} {
		for _, name := range objectFields(entity) {
			out[made(name)] = name
		}
	}
	for _, name := range [...]string{
		"OwnerId", "CreatedById", "LastModifiedById", "LastViewedDate", "LastReferencedDate", "AnnualRevenue",
		"Description", "Industry", "NumberOfEmployees", "Ownership", "Rating", "Site", "Amount", "CloseDate",
		"StageName", "LeadSource", "Probability", "ContactId", "IsClosed", "IsWon", "FiscalYear", "FiscalQuarter",
	} {
		out[made(name)] = name
	}
	return out
}
