package quickbooks

import (
	"encoding/json"
	maps0 "maps"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"
)

// check says what is wrong with a value of a field; nothing is fine.
type check func(field string, v any) []fault

// entity is one kind of object.
type entity struct {
	name string
	// space is the name space in which nameField is unique; "" for transactions.
	space     string
	nameField string
	fields    map[string]check
	required  []string
	// refs are the fields at the top that name another object, and its kinds.
	refs map[string]string
	// subtotal: QuickBooks adds a SubTotalLineDetail line.
	subtotal, voidable, numbered bool
	flagged                      []string // booleans that are false unless given
}

func (e *entity) path() string  { return strings.ToLower(e.name) }
func (e *entity) list() bool    { return e.space != "" }
func (e *entity) class() string { return "com.intuit.schema.finance.v3." + e.name }

func wrong(field string, v any) []fault {
	return []fault{malformed(field + " with value " + string(must(json.Marshal(v))))}
}

func must(b []byte, _ error) []byte { return b }

func text(most int) check {
	return func(field string, v any) []fault {
		s, ok := v.(string)
		if !ok {
			return wrong(field, v)
		}
		if n := utf8.RuneCountInString(s); n > most {
			return []fault{tooLong(field, most, n)}
		}
		return nil
	}
}

// name is text without the characters that QuickBooks keeps for itself.
func name(most int) check {
	length := text(most)
	return func(field string, v any) []fault {
		if f := length(field, v); f != nil {
			return f
		}
		if strings.ContainsAny(v.(string), ":\t\n\r") {
			return []fault{business(field + " cannot contain a colon, a tab or a new line.")}
		}
		return nil
	}
}

func flag(field string, v any) []fault {
	if _, ok := v.(bool); !ok {
		return wrong(field, v)
	}
	return nil
}

func number(field string, v any) []fault {
	s, ok := v.(string)
	if n, is := v.(json.Number); is {
		s, ok = n.String(), true
	}
	d, err := decimal.NewFromString(s)
	if !ok || err != nil {
		return wrong(field, v)
	}
	if len(strings.TrimLeft(d.Abs().Truncate(0).String(), "0")) > 10 {
		return []fault{business(field + " is out of range.")}
	}
	return nil
}

func date(field string, v any) []fault {
	s, _ := v.(string)
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return wrong(field, v)
	}
	return nil
}

func enum(values ...string) check {
	return func(field string, v any) []fault {
		s, ok := v.(string)
		for _, want := range values {
			if ok && s == want {
				return nil
			}
		}
		return []fault{badEnum(field, s)}
	}
}

func ignored(string, any) []fault { return nil }

func email(field string, v any) []fault {
	if f := text(100)(field, v); f != nil {
		return f
	}
	// QuickBooks asks for no more than these two characters.
	if s := v.(string); s != "" && (!strings.Contains(s, "@") || !strings.Contains(s, ".")) {
		return []fault{business("Email address " + s + " is not valid.")}
	}
	return nil
}

func website(field string, v any) []fault {
	if f := text(1000)(field, v); f != nil {
		return f
	}
	u, err := url.Parse(v.(string))
	if err != nil || u.Scheme == "" || u.Host == "" {
		return []fault{business(field + " needs a scheme, such as http://.")}
	}
	return nil
}

// group is an object with known fields.
func group(class string, fields map[string]check) check {
	return func(field string, v any) []fault {
		m, ok := v.(map[string]any)
		if !ok {
			return wrong(field, v)
		}
		var out []fault
		for k, inner := range m {
			test, known := fields[k]
			if !known {
				return []fault{unknownField("com.intuit.schema.finance.v3."+class, k, len(fields))}
			}
			if inner != nil {
				out = append(out, test(field+"."+k, inner)...)
			}
		}
		return out
	}
}

func list(item check) check {
	return func(field string, v any) []fault {
		items, ok := v.([]any)
		if !ok {
			return wrong(field, v)
		}
		var out []fault
		for _, i := range items {
			out = append(out, item(field, i)...)
		}
		return out
	}
}

func ref() check {
	return group("ReferenceType", map[string]check{"value": text(50), "name": ignored, "type": ignored})
}

func phone() check {
	return group("TelephoneNumber", map[string]check{"FreeFormNumber": text(30)})
}

func address() check {
	return group("PhysicalAddress", map[string]check{
		"Id": ignored, "Line1": text(500), "Line2": text(500), "Line3": text(500), "Line4": text(500), "Line5": text(500),
		"City": text(255), "Country": text(255), "CountryCode": text(255), "CountrySubDivisionCode": text(255), "PostalCode": text(30),
		"Lat": ignored, "Long": ignored, "Note": ignored,
	})
}

func emailGroup() check   { return group("EmailAddress", map[string]check{"Address": email}) }
func memo(most int) check { return group("MemoRef", map[string]check{"value": text(most)}) }

func linked() check {
	return list(group("LinkedTxn", map[string]check{"TxnId": ignored, "TxnType": ignored, "TxnLineId": ignored}))
}

// applications are a payment's lines: how much of it goes to which transaction.
func applications() check {
	return list(group("Line", map[string]check{"Id": ignored, "Amount": number, "LinkedTxn": linked(), "LineEx": ignored}))
}

func lines() check {
	expense := map[string]check{
		"AccountRef": ref(), "CustomerRef": ref(), "ClassRef": ref(), "TaxCodeRef": ref(), "DepartmentRef": ref(), "ItemRef": ref(),
		"BillableStatus": enum("Billable", "NotBillable", "HasBeenBilled"), "UnitPrice": number, "Qty": number, "TaxAmount": number,
		"MarkupInfo": ignored, "TaxInclusiveAmt": number, "PriceLevelRef": ignored,
	}
	sales := map[string]check{
		"ItemRef": ref(), "ClassRef": ref(), "TaxCodeRef": ref(), "ItemAccountRef": ref(), "UnitPrice": number, "Qty": number,
		"ServiceDate": date, "DiscountRate": number, "DiscountAmt": number, "MarkupInfo": ignored, "TaxInclusiveAmt": number,
		"TaxClassificationRef": ignored, "RatePercent": number,
	}
	return list(group("Line", map[string]check{
		"Id": ignored, "LineNum": ignored, "Description": text(4000), "Amount": number, "LinkedTxn": linked(), "CustomField": ignored,
		"DetailType":                    enum("SalesItemLineDetail", "AccountBasedExpenseLineDetail", "ItemBasedExpenseLineDetail", "SubTotalLineDetail", "DescriptionOnly", "DiscountLineDetail", "GroupLineDetail"),
		"SalesItemLineDetail":           group("SalesItemLineDetail", sales),
		"AccountBasedExpenseLineDetail": group("AccountBasedExpenseLineDetail", expense),
		"ItemBasedExpenseLineDetail":    group("ItemBasedExpenseLineDetail", expense),
		"SubTotalLineDetail":            ignored, "DescriptionLineDetail": ignored, "DiscountLineDetail": ignored, "GroupLineDetail": ignored,
	}))
}

// managed are the fields that QuickBooks sets itself: accepted and not stored.
func managed() []string {
	return []string{
		"Id", "SyncToken", "MetaData", "domain", "sparse", "status", "Balance", "BalanceWithJobs", "FullyQualifiedName",
		"TotalAmt", "HomeTotalAmt", "HomeBalance", "Level", "Job", "BillWithParent", "CurrentBalance", "CurrentBalanceWithSubAccounts", "RemainingCredit", "RecurDataRef", "V4IDPseudonym", "ClientEntityId",
	}
}

func with(maps ...map[string]check) map[string]check {
	out := map[string]check{}
	for _, f := range managed() {
		out[f] = ignored
	}
	for _, m := range maps {
		maps0.Copy(out, m)
	}
	return out
}

func entities() map[string]*entity {
	person := map[string]check{
		"DisplayName": name(500), "Title": name(16), "GivenName": name(100), "MiddleName": name(100), "FamilyName": name(100), "Suffix": name(16),
		"CompanyName": text(100), "PrintOnCheckName": text(110), "Active": flag, "CurrencyRef": ref(), "BillAddr": address(),
		"PrimaryPhone": phone(), "AlternatePhone": phone(), "Mobile": phone(), "Fax": phone(), "PrimaryEmailAddr": emailGroup(),
		"WebAddr": group("WebSiteAddress", map[string]check{"URI": website}), "OtherContactInfo": ignored, "CustomField": ignored,
		"AcctNum": text(100), "Notes": text(4000), "Source": ignored,
	}
	txn := map[string]check{
		"DocNumber": text(21), "TxnDate": date, "DueDate": date, "PrivateNote": text(4000), "CurrencyRef": ref(), "ExchangeRate": number,
		"Line": lines(), "LinkedTxn": linked(), "DepartmentRef": ref(), "ClassRef": ref(), "TxnTaxDetail": ignored, "GlobalTaxCalculation": ignored,
		"CustomField": ignored, "TxnStatus": ignored, "TransactionLocationType": ignored, "SalesTermRef": ref(), "IncludeInAnnualTPAR": ignored,
	}
	sale := map[string]check{
		"CustomerRef": ref(), "CustomerMemo": memo(1000), "BillAddr": address(), "ShipAddr": address(), "ShipFromAddr": address(), "BillEmail": emailGroup(),
		"BillEmailCc": emailGroup(), "BillEmailBcc": emailGroup(), "ShipDate": date, "TrackingNum": text(31), "ShipMethodRef": ref(),
		"PrintStatus": ignored, "EmailStatus": ignored, "ApplyTaxAfterDiscount": flag, "AllowIPNPayment": flag, "AllowOnlinePayment": flag,
		"AllowOnlineCreditCardPayment": flag, "AllowOnlineACHPayment": flag, "Deposit": number, "DepositToAccountRef": ref(), "DeliveryInfo": ignored,
		"PONumber": text(15), "FreeFormAddress": flag, "PaymentMethodRef": ref(), "PaymentRefNum": text(21), "InvoiceLink": ignored, "TaxExemptionRef": ref(), "InvoiceRef": ref(),
	}
	purchase := map[string]check{"VendorRef": ref(), "APAccountRef": ref(), "VendorAddr": address(), "RemitToAddr": address(), "DueDate": date}
	buy, sell := map[string]string{"VendorRef": "Vendor", "APAccountRef": "Account", "SalesTermRef": "Term"}, map[string]string{"CustomerRef": "Customer", "SalesTermRef": "Term"}

	all := map[string]*entity{}
	add := func(e *entity) { all[e.path()] = e }
	add(&entity{
		name: "Vendor", space: "names", nameField: "DisplayName", refs: map[string]string{"TermRef": "Term", "APAccountRef": "Account"}, flagged: []string{"Vendor1099"},
		fields: with(person, map[string]check{
			"Vendor1099": flag, "TaxIdentifier": text(20), "TermRef": ref(), "APAccountRef": ref(), "BillRate": number, "CostRate": number,
			"VendorPaymentBankDetail": ignored, "BusinessNumber": text(10), "T4AEligible": flag, "T5018Eligible": flag, "HasTPAR": flag, "TaxReportingBasis": ignored, "GSTIN": ignored, "GSTRegistrationType": ignored,
		}),
	})
	add(&entity{
		name: "Customer", space: "names", nameField: "DisplayName", refs: map[string]string{"SalesTermRef": "Term", "ParentRef": "Customer"},
		fields: with(person, map[string]check{
			"ShipAddr": address(), "Taxable": flag, "ResaleNum": text(16), "ParentRef": ref(), "SalesTermRef": ref(), "PaymentMethodRef": ref(),
			"PreferredDeliveryMethod": enum("Print", "Email", "None"), "DefaultTaxCodeRef": ref(), "TaxExemptionReasonId": ignored, "IsProject": flag, "CustomerTypeRef": ref(),
			"ARAccountRef": ref(), "OpenBalanceDate": date, "PrimaryTaxIdentifier": text(20), "BusinessNumber": text(10), "SecondaryTaxIdentifier": text(20), "GSTIN": ignored, "GSTRegistrationType": ignored,
		}),
	})
	add(&entity{
		name: "Employee", space: "names", nameField: "DisplayName",
		fields: with(person, map[string]check{"PrimaryAddr": address(), "HiredDate": date, "BirthDate": date, "SSN": text(100), "EmployeeNumber": text(100), "BillableTime": flag, "Gender": ignored}),
	})
	add(&entity{
		name: "Item", space: "Item", nameField: "Name", required: []string{"Name"}, refs: map[string]string{"IncomeAccountRef": "Account", "ExpenseAccountRef": "Account", "AssetAccountRef": "Account"},
		fields: with(map[string]check{
			"Name": name(100), "Type": enum("Service", "NonInventory", "Inventory", "Category", "Group"), "Active": flag, "Sku": text(100), "Description": text(4000),
			"PurchaseDesc": text(1000), "UnitPrice": number, "PurchaseCost": number, "Taxable": flag, "SalesTaxIncluded": flag, "IncomeAccountRef": ref(), "ExpenseAccountRef": ref(), "AssetAccountRef": ref(),
			"TrackQtyOnHand": flag, "QtyOnHand": number, "InvStartDate": date, "SubItem": flag, "ParentRef": ref(), "SalesTaxCodeRef": ref(),
		}),
	})
	add(&entity{
		name: "Account", space: "Account", nameField: "Name", required: []string{"Name"}, flagged: []string{"SubAccount"},
		fields: with(map[string]check{
			"Name": name(100), "Active": flag, "AcctNum": text(20), "AccountType": text(100), "AccountSubType": text(100), "Classification": ignored, "Description": text(100),
			"SubAccount": flag, "ParentRef": ref(), "CurrencyRef": ref(), "TaxCodeRef": ref(),
		}),
	})
	add(&entity{
		name: "Term", space: "Term", nameField: "Name", required: []string{"Name"},
		fields: with(map[string]check{"Name": name(31), "Active": flag, "Type": ignored, "DueDays": number, "DiscountDays": number, "DiscountPercent": number, "DayOfMonthDue": number}),
	})
	add(&entity{name: "Invoice", fields: with(txn, sale), required: []string{"CustomerRef", "Line"}, refs: sell, subtotal: true, voidable: true, numbered: true})
	add(&entity{name: "CreditMemo", fields: with(txn, sale), required: []string{"CustomerRef", "Line"}, refs: sell, subtotal: true, numbered: true})
	add(&entity{name: "Bill", fields: with(txn, purchase), required: []string{"VendorRef", "Line"}, refs: buy})
	add(&entity{
		name: "Payment", required: []string{"CustomerRef", "TotalAmt"}, refs: map[string]string{"CustomerRef": "Customer", "ARAccountRef": "Account", "DepositToAccountRef": "Account"},
		fields: with(map[string]check{
			"CustomerRef": ref(), "TotalAmt": number, "Line": applications(), "TxnDate": date, "PrivateNote": text(4000), "PaymentRefNum": text(21),
			"PaymentMethodRef": ref(), "DepositToAccountRef": ref(), "ARAccountRef": ref(), "CurrencyRef": ref(), "ExchangeRate": number,
			"UnappliedAmt": ignored, "ProcessPayment": ignored, "LinkedTxn": ignored, "TxnStatus": ignored, "CustomField": ignored,
		}),
	})
	add(&entity{name: "VendorCredit", fields: with(txn, purchase), required: []string{"VendorRef", "Line"}, refs: buy})
	return all
}
