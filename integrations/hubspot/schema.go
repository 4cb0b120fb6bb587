package hubspot

import (
	"fmt"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

// maxText is HubSpot's limit of a property value; names are kept shorter so
// that its lists stay readable.
const (
	maxText = 65536
	maxName = 255
)

// Describe returns what must not be changed.
func (m mapper) Describe() []integration.ObjectSchema { return m.schemas }

func describe() []integration.ObjectSchema {
	texts := func(names ...string) []integration.FieldSchema {
		var f []integration.FieldSchema
		for _, n := range names {
			f = append(f, integration.FieldSchema{Path: n, Max: maxText})
		}
		return f
	}
	return []integration.ObjectSchema{
		{
			Object: companies, Open: true,
			Entities: []canonical.Entity{canonical.TMSVendor, canonical.TMSCustomer},
			Fields: append(texts("phone", "address", "address2", "city", "state", "zip", "country", "description", "industry", "annualrevenue", "numberofemployees", "website", "lifecyclestage"),
				integration.FieldSchema{Path: "name", Mandatory: true, Max: maxName},
				integration.FieldSchema{Path: "domain", Max: 253}),
		},
		{
			Object: contacts, Open: true,
			Entities: []canonical.Entity{canonical.TMSContact},
			Fields: append(texts("phone", "mobilephone", "jobtitle", "company", "website", "address", "city", "state", "zip", "country", "lifecyclestage"),
				integration.FieldSchema{Path: "email", Max: 254},
				integration.FieldSchema{Path: "firstname", Max: maxName},
				integration.FieldSchema{Path: "lastname", Max: maxName},
				integration.FieldSchema{Path: associated + "." + companies}),
		},
		{
			Object: deals, Open: true,
			Entities: []canonical.Entity{canonical.TMSLoad},
			Fields: append(texts("amount", "closedate", "description", "dealtype"),
				integration.FieldSchema{Path: "dealname", Mandatory: true, Max: maxName},
				integration.FieldSchema{Path: "dealstage", Mandatory: true, Max: maxText},
				integration.FieldSchema{Path: "pipeline", Max: maxText},
				integration.FieldSchema{Path: associated + "." + companies}),
		},
	}
}

// Validate cuts names and lower-cases what HubSpot lower-cases itself, and
// reports everything else.
func (m mapper) Validate(o *integration.Object) []integration.Problem {
	for _, f := range []string{"name", "firstname", "lastname", "dealname"} {
		if s, ok := o.Payload.Text(f); ok && len(s) > maxName {
			if r := []rune(s); len(r) > maxName {
				o.Payload.PutText(f, strings.TrimSpace(string(r[:maxName])))
			}
		}
	}
	for _, f := range []string{"email", "domain"} {
		if s, ok := o.Payload.Text(f); ok {
			o.Payload.PutText(f, strings.ToLower(strings.TrimSpace(s)))
		}
	}
	rename(o)
	var problems []integration.Problem
	for _, s := range m.schemas {
		if s.Object == o.Object {
			problems = append(problems, integration.Check(o, s)...)
		}
	}
	for i, p := range problems {
		if p.Code == "missing_field" && p.Field == "dealstage" {
			problems[i].Code = "missing_setting"
			problems[i].Message = "This load's status has no deal stage in HubSpot."
			problems[i].Remedy = "Set deal_stages in the connection's settings: the internal id of a stage of your pipeline for each load status, or for \"default\"."
		}
	}
	if o.Object == contacts && len(integration.Missing(o, "email")) > 0 && len(integration.Missing(o, "firstname")) > 0 && len(integration.Missing(o, "lastname")) > 0 {
		problems = append(problems, integration.Problem{
			Code: "missing_field", Field: "email",
			Message: "This contact has neither an e-mail address nor a name.",
			Remedy:  "Fill one of e-mail, first name or last name in the source record.",
		})
	}
	if s, ok := o.Payload.Text("email"); ok && s != "" && !mail(s) {
		problems = append(problems, integration.Problem{
			Code: "invalid_email", Field: "email",
			Message: "HubSpot does not take this e-mail address.",
			Remedy:  "Correct the e-mail address in the source record.",
		})
	}
	return append(problems, nameProblems(o)...)
}

func mail(s string) bool {
	local, host, ok := strings.Cut(s, "@")
	return ok && local != "" && strings.Contains(host, ".") && !strings.ContainsAny(s, " ,;")
}

// nameProblems finds properties HubSpot would silently rename.
func nameProblems(o *integration.Object) []integration.Problem {
	var names []string
	for name := range o.Payload.Names() {
		if name != associated && !propertyName(name) {
			names = append(names, name)
		}
	}
	var out []integration.Problem
	for _, name := range names {
		out = append(out, integration.Problem{
			Code: "invalid_property", Field: name,
			Message: fmt.Sprintf("%.100q is not a HubSpot property name.", name),
			Remedy:  "Use the property's internal name in the mapping: lower case, digits and underscores.",
		})
	}
	return out
}
