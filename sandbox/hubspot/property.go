package hubspot

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/fluxnex/fluxnex/sandbox/call"
)

// property is a property definition, as the API shows it.
type property struct {
	Name           string   `json:"name"`
	Label          string   `json:"label"`
	Type           string   `json:"type"`
	FieldType      string   `json:"fieldType"`
	Description    string   `json:"description"`
	GroupName      string   `json:"groupName"`
	Options        []option `json:"options"`
	DisplayOrder   int      `json:"displayOrder"`
	Calculated     bool     `json:"calculated"`
	External       bool     `json:"externalOptions"`
	HasUniqueValue bool     `json:"hasUniqueValue"`
	Hidden         bool     `json:"hidden"`
	FormField      bool     `json:"formField"`
	Sensitivity    string   `json:"dataSensitivity"`
	HubSpotDefined bool     `json:"hubspotDefined,omitempty"`
	readOnly       bool
}

type option struct {
	Label        string `json:"label"`
	Value        string `json:"value"`
	Description  string `json:"description"`
	DisplayOrder int    `json:"displayOrder"`
	Hidden       bool   `json:"hidden"`
}

// kind is one object type.
type kind struct {
	singular, plural, typeID string
	modified                 string // the property that tells when it changed
	defaults                 []string
	// oneOf: at least one of them is needed to create.
	oneOf []string
	// unique is HubSpot's own unique property, "" if none.
	unique string
}

func kinds() []*kind {
	return []*kind{
		{
			singular: "contact", plural: "contacts", typeID: "0-1", modified: "lastmodifieddate", defaults: []string{"createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"},
			oneOf: []string{"email", "firstname", "lastname"}, unique: "email",
		},
		{
			singular: "company", plural: "companies", typeID: "0-2", modified: "hs_lastmodifieddate", defaults: []string{"createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"},
			oneOf: []string{"name", "domain"},
		},
		{
			singular: "deal", plural: "deals", typeID: "0-3", modified: "hs_lastmodifieddate", defaults: []string{"amount", "closedate", "createdate", "dealname", "dealstage", "hs_lastmodifieddate", "hs_object_id", "pipeline"},
			oneOf: []string{"dealname"},
		},
	}
}

// builtin are HubSpot's own properties of a kind, those that a sync meets.
func builtin(k *kind) map[string]*property {
	out := map[string]*property{}
	add := func(typ, names string) {
		for n := range strings.FieldsSeq(names) {
			out[n] = &property{Name: n, Label: n, Type: typ, FieldType: "text", Options: []option{}, HubSpotDefined: true, Sensitivity: "non_sensitive", GroupName: k.singular + "information"}
		}
	}
	choice := func(name string, values ...string) {
		add("enumeration", name)
		out[name].FieldType = "select"
		for i, v := range values {
			out[name].Options = append(out[name].Options, option{Label: v, Value: v, DisplayOrder: i})
		}
	}
	add("datetime", "createdate hs_createdate "+k.modified)
	add("string", "hs_object_id hs_object_source hs_object_source_id hs_object_source_label hs_merged_object_ids hs_additional_emails")
	for _, p := range out {
		p.readOnly = p.Name != "hs_additional_emails"
	}
	add("string", "hubspot_owner_id")
	stages := []string{"subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer", "evangelist", "other"}
	switch k.singular {
	case "contact":
		add("string", "email firstname lastname phone mobilephone fax company jobtitle salutation website address city state zip country industry message")
		choice("lifecyclestage", stages...)
		choice("hs_lead_status", "NEW", "OPEN", "IN_PROGRESS", "OPEN_DEAL", "UNQUALIFIED", "ATTEMPTED_TO_CONTACT", "CONNECTED", "BAD_TIMING")
		out["email"].HasUniqueValue = true
	case "company":
		add("string", "name domain phone website address address2 city state zip country industry description timezone about_us linkedin_company_page hs_additional_domains")
		add("number", "annualrevenue numberofemployees founded_year")
		choice("lifecyclestage", stages...)
		choice("type", "PROSPECT", "PARTNER", "RESELLER", "VENDOR", "OTHER")
	case "deal":
		add("string", "dealname description hs_next_step deal_currency_code")
		add("number", "amount")
		add("datetime", "closedate")
		choice("pipeline", "default")
		choice("dealstage", "appointmentscheduled", "qualifiedtobuy", "presentationscheduled", "decisionmakerboughtin", "contractsent", "closedwon", "closedlost")
		choice("dealtype", "newbusiness", "existingbusiness")
	}
	return out
}

// text is a value as HubSpot keeps it: a string, whatever it was sent as.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return fmt.Sprint(v)
}

// clean checks sent properties and brings them to the form HubSpot stores:
// names and some values in lower case.
func (p *portal) clean(k *kind, sent map[string]any) (map[string]string, *refusal) {
	out := make(map[string]string, len(sent))
	var bad []badValue
	for name, v := range sent {
		name = strings.ToLower(name)
		def := p.properties[k][name]
		if def == nil {
			bad = append(bad, badValue{Message: fmt.Sprintf("Property %q does not exist", name), Error: "PROPERTY_DOESNT_EXIST", Name: name})
			continue
		}
		if def.readOnly {
			bad = append(bad, badValue{Message: name + " is a read only property; its value cannot be set", Error: "READ_ONLY_VALUE", Name: name})
			continue
		}
		value, problem := def.accept(k, text(v))
		if problem != nil {
			problem.Name = name
			bad = append(bad, *problem)
			continue
		}
		out[name] = value
	}
	if bad != nil {
		slices.SortFunc(bad, func(a, b badValue) int { return strings.Compare(a.Name, b.Name) })
		return nil, invalidValues(bad)
	}
	return out, nil
}

func (d *property) accept(k *kind, value string) (string, *badValue) {
	if value == "" {
		return "", nil
	}
	switch {
	case k.singular == "contact" && d.Name == "email":
		value = strings.ToLower(strings.TrimSpace(value))
		if !validEmail(value) {
			return "", &badValue{Message: "Email address " + value + " is invalid", Error: "INVALID_EMAIL"}
		}
	case k.singular == "company" && d.Name == "domain":
		value = bareDomain(value)
	case d.Type == "number":
		if _, err := decimal.NewFromString(value); err != nil {
			return "", &badValue{Message: value + " was not a valid number.", Error: "INVALID_NUMBER"}
		}
	case d.Type == "enumeration":
		for one := range strings.SplitSeq(value, ";") {
			if !slices.ContainsFunc(d.Options, func(o option) bool { return o.Value == one }) {
				return "", &badValue{Message: one + " was not one of the allowed options: " + optionList(d.Options), Error: "INVALID_OPTION"}
			}
		}
	case d.Type == "date" || d.Type == "datetime":
		t, ok := moment(value)
		if !ok {
			return "", &badValue{Message: value + " was not a valid " + d.Type + ".", Error: "INVALID_DATE"}
		}
		if d.Type == "date" {
			if t.Truncate(24*time.Hour) != t {
				return "", &badValue{Message: value + " is not at midnight UTC.", Error: "INVALID_DATE"}
			}
			return t.Format(time.DateOnly), nil
		}
		return wire(t), nil
	case d.Type == "bool":
		if value != "true" && value != "false" {
			return "", &badValue{Message: value + " was not a valid boolean.", Error: "INVALID_BOOLEAN"}
		}
	}
	return value, nil
}

func optionList(options []option) string {
	values := make([]string, len(options))
	for i, o := range options {
		values[i] = o.Value
	}
	return fmt.Sprintf("[%s]", strings.Join(values, ", "))
}

func bareDomain(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
	}
	s, _, _ = strings.Cut(s, "/")
	return strings.TrimPrefix(s, "www.")
}

// moment reads milliseconds, an ISO time or a date.
func moment(s string) (time.Time, bool) {
	if d, err := decimal.NewFromString(s); err == nil && d.IsInteger() {
		return time.UnixMilli(d.IntPart()).UTC(), true
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// wire is a time as HubSpot writes it.
func wire(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// validEmail looks at the top-level domain too: every country's two letters,
// and the common generic ones, stand for the registered list.
func validEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	dot := strings.LastIndexByte(domain, '.')
	if !ok || local == "" || strings.ContainsAny(s, " ,;<>()") || strings.Contains(domain, "@") || dot < 1 || strings.Contains(domain, "..") {
		return false
	}
	tld := domain[dot+1:]
	if len(tld) == 2 {
		return tld[0] >= 'a' && tld[0] <= 'z' && tld[1] >= 'a' && tld[1] <= 'z'
	}
	const generic = " com net org edu gov mil int info biz name pro aero coop museum jobs mobi travel tel cat asia post xxx app dev io ai cloud online store shop site tech xyz club live blog email group company services solutions systems software agency center capital finance financial express delivery supply parts transport trucks autos energy global world international network media digital studio design marketing consulting legal law tax insurance bank cpa health care clinic school academy education church community foundation social news press today life zone space website page link click top vip work works team tools support plus one inc ltd llc gmbh usa nyc boston miami vegas london berlin paris tokyo "
	return strings.Contains(generic, " "+tld+" ")
}

// definitions serves /crm/v3/properties/{type}.
func (a *App) definitions(c *call.Call, p *portal, k *kind, rest []string) {
	method := c.Request.Method
	switch {
	case method == http.MethodGet && len(rest) == 0:
		p.mu.RLock()
		defer p.mu.RUnlock()
		out := make([]*property, 0, len(p.properties[k]))
		for _, d := range p.properties[k] {
			out = append(out, d)
		}
		slices.SortFunc(out, func(a, b *property) int { return strings.Compare(a.Name, b.Name) })
		c.Reply(http.StatusOK, map[string]any{"results": out})
	case method == http.MethodGet && len(rest) == 1:
		p.mu.RLock()
		d := p.properties[k][strings.ToLower(rest[0])]
		p.mu.RUnlock()
		if d == nil {
			(&refusal{Status: "error", Message: fmt.Sprintf("Property %q does not exist", rest[0]), Category: "OBJECT_NOT_FOUND", http: http.StatusNotFound, code: "PROPERTY_DOESNT_EXIST"}).on(c)
			return
		}
		c.Reply(http.StatusOK, d)
	case method == http.MethodPost && len(rest) == 0:
		var d property
		if err := json.Unmarshal(c.Body, &d); err != nil {
			invalid("Invalid input JSON: " + err.Error()).on(c)
			return
		}
		if r := p.define(c, k, &d); r != nil {
			r.on(c)
			return
		}
		c.Reply(http.StatusCreated, &d)
	case method == http.MethodPost && len(rest) == 2 && rest[0] == "batch" && rest[1] == "create":
		var in struct {
			Inputs []property `json:"inputs"`
		}
		if err := json.Unmarshal(c.Body, &in); err != nil {
			invalid("Invalid input JSON: " + err.Error()).on(c)
			return
		}
		for i := range in.Inputs {
			if r := p.define(c, k, &in.Inputs[i]); r != nil {
				r.on(c)
				return
			}
		}
		c.Reply(http.StatusCreated, map[string]any{"status": "COMPLETE", "startedAt": wire(c.Now), "completedAt": wire(c.Now), "results": in.Inputs})
	default:
		notFound().on(c)
	}
}

func (p *portal) define(c *call.Call, k *kind, d *property) *refusal {
	d.Name = strings.ToLower(d.Name)
	if d.Name == "" || d.Label == "" || d.Type == "" || d.FieldType == "" || d.GroupName == "" {
		return invalid("name, label, type, fieldType and groupName are required")
	}
	if !slices.Contains([]string{"string", "number", "date", "datetime", "enumeration", "bool"}, d.Type) {
		return invalid("type " + d.Type + " is not one of string, number, date, datetime, enumeration, bool")
	}
	if d.HasUniqueValue && d.Type != "string" && d.Type != "number" {
		return invalid("hasUniqueValue is only for text and number properties")
	}
	if d.Options == nil {
		d.Options = []option{}
	}
	d.Sensitivity, d.HubSpotDefined = "non_sensitive", false
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.properties[k][d.Name] != nil {
		return &refusal{Status: "error", Message: fmt.Sprintf("A property named '%s' already exists.", d.Name), Category: "OBJECT_ALREADY_EXISTS", http: http.StatusConflict, code: "OBJECT_ALREADY_EXISTS"}
	}
	p.properties[k][d.Name] = d
	c.Save("hubspot/property/"+p.ID+"/"+k.plural+"/"+d.Name, d)
	return nil
}
