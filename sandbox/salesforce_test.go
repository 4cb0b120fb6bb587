package sandbox_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/sandbox"
	"github.com/fluxnex/fluxnex/sandbox/oauth"
	"github.com/fluxnex/fluxnex/sandbox/salesforce"
)

const (
	org  = "/_sandbox/salesforce/" + sandbox.ExampleOrg
	data = "/services/data/v61.0"
)

var acme = salesforce.ID18("0015g00000AbCdE")

func (b *bed) sfToken() string {
	b.t.Helper()
	got := b.must(200, http.MethodPost, "/services/oauth2/token", "", url.Values{
		"grant_type": {"refresh_token"}, "client_id": {sandbox.ExampleSalesforceClientID},
		"client_secret": {sandbox.ExampleSalesforceClientSecret}, "refresh_token": {sandbox.ExampleSalesforceRefreshToken},
	}.Encode())
	if got["instance_url"] != b.url || got["expires_in"] != nil {
		b.t.Errorf("token answer %v", got)
	}
	return got["access_token"].(string)
}

func sfError(t testing.TB, b *bed, status int, path, token, code string) {
	t.Helper()
	list := b.must(status, http.MethodGet, path, token, nil)["list"].([]any)
	if list[0].(object)["errorCode"] != code {
		t.Errorf("%s: %v, want %s", path, list, code)
	}
}

func TestSalesforceIDs(t *testing.T) {
	for in, want := range map[string]string{"70130000001tcyI": "70130000001tcyIAAQ", "70130000001tcyIAAQ": "70130000001tcyIAAQ", "70130000001tcyIaaq": "70130000001tcyIAAQ", "70130000001tcyIAAA": "", "x": "", "7013000000_tcyI": ""} {
		if got := salesforce.ID18(in); got != want {
			t.Errorf("ID18(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSalesforceRecord(t *testing.T) {
	b := start(t, sandbox.Config{})
	token := b.sfToken()
	b.must(200, http.MethodPut, org+"/Account/"+acme[:15], "", object{"Name": "Acme Trucking", "Type": "Vendor", "AnnualRevenue": json.Number("10000.0"), "BillingPostalCode": "04001", "Phone": nil, "SystemModstamp": "2026-05-09T03:04:32.000Z"})
	got := b.must(200, http.MethodGet, data+"/sobjects/Account/"+acme[:15]+"?fields=Id,Name,AnnualRevenue,BillingPostalCode,Phone,Other__c,SystemModstamp", token, nil)
	if fmt.Sprint(got["AnnualRevenue"]) != "10000.0" || got["SystemModstamp"] != "2026-05-09T03:04:32.000+0000" || got["Id"] != acme || got["BillingPostalCode"] != "04001" {
		t.Errorf("record %v", got)
	}
	if v, asked := got["Phone"]; !asked || v != nil {
		t.Errorf("null is explicit: %v", got)
	}
	many := b.must(200, http.MethodPost, data+"/composite/sobjects/Account", token, object{"ids": []string{salesforce.ID18("0015g00000Zzzzz"), acme}, "fields": []string{"Name"}})["list"].([]any)
	if many[0] != nil || many[1].(object)["Name"] != "Acme Trucking" {
		t.Errorf("retrieve %v", many)
	}
	sfError(t, b, 404, data+"/sobjects/Account/"+salesforce.ID18("0015g00000Zzzzz"), token, "NOT_FOUND")
	sfError(t, b, 400, data+"/sobjects/Account/abc", token, "MALFORMED_ID")
	sfError(t, b, 401, data+"/sobjects/Account/"+acme, "old", "INVALID_SESSION_ID")
	b.must(200, http.MethodPut, org+"/Account", "", object{"fields": []string{"Name"}})
	sfError(t, b, 400, data+"/sobjects/Account/"+acme+"?fields=AccountNumer", token, "INVALID_FIELD")
	b.must(200, http.MethodDelete, org+"/Account/"+acme, "", nil)
	sfError(t, b, 404, data+"/sobjects/Account/"+acme, token, "ENTITY_IS_DELETED")
}

func TestSalesforceQueriesAndChanges(t *testing.T) {
	b := start(t, sandbox.Config{})
	token := b.sfToken()
	var ids []string
	for i := range 450 {
		id := salesforce.ID18(fmt.Sprintf("0015g00000%05d", i))
		ids = append(ids, id)
		b.must(200, http.MethodPut, org+"/Account/"+id, "", object{"Name": fmt.Sprintf("Account %d", i), "Employees": i, "SystemModstamp": b.clock.Now().Add(time.Duration(i) * time.Second).Format("2006-01-02T15:04:05.000Z")})
	}
	q := func(path, soql string) object {
		return b.must(200, http.MethodGet, data+path+"?q="+url.QueryEscape(soql), token, nil)
	}
	for soql, want := range map[string]string{
		"SELECT Id FROM Account": "450",
		"SELECT Id, Name FROM Account WHERE Id IN ('" + ids[0][:15] + "','" + ids[9] + "')":                       "2",
		"SELECT Id FROM Account WHERE LastModifiedDate >= 2026-11-24T18:07:20.000Z AND IsDeleted = false":         "10",
		`SELECT Id FROM Account WHERE Name = 'Account 7' AND Employees > 6 ORDER BY Name DESC NULLS LAST LIMIT 5`: "1",
		"SELECT COUNT() FROM Account WHERE Name LIKE 'Account 1_'":                                                "10",
	} {
		if got := q("/query", soql)["totalSize"]; fmt.Sprint(got) != want {
			t.Errorf("%s: %v rows, want %s", soql, got, want)
		}
	}
	res, _ := b.call(http.MethodGet, data+"/query?q=SELECT+FROM", token, nil)
	if res.StatusCode != 400 {
		t.Errorf("malformed query: %d", res.StatusCode)
	}
	b.must(200, http.MethodPost, org+"/Account/merge", "", object{"winner": ids[0], "losers": []string{ids[1]}})
	deleted := q("/queryAll", "SELECT Id, MasterRecordId FROM Account WHERE IsDeleted = true AND MasterRecordId != null")["records"].([]any)
	if len(deleted) != 1 || deleted[0].(object)["MasterRecordId"] != ids[0] {
		t.Errorf("losers: %v", deleted)
	}
	window := "?start=" + url.QueryEscape("2026-11-24T18:00:00+00:00") + "&end=" + url.QueryEscape("2026-11-24T18:00:05+00:00")
	if got := b.must(200, http.MethodGet, data+"/sobjects/Account/updated/"+window, token, nil); len(got["ids"].([]any)) != 4 {
		t.Errorf("updated: %v", got)
	} else {
		sameKeys(t, "updated", got, sample(t, "salesforce-rest/get-updated.json"))
	}
	if got := b.must(200, http.MethodGet, data+"/sobjects/Account/deleted/"+window, token, nil); len(got["deletedRecords"].([]any)) != 1 {
		t.Errorf("deleted: %v", got)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+data+"/query?q="+url.QueryEscape("SELECT Id FROM Account"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Sforce-Query-Options", "batchSize=200")
	res, err = http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var page object
	if err := json.NewDecoder(res.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	rows := len(page["records"].([]any))
	for page["done"] != true {
		page = b.must(200, http.MethodGet, page["nextRecordsUrl"].(string), token, nil)
		rows += len(page["records"].([]any))
	}
	if rows != 449 {
		t.Errorf("%d rows over all pages, want 449", rows)
	}
}

func TestSalesforceDailyLimitIs403(t *testing.T) {
	seed := sandbox.ExampleSeed()
	seed.Salesforce[0].DailyLimit = 2
	b := start(t, sandbox.Config{Seed: &seed, Limits: "documented"})
	token := b.sfToken()
	b.must(200, http.MethodPut, org+"/Account/"+acme, "", object{"Name": "A"})
	b.must(200, http.MethodGet, data+"/sobjects/Account/"+acme, token, nil)
	res, _ := b.call(http.MethodGet, data+"/sobjects/Account/"+acme, token, nil)
	if got := res.Header.Get("Sforce-Limit-Info"); got != "api-usage=2/2" {
		t.Errorf("limit header %q", got)
	}
	sfError(t, b, 403, data+"/sobjects/Account/"+acme, token, "REQUEST_LIMIT_EXCEEDED")
}

func TestSalesforceJWTBearer(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	seed := sandbox.ExampleSeed()
	seed.Salesforce[0].PublicKey = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	seed.Salesforce[0].Grants = append(seed.Salesforce[0].Grants, oauth.Grant{ClientID: "jwt-client"})
	b := start(t, sandbox.Config{Seed: &seed})
	ask := func(life time.Duration, aud string) int {
		claims, _ := json.Marshal(object{"iss": "jwt-client", "sub": "integration@example.com", "aud": aud, "exp": b.clock.Now().Add(life).Unix()})
		text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
		sum := sha256.Sum256([]byte(text))
		sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		res, _ := b.call(http.MethodPost, "/services/oauth2/token", "", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {text + "." + base64.RawURLEncoding.EncodeToString(sig)}}.Encode())
		return res.StatusCode
	}
	if got := ask(2*time.Minute, "https://login.salesforce.com"); got != 200 {
		t.Errorf("good assertion: %d", got)
	}
	if got := ask(time.Hour, "https://login.salesforce.com"); got != 400 {
		t.Errorf("too long a life: %d", got)
	}
	if got := ask(2*time.Minute, "https://example.com"); got != 400 {
		t.Errorf("other audience: %d", got)
	}
	got := b.must(200, http.MethodPost, "/services/oauth2/token", "", url.Values{"grant_type": {"client_credentials"}, "client_id": {sandbox.ExampleSalesforceClientID}, "client_secret": {sandbox.ExampleSalesforceClientSecret}}.Encode())
	sameKeys(t, "token", got, sample(t, "salesforce-rest/oauth_token_success.json"), "token_type")
}

const ackBody = `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>`

func TestOutboundMessageIsRepeatedUntilTheAck(t *testing.T) {
	b := start(t, sandbox.Config{})
	b.must(200, http.MethodPut, org+"/Account/"+acme, "", object{"Name": "Acme & Sons", "Type": "Vendor", "Phone": nil, "AnnualRevenue": json.Number("50000.0"), "Secret__c": "x"})
	var mu sync.Mutex
	var bodies []string
	answers := []string{`{"ok":true}`, ackBody}
	came := make(chan struct{}, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		bodies = append(bodies, r.Header.Get("Content-Type")+"\n"+string(raw))
		_, _ = io.WriteString(w, answers[min(len(bodies)-1, 1)])
		came <- struct{}{}
	}))
	defer hook.Close()
	ask := object{"url": hook.URL, "sobject": "Account", "ids": []string{acme}, "fields": []string{"Name", "AnnualRevenue", "SystemModstamp"}}
	b.must(202, http.MethodPost, org+"/outbound", "", ask)
	<-came
	// The first try was answered by JSON, which is no Ack: it waits.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	pending := func() []any { return b.must(200, http.MethodGet, org+"/outbound", "", nil)["list"].([]any) }
	for end := time.Now().Add(10 * time.Second); ; <-tick.C {
		if p := pending(); len(p) == 1 && p[0].(object)["error"] != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("pending: %v", pending())
		}
	}
	b.must(200, http.MethodPut, org+"/Account/"+acme, "", object{"Name": "Acme Renamed"})
	b.must(200, http.MethodPost, org+"/outbound/retry", "", nil)
	<-came
	for end := time.Now().Add(10 * time.Second); len(pending()) != 0; <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("still pending: %v", pending())
		}
	}
	mu.Lock()
	defer mu.Unlock()
	first, second := bodies[0], bodies[1]
	for _, want := range []string{
		"text/xml; charset=utf-8", "<OrganizationId>" + sandbox.ExampleOrg + "</OrganizationId>", `<SessionId xsi:nil="true"/>`, `xsi:type="sf:Account"`, "<sf:Id>" + acme + "</sf:Id>",
		"<sf:Name>Acme &amp; Sons</sf:Name>", "<sf:AnnualRevenue>50000.0</sf:AnnualRevenue>", "<sf:SystemModstamp>2026-11-24T18:00:00.000Z</sf:SystemModstamp>", "/services/Soap/c/61.0/" + sandbox.ExampleOrg[:15] + "<",
	} {
		if !strings.Contains(first, want) {
			t.Errorf("message lacks %s: %s", want, first)
		}
	}
	if strings.Contains(first, "sf:Phone") || strings.Contains(first, "Secret__c") {
		t.Errorf("nulls and fields not selected are absent: %s", first)
	}
	if !strings.Contains(second, "Acme Renamed") {
		t.Errorf("a repeated message has the state of then: %s", second)
	}
	note := func(s string) string {
		_, rest, _ := strings.Cut(s, "<Notification><Id>")
		id, _, _ := strings.Cut(rest, "<")
		return id
	}
	if note(first) == "" || note(first) != note(second) {
		t.Errorf("notification ids %q and %q: want the same", note(first), note(second))
	}
	_, doc, _ := strings.Cut(first, "\n")
	if err := xml.Unmarshal([]byte(doc), new(struct{ XMLName xml.Name })); err != nil {
		t.Errorf("not XML: %v", err)
	}
}

func TestOutboundMessageOnceReportsTheNack(t *testing.T) {
	b := start(t, sandbox.Config{})
	b.must(200, http.MethodPut, org+"/Account/"+acme, "", object{"Name": "A"})
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Replace(ackBody, "true", "false", 1))
	}))
	defer hook.Close()
	got := b.must(200, http.MethodPost, org+"/outbound?once=true", "", object{"url": hook.URL, "sobject": "Account", "ids": []string{acme}})["list"].([]any)[0].(object)
	if got["acked"] != false || got["error"] != "SOAP response was a nack" || fmt.Sprint(got["status"]) != "200" {
		t.Errorf("sent: %v", got)
	}
}
