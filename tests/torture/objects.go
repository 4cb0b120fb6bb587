package torture

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
)

// Object is one object as it is in a destination in the end, one that was taken
// out of use included.
type Object struct {
	App, Account, Type, ID                 string
	Name, Phone, Street, City, Zip, Region string
	Number, Total, Lines                   string // of an invoice
	Customer                               string // of an invoice: the customer's id in the same account
	Active                                 bool
}

func (o *Object) String() string {
	use := "in use"
	if !o.Active {
		use = "out of use"
	}
	if o.Number != "" {
		return fmt.Sprintf("end: %s %s/%s %s number %q total %s lines %s customer %s", o.App, o.Type, o.ID, use, o.Number, o.Total, o.Lines, o.Customer)
	}
	return fmt.Sprintf("end: %s %s/%s %s name %q phone %q street %q city %q zip %q region %q", o.App, o.Type, o.ID, use, o.Name, o.Phone, o.Street, o.City, o.Zip, o.Region)
}

// Destination is one kind of object of one app that a load may end in.
type Destination struct{ App, Account, Object string }

// Destinations of a tenant.
func (t Tenant) Destinations() []Destination {
	return []Destination{
		{"quickbooks", t.Realm, "Vendor"},
		{"quickbooks", t.Realm, "Customer"},
		{"quickbooks", t.Realm, "Invoice"},
		{"hubspot", t.Portal, "companies"},
	}
}

// ReadObjects reads the sandbox's list of one account's objects, as the vendor
// shows them.
func ReadObjects(app, account, object string, r io.Reader) ([]Object, error) {
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		var wrapped struct {
			Objects []json.RawMessage `json:"objects"`
		}
		if err := json.Unmarshal(raw, &wrapped); err != nil {
			return nil, fmt.Errorf("objects of %s/%s/%s: %w", app, account, object, err)
		}
		list = wrapped.Objects
	}
	out := make([]Object, 0, len(list))
	for _, item := range list {
		read := readName
		switch {
		case app == "hubspot":
			read = readCompany
		case object == "Invoice":
			read = readInvoice
		}
		o, err := read(item)
		if err != nil {
			return nil, fmt.Errorf("object of %s/%s/%s: %w: %s", app, account, object, err, item)
		}
		o.App, o.Account, o.Type = app, account, object
		out = append(out, o)
	}
	return out, nil
}

// readName is a Vendor or a Customer.
func readName(raw []byte) (Object, error) {
	v := struct {
		ID           string `json:"Id"`
		DisplayName  string
		Active       *bool
		PrimaryPhone struct{ FreeFormNumber string }
		BillAddr     struct{ Line1, City, CountrySubDivisionCode, PostalCode string }
	}{}
	err := json.Unmarshal(raw, &v)
	return Object{
		ID: v.ID, Name: v.DisplayName, Phone: v.PrimaryPhone.FreeFormNumber,
		Street: v.BillAddr.Line1, City: v.BillAddr.City, Zip: v.BillAddr.PostalCode, Region: v.BillAddr.CountrySubDivisionCode,
		Active: v.Active == nil || *v.Active,
	}, err
}

// readInvoice takes a void one (all amounts are 0) and a deleted one as out of
// use.
func readInvoice(raw []byte) (Object, error) {
	v := struct {
		ID          string `json:"Id"`
		Status      string `json:"status"`
		DocNumber   string
		TotalAmt    json.Number
		CustomerRef struct {
			Value string `json:"value"`
		}
		Line []struct {
			DetailType string
			Amount     json.Number
		}
	}{}
	if err := json.Unmarshal(raw, &v); err != nil {
		return Object{}, err
	}
	total, err := inCents(v.TotalAmt)
	if err != nil {
		return Object{}, err
	}
	var lines []int
	for _, l := range v.Line {
		if l.DetailType != "SalesItemLineDetail" {
			continue // the server's own subtotal
		}
		n, err := inCents(l.Amount)
		if err != nil {
			return Object{}, err
		}
		lines = append(lines, n)
	}
	return Object{
		ID: v.ID, Number: v.DocNumber, Total: cents(total), Lines: amounts(lines...), Customer: v.CustomerRef.Value,
		Active: total != 0 && v.Status != "Deleted",
	}, nil
}

func inCents(n json.Number) (int, error) {
	if n == "" {
		return 0, nil
	}
	f, err := n.Float64()
	return int(math.Round(f * 100)), err
}

func readCompany(raw []byte) (Object, error) {
	v := struct {
		ID         string `json:"id"`
		Archived   bool   `json:"archived"`
		Properties struct {
			Name    string `json:"name"`
			Phone   string `json:"phone"`
			Address string `json:"address"`
			City    string `json:"city"`
			Zip     string `json:"zip"`
			State   string `json:"state"`
		} `json:"properties"`
	}{}
	err := json.Unmarshal(raw, &v)
	p := v.Properties
	return Object{ID: v.ID, Name: p.Name, Phone: p.Phone, Street: p.Address, City: p.City, Zip: p.Zip, Region: p.State, Active: !v.Archived}, err
}
