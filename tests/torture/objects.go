package torture

import (
	"encoding/json"
	"fmt"
	"io"
)

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
		read := readVendor
		if app == "hubspot" {
			read = readCompany
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

func readVendor(raw []byte) (Object, error) {
	v := struct {
		ID           string `json:"Id"`
		DisplayName  string
		Active       *bool
		PrimaryPhone struct{ FreeFormNumber string }
		BillAddr     struct{ City string }
	}{}
	err := json.Unmarshal(raw, &v)
	return Object{
		ID: v.ID, Name: v.DisplayName, Phone: v.PrimaryPhone.FreeFormNumber, City: v.BillAddr.City,
		Active: v.Active == nil || *v.Active,
	}, err
}

func readCompany(raw []byte) (Object, error) {
	v := struct {
		ID         string `json:"id"`
		Archived   bool   `json:"archived"`
		Properties struct {
			Name  string `json:"name"`
			Phone string `json:"phone"`
			City  string `json:"city"`
		} `json:"properties"`
	}{}
	err := json.Unmarshal(raw, &v)
	return Object{
		ID: v.ID, Name: v.Properties.Name, Phone: v.Properties.Phone, City: v.Properties.City, Active: !v.Archived,
	}, err
}
