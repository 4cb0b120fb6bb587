// Package canonical holds the platform's own model of a transport company's
// records: what every source is mapped to and every destination is mapped
// from. Values keep the source's digits; see [Money].
package canonical

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unsafe"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// Entity names a canonical entity.
type Entity string

const (
	TMSVendor   Entity = "TMS_VENDOR"
	TMSCustomer Entity = "TMS_CUSTOMER"
	TMSLoad     Entity = "TMS_LOAD"
	TMSInvoice  Entity = "TMS_INVOICE" // to a customer; negative total = credit
	TMSBill     Entity = "TMS_BILL"    // from a vendor; negative total = credit
	TMSContact  Entity = "TMS_CONTACT"
)

// All lists the entities in the order in which destinations need them.
func All() []Entity {
	return []Entity{TMSVendor, TMSCustomer, TMSContact, TMSLoad, TMSInvoice, TMSBill}
}

// Ref points to another source record of the tenant as one canonical entity.
type Ref struct {
	RecordID record.ID `json:"record_id"`
	Entity   Entity    `json:"entity"`
	Name     string    `json:"name,omitempty"` // for people
}

// Address keeps its text as the source wrote it; Street may hold newlines.
type Address struct {
	Street     string `json:"street,omitempty"`
	City       string `json:"city,omitempty"`
	State      string `json:"state,omitempty"`
	PostalCode string `json:"postal_code,omitempty"`
	Country    string `json:"country,omitempty"`
}

// Party is what a vendor and a customer have in common.
type Party struct {
	SourceID      string   `json:"source_id"` // the source app's own id
	Name          string   `json:"name"`
	DBAName       string   `json:"dba_name,omitempty"`
	AccountNumber string   `json:"account_number,omitempty"`
	Phone         string   `json:"phone,omitempty"`
	Fax           string   `json:"fax,omitempty"`
	Email         string   `json:"email,omitempty"`
	Website       string   `json:"website,omitempty"`
	Billing       *Address `json:"billing,omitempty"`
	Shipping      *Address `json:"shipping,omitempty"`
	Currency      string   `json:"currency,omitempty"`
	TermsDays     string   `json:"terms_days,omitempty"`
	TaxID         string   `json:"tax_id,omitempty"`
	Types         []string `json:"types,omitempty"` // all roles: "Customer", "Carrier"
}

// Vendor is somebody who is paid: a carrier, a factoring company.
type Vendor struct {
	Party
	MCNumber  string `json:"mc_number,omitempty"`
	DOTNumber string `json:"dot_number,omitempty"`
	RemitTo   *Ref   `json:"remit_to,omitempty"`
}

// Customer is somebody who pays.
type Customer struct {
	Party
	BillTo *Ref `json:"bill_to,omitempty"`
}

// Contact is a person at a party.
type Contact struct {
	SourceID  string   `json:"source_id"`
	FirstName string   `json:"first_name,omitempty"`
	LastName  string   `json:"last_name,omitempty"`
	Email     string   `json:"email,omitempty"`
	Phone     string   `json:"phone,omitempty"`
	Title     string   `json:"title,omitempty"`
	Account   *Ref     `json:"account,omitempty"`
	Address   *Address `json:"address,omitempty"`
}

// Load is one shipment.
type Load struct {
	SourceID     string `json:"source_id"`
	Number       string `json:"number"`
	Status       string `json:"status,omitempty"`
	Customer     *Ref   `json:"customer,omitempty"`
	BillTo       *Ref   `json:"bill_to,omitempty"`
	Carrier      *Ref   `json:"carrier,omitempty"`
	OrderNumber  string `json:"order_number,omitempty"`
	PONumber     string `json:"po_number,omitempty"`
	OrderDate    string `json:"order_date,omitempty"`    // YYYY-MM-DD, never shifted
	ShipDate     string `json:"ship_date,omitempty"`     // YYYY-MM-DD
	DeliveryDate string `json:"delivery_date,omitempty"` // YYYY-MM-DD
	Mode         string `json:"mode,omitempty"`
	Weight       string `json:"weight,omitempty"`
	WeightUnits  string `json:"weight_units,omitempty"`
	Revenue      *Money `json:"revenue,omitempty"` // customer invoice or quote total
	Cost         *Money `json:"cost,omitempty"`
	Currency     string `json:"currency,omitempty"`
}

// Line is one charge. Amounts carry the sign the source gave them.
type Line struct {
	Kind        string `json:"kind"` // Freight, Fuel, Accessorial, Adjustment, Taxes
	Description string `json:"description,omitempty"`
	Quantity    string `json:"quantity,omitempty"`
	UnitPrice   *Money `json:"unit_price,omitempty"`
	Amount      Money  `json:"amount"`
}

// Invoice is what a customer owes for a load. Lines always add up to Total: a
// difference in the source becomes a line of kind Adjustment.
type Invoice struct {
	SourceID   string `json:"source_id"`
	Number     string `json:"number"`
	Status     string `json:"status,omitempty"`
	Customer   Ref    `json:"customer"` // the load's bill-to, else its customer
	Load       *Ref   `json:"load,omitempty"`
	LoadNumber string `json:"load_number,omitempty"`
	Date       string `json:"date,omitempty"`     // YYYY-MM-DD, never shifted
	DueDate    string `json:"due_date,omitempty"` // YYYY-MM-DD
	Currency   string `json:"currency,omitempty"`
	Total      Money  `json:"total"`
	Tax        Money  `json:"tax"`
	Lines      []Line `json:"lines"`
}

// Bill is what we owe a vendor for a load; see [Invoice] for its lines.
type Bill struct {
	SourceID   string `json:"source_id"`
	Number     string `json:"number"`
	Status     string `json:"status,omitempty"`
	Vendor     Ref    `json:"vendor"`
	RemitTo    *Ref   `json:"remit_to,omitempty"`
	Load       *Ref   `json:"load,omitempty"`
	LoadNumber string `json:"load_number,omitempty"`
	Date       string `json:"date,omitempty"`
	DueDate    string `json:"due_date,omitempty"`
	Currency   string `json:"currency,omitempty"`
	Total      Money  `json:"total"`
	Lines      []Line `json:"lines"`
}

// Decode reads the body of a canonical entity into its typed value: *Vendor,
// *Customer, *Load, *Invoice, *Bill or *Contact.
func Decode(e Entity, body []byte) (any, error) { return Borrow(e, bytes.Clone(body)) }

// Borrow is Decode without a copy: texts are parts of body, which must never be
// changed.
func Borrow(e Entity, body []byte) (any, error) {
	v := zero(e)
	if v == nil {
		return nil, fmt.Errorf("no canonical entity %q", e)
	}
	if scan(unsafe.String(unsafe.SliceData(body), len(body)), v) { //nolint:gosec // as long as the slice
		return v, nil
	}
	v = zero(e)
	if err := json.Unmarshal(body, v); err != nil {
		return nil, fmt.Errorf("%s: %w", e, err)
	}
	return v, nil
}

func zero(e Entity) any {
	switch e {
	case TMSVendor:
		return new(Vendor)
	case TMSCustomer:
		return new(Customer)
	case TMSLoad:
		return new(Load)
	case TMSInvoice:
		return new(Invoice)
	case TMSBill:
		return new(Bill)
	case TMSContact:
		return new(Contact)
	}
	return nil
}
