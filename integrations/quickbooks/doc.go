// Package quickbooks delivers to QuickBooks Online, API v3: vendors, customers,
// bills and invoices, with vendor credits and credit memos for negative
// totals.
//
// What QuickBooks calls names (Vendor, Customer) cannot be deleted, only made
// inactive; documents can be voided (invoices) or deleted. A document whose
// total changes its sign becomes another type, so its old self is removed
// first; the row stays the same.
//
// Every object carries a marker, the source record's id: a vendor in AcctNum, a
// customer in Notes, a document in PrivateNote. Nothing without our marker is
// ever taken for ours.
//
// Settings of a connection: item_ref and expense_account_ref (an id, or ids by
// charge kind with "default"), ap_account_ref, tax_code_ref, terms (ids by
// days), home_currency, multicurrency, vendor_suffix, bill_vendor ("vendor" or
// "remit_to").
//
// Start reading at quickbooks.go; what an error means is in classify.go.
package quickbooks
