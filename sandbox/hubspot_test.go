package sandbox_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/sandbox"
)

const (
	companies = "/crm/v3/objects/companies"
	contacts  = "/crm/v3/objects/contacts"
)

func prop(o any, name string) any { return o.(object)["properties"].(object)[name] }

func hsError(t testing.TB, body object, category, text string) {
	t.Helper()
	if body["category"] != category || !strings.Contains(fmt.Sprint(body["message"]), text) || body["correlationId"] == nil {
		t.Errorf("error %v: want category %s and %q", body, category, text)
	}
}

// uniqueID gives companies a property to upsert by.
func uniqueID(b *bed) {
	b.t.Helper()
	b.hs(201, http.MethodPost, "/crm/v3/properties/companies", object{"name": "SF_Account_ID", "label": "Account", "type": "string", "fieldType": "text", "groupName": "companyinformation", "hasUniqueValue": true})
}

func TestHubSpotKeepsStringsInLowerCase(t *testing.T) {
	b := start(t, sandbox.Config{})
	c := b.hs(201, http.MethodPost, companies, object{"properties": object{"Name": "Biglytics", "domain": "BigLytics.NET", "annualrevenue": 1000000}})
	if prop(c, "domain") != "biglytics.net" || prop(c, "annualrevenue") != "1000000" || prop(c, "name") != "Biglytics" {
		t.Errorf("created %v", c)
	}
	sameKeys(t, "company", c, sample(t, "hubspot/company_create.json"), "url")
	id := c["id"].(string)
	b.hs(200, http.MethodPatch, companies+"/"+id, object{"properties": object{"phone": "1", "annualrevenue": ""}})
	got := b.hs(200, http.MethodGet, companies+"/"+id+"?properties=phone,annualrevenue,city", nil)
	if prop(got, "phone") != "1" || prop(got, "annualrevenue") != "" || prop(got, "city") != nil {
		t.Errorf("read %v", got)
	}
	if _, set := got["properties"].(object)["city"]; !set {
		t.Errorf("an asked property without a value is null: %v", got)
	}
	b.hs(204, http.MethodDelete, companies+"/"+id, nil)
	hsError(t, b.hs(404, http.MethodGet, companies+"/"+id, nil), "OBJECT_NOT_FOUND", "")
	if all := b.must(200, http.MethodGet, "/_sandbox/hubspot/"+sandbox.ExamplePortal+"/companies", "", nil); fmt.Sprint(all["total"]) != "1" {
		t.Errorf("inspection hides an archived company: %v", all)
	}
}

func TestHubSpotRefusals(t *testing.T) {
	b := start(t, sandbox.Config{})
	first := b.hs(201, http.MethodPost, contacts, object{"properties": object{"email": "Lily@HubSpot.com", "firstname": "Lily"}})
	hsError(t, b.hs(409, http.MethodPost, contacts, object{"properties": object{"email": "lily@hubspot.com"}}), "CONFLICT", "Contact already exists. Existing ID: "+first["id"].(string))
	batch := b.hs(409, http.MethodPost, contacts+"/batch/create", object{"inputs": []object{{"properties": object{"email": "lily@hubspot.com"}}}})
	sameKeys(t, "batch 409", batch, sample(t, "hubspot/contacts_batch_create_409_CONFLICT.json"))
	if batch["message"] != "Contact already exists" {
		t.Errorf("batch conflict says %q: it does not tell the holder", batch["message"])
	}
	bad := b.hs(400, http.MethodPost, contacts, object{"properties": object{"email": "example.lcom"}})
	sameKeys(t, "INVALID_EMAIL", bad, sample(t, "hubspot/error_400_INVALID_EMAIL.json"))
	hsError(t, bad, "VALIDATION_ERROR", `"error":"INVALID_EMAIL"`)
	hsError(t, b.hs(400, http.MethodPost, contacts, object{"properties": object{"email": "x@y.local"}}), "VALIDATION_ERROR", "INVALID_EMAIL")
	hsError(t, b.hs(400, http.MethodPost, companies, object{"properties": object{"name": "A", "nope": "1"}}), "VALIDATION_ERROR", "PROPERTY_DOESNT_EXIST")
	hsError(t, b.hs(400, http.MethodPost, companies, object{"properties": object{"name": "A", "lifecyclestage": "Fan"}}), "VALIDATION_ERROR", "INVALID_OPTION")
	hsError(t, b.hs(400, http.MethodPost, companies, object{"properties": object{"phone": "1"}}), "VALIDATION_ERROR", "name, domain")
	hsError(t, b.hs(400, http.MethodPost, contacts+"/batch/update", object{"inputs": []object{{"id": first["id"], "properties": object{}}, {"id": first["id"], "properties": object{}}}}), "VALIDATION_ERROR", "Duplicate")
	hsError(t, b.hs(400, http.MethodPost, companies+"/batch/upsert", object{"inputs": []object{{"id": "x.com", "idProperty": "domain", "properties": object{}}}}), "VALIDATION_ERROR", "not a unique property")
	many := make([]object, 101)
	for i := range many {
		many[i] = object{"properties": object{"name": "A"}}
	}
	hsError(t, b.hs(400, http.MethodPost, companies+"/batch/create", object{"inputs": many}), "VALIDATION_ERROR", "100")
	hsError(t, b.must(401, http.MethodGet, contacts, "nobody", nil), "INVALID_AUTHENTICATION", "")
}

func TestHubSpotUpsertByUniquePropertyIsOneObject(t *testing.T) {
	b := start(t, sandbox.Config{})
	uniqueID(b)
	upsert := func(name string) object {
		return b.hs(200, http.MethodPost, companies+"/batch/upsert", object{"inputs": []object{
			{"id": "A1", "idProperty": "sf_account_id", "objectWriteTraceId": "t1", "properties": object{"name": name}},
			{"id": "B2", "idProperty": "sf_account_id", "objectWriteTraceId": "t2", "properties": object{"name": "Other"}},
			{"id": "C3", "idProperty": "sf_account_id", "objectWriteTraceId": "t3", "properties": object{"name": "Third"}},
		}})
	}
	first := upsert("Acme")["results"].([]any)
	again := upsert("Acme 2")["results"].([]any)
	if first[0].(object)["objectWriteTraceId"] == "t1" {
		t.Errorf("results come in the order of the inputs: %v", first)
	}
	for _, r := range again {
		if r.(object)["new"] != false {
			t.Errorf("made again: %v", r)
		}
	}
	got := b.hs(200, http.MethodGet, companies+"/A1?idProperty=sf_account_id", nil)
	if prop(got, "name") != "Acme 2" {
		t.Errorf("read by the unique property: %v", got)
	}
	lines := b.ledger("object=companies&op=upsert&request_id=t1&applied=true")
	if len(lines) != 2 || lines[0].Before != "" || lines[0].After != "0" || lines[1].Before != "0" || lines[1].After != "1" || lines[1].Marker != "Acme 2" {
		t.Errorf("ledger: %+v", lines)
	}
}

func TestHubSpotPartialBatchIs207(t *testing.T) {
	b := start(t, sandbox.Config{})
	b.hs(201, http.MethodPost, contacts, object{"properties": object{"email": "a@hubspot.com"}})
	got := b.hs(207, http.MethodPost, contacts+"/batch/create", object{"inputs": []object{
		{"objectWriteTraceId": "1", "properties": object{"email": "a@hubspot.com"}},
		{"objectWriteTraceId": "2", "properties": object{"email": "b@hubspot.com"}},
	}})
	sameKeys(t, "207", got, sample(t, "hubspot/contacts_batch_update_207_partial.json"))
	if e := got["errors"].([]any)[0].(object); e["category"] != "CONFLICT" || e["context"].(object)["existingId"] == nil {
		t.Errorf("error %v: want the existing id in its context", e)
	}
	read := b.hs(207, http.MethodPost, contacts+"/batch/read", object{"idProperty": "email", "inputs": []object{{"id": "B@hubspot.com"}, {"id": "c@hubspot.com"}}})
	if len(read["results"].([]any)) != 1 || fmt.Sprint(read["numErrors"]) != "1" {
		t.Errorf("batch read: %v", read)
	}
}

func TestHubSpotSearchLagsBehind(t *testing.T) {
	b := start(t, sandbox.Config{})
	b.hs(201, http.MethodPost, companies, object{"properties": object{"name": "Acme"}})
	search := func() any {
		return b.hs(200, http.MethodPost, companies+"/search", object{"filterGroups": []object{{"filters": []object{{"propertyName": "name", "operator": "EQ", "value": "acme"}}}}})["total"]
	}
	if n := search(); fmt.Sprint(n) != "0" {
		t.Errorf("search finds %v at once", n)
	}
	b.clock.Advance(2e9)
	if n := search(); fmt.Sprint(n) != "1" {
		t.Errorf("search finds %v after 2 s", n)
	}
}

func TestHubSpotMergedIDAnswersAsTheWinner(t *testing.T) {
	b := start(t, sandbox.Config{})
	w := b.hs(201, http.MethodPost, companies, object{"properties": object{"name": "Winner"}})
	l := b.hs(201, http.MethodPost, companies, object{"properties": object{"name": "Loser", "city": "Boston"}})
	b.hs(200, http.MethodPost, companies+"/merge", object{"primaryObjectId": w["id"], "objectIdToMerge": l["id"]})
	got := b.hs(200, http.MethodGet, companies+"/"+l["id"].(string)+"?properties=city", nil)
	if got["id"] != w["id"] || prop(got, "name") != "Winner" || prop(got, "city") != "Boston" {
		t.Errorf("the loser answers %v", got)
	}
	b.hs(200, http.MethodPatch, companies+"/"+l["id"].(string), object{"properties": object{"phone": "1"}})
	if got = b.hs(200, http.MethodGet, companies+"/"+w["id"].(string)+"?properties=phone", nil); prop(got, "phone") != "1" {
		t.Errorf("an update of the loser is lost: %v", got)
	}
}

func TestHubSpotAssociations(t *testing.T) {
	b := start(t, sandbox.Config{})
	c := b.hs(201, http.MethodPost, companies, object{"properties": object{"name": "Acme"}})["id"].(string)
	p := b.hs(201, http.MethodPost, contacts, object{"properties": object{"email": "a@hubspot.com"}})["id"].(string)
	b.hs(200, http.MethodPut, "/crm/v4/objects/contact/"+p+"/associations/default/company/"+c, nil)
	got := b.hs(200, http.MethodGet, "/crm/v4/objects/contact/"+p+"/associations/company", nil)["results"].([]any)
	if len(got) != 1 || fmt.Sprint(got[0].(object)["toObjectId"]) != c || !strings.Contains(fmt.Sprint(got), "typeId:279") || !strings.Contains(fmt.Sprint(got), "typeId:1]") {
		t.Errorf("associations %v", got)
	}
	deal := b.hs(201, http.MethodPost, "/crm/v3/objects/deals", object{
		"properties":   object{"dealname": "D", "amount": "10.50"},
		"associations": []object{{"to": object{"id": c}, "types": []object{{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 341}}}},
	})["id"].(string)
	if got = b.hs(200, http.MethodGet, "/crm/v4/objects/companies/"+c+"/associations/deals", nil)["results"].([]any); len(got) != 1 || fmt.Sprint(got[0].(object)["toObjectId"]) != deal {
		t.Errorf("the company's deals %v", got)
	}
}

func TestHubSpotLimitsNameTheirPolicy(t *testing.T) {
	b := start(t, sandbox.Config{Limits: "documented"})
	for range 190 {
		b.hs(200, http.MethodGet, companies, nil)
	}
	res, body := b.call(http.MethodGet, companies, sandbox.ExampleHubSpotPrivateToken, nil)
	var got object
	b.decode(body, &got)
	sameKeys(t, "429", got, sample(t, "hubspot/error_429_TEN_SECONDLY_ROLLING.json"))
	if res.StatusCode != 429 || got["policyName"] != "TEN_SECONDLY_ROLLING" || res.Header.Get("X-HubSpot-RateLimit-Max") != "190" {
		t.Errorf("%d %v %v", res.StatusCode, got, res.Header)
	}
	for range 5 {
		b.hs(200, http.MethodPost, companies+"/search", object{})
	}
	search := b.hs(429, http.MethodPost, companies+"/search", object{})
	if search["errorType"] != "RATE_LIMIT" || search["policyName"] != nil {
		t.Errorf("search limit: %v names a policy", search)
	}
	b.clock.Advance(11e9)
	b.script(object{"app": "hubspot", "action": "ratelimit", "policy": "DAILY", "times": 1})
	sameKeys(t, "DAILY", b.hs(429, http.MethodGet, companies, nil), sample(t, "hubspot/error_429_DAILY.json"))
	b.hs(200, http.MethodGet, companies, nil)
}

func TestHubSpotOAuth(t *testing.T) {
	b := start(t, sandbox.Config{})
	form := func(refresh string) string {
		return url.Values{"grant_type": {"refresh_token"}, "client_id": {sandbox.ExampleHubSpotClientID}, "client_secret": {sandbox.ExampleHubSpotClientSecret}, "refresh_token": {refresh}}.Encode()
	}
	bad := b.must(400, http.MethodPost, "/oauth/v1/token", "", form("wrong"))
	sameKeys(t, "refused refresh", bad, sample(t, "hubspot/oauth_refresh_error_BAD_REFRESH_TOKEN.json"))
	// authorising (in start) was for QuickBooks only, so the seeded token stands
	got := b.must(200, http.MethodPost, "/oauth/v1/token", "", form(sandbox.ExampleHubSpotRefreshToken))
	if got["refresh_token"] != sandbox.ExampleHubSpotRefreshToken || fmt.Sprint(got["expires_in"]) != "1800" {
		t.Errorf("refreshed: %v", got)
	}
	token := got["access_token"].(string)
	if d := b.must(200, http.MethodGet, "/account-info/v3/details", token, nil); fmt.Sprint(d["portalId"]) != sandbox.ExamplePortal {
		t.Errorf("details %v", d)
	}
	b.clock.Advance(1875e9)
	expired := b.must(401, http.MethodGet, companies, token, nil)
	sameKeys(t, "expired", expired, sample(t, "hubspot/error_401_EXPIRED_AUTHENTICATION.json"))
	hsError(t, expired, "EXPIRED_AUTHENTICATION", "expired 75 second(s) ago")
}
