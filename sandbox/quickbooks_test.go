package sandbox_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fluxnex/fluxnex/sandbox"
)

func TestCustomerAndInvoiceHaveTheShapeOfRealAnswers(t *testing.T) {
	b := start(t, sandbox.Config{})
	customer := b.qb(200, http.MethodPost, "customer", object{"DisplayName": "Doe5, Jane"})
	real := sample(t, "quickbooks/customer_create.json")
	sameKeys(t, "answer", customer, real)
	sameKeys(t, "customer", customer["Customer"].(object), real["Customer"].(object))

	invoice := b.qb(200, http.MethodPost, "invoice", object{
		"Line":        []object{{"Amount": 100.0, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": object{"ItemRef": object{"value": "1", "name": "Services"}}}},
		"CustomerRef": object{"value": "1"},
	})["Invoice"].(object)
	want := sample(t, "quickbooks/invoice_create.json")["Invoice"].(object)
	sameKeys(t, "invoice", invoice, want, "CustomField", "BillAddr", "ShipAddr")
	if got := fmt.Sprintf("%v %v %v", invoice["TotalAmt"], invoice["Balance"], invoice["DueDate"]); got != "100.00 100.00 2026-12-24" {
		t.Errorf("total, balance, due = %s", got)
	}
	lines := invoice["Line"].([]any)
	if len(lines) != 2 || lines[1].(object)["DetailType"] != "SubTotalLineDetail" {
		t.Errorf("lines %v: want one and a SubTotalLineDetail", lines)
	}
	vendor := b.create("Vendor", object{"DisplayName": "Bob's Burger Joint"})
	page := sample(t, "quickbooks/vendor_query_page.json")["QueryResponse"].(object)["Vendor"].([]any)
	sameKeys(t, "vendor", vendor, page[0].(object))
}

func TestFullUpdateClearsAndSparseUpdateKeeps(t *testing.T) {
	b := start(t, sandbox.Config{})
	v := b.create("Vendor", object{"DisplayName": "Acme", "CompanyName": "Acme Inc", "PrimaryPhone": object{"FreeFormNumber": "1"}})
	sparse := b.create("Vendor", object{"Id": v["Id"], "SyncToken": "0", "sparse": true, "CompanyName": "Acme LLC"})
	if sparse["PrimaryPhone"] == nil || sparse["CompanyName"] != "Acme LLC" || sparse["SyncToken"] != "1" {
		t.Errorf("after a sparse update: %v", sparse)
	}
	full := b.create("Vendor", object{"Id": v["Id"], "SyncToken": "1", "DisplayName": "Acme"})
	if full["PrimaryPhone"] != nil || full["CompanyName"] != nil || full["Active"] != true || full["SyncToken"] != "2" {
		t.Errorf("after a full update: %v", full)
	}
}

func TestLinesAreReplacedBySparseUpdate(t *testing.T) {
	b := start(t, sandbox.Config{})
	v := b.create("Vendor", object{"DisplayName": "Acme"})
	line := func(amount string) object {
		return object{"Amount": amount, "DetailType": "AccountBasedExpenseLineDetail", "AccountBasedExpenseLineDetail": object{"AccountRef": object{"value": "4"}}}
	}
	bill := b.create("Bill", object{"VendorRef": object{"value": v["Id"]}, "DocNumber": "A1", "Line": []object{line("10.10"), line("20.20")}})
	if fmt.Sprint(bill["TotalAmt"]) != "30.30" {
		t.Errorf("total %v", bill["TotalAmt"])
	}
	next := b.create("Bill", object{"Id": bill["Id"], "SyncToken": "0", "sparse": true, "Line": []object{line("5")}})
	if len(next["Line"].([]any)) != 1 || fmt.Sprint(next["TotalAmt"]) != "5.00" || next["DocNumber"] != "A1" {
		t.Errorf("after a sparse update of the lines: %v", next)
	}
}

func TestDocumentedRefusals(t *testing.T) {
	b := start(t, sandbox.Config{})
	v := b.create("Vendor", object{"DisplayName": "Acme Trucking"})
	c := b.create("Customer", object{"DisplayName": "Shipper"})
	sale := func(detail object, amount any) object {
		return object{"CustomerRef": object{"value": c["Id"]}, "Line": []object{{"Amount": amount, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": detail}}}
	}
	item := object{"ItemRef": object{"value": "2"}}
	for name, x := range map[string]struct {
		code, path string
		body       any
	}{
		"unknown property":          {"2010", "vendor", object{"DisplayName": "X", "BadJson": 1}},
		"unknown nested property":   {"2010", "vendor", object{"DisplayName": "X", "BillAddr": object{"Street": "1"}}},
		"not JSON":                  {"2010", "vendor", "{"},
		"no name":                   {"2020", "vendor", object{"CompanyName": "X"}},
		"no vendor":                 {"2020", "bill", object{"Line": []object{}}},
		"no SyncToken":              {"2020", "vendor", object{"Id": v["Id"], "DisplayName": "X"}},
		"bad id":                    {"2030", "vendor", object{"Id": "abc", "SyncToken": "0", "DisplayName": "X"}},
		"name too long":             {"2050", "vendor", object{"DisplayName": strings.Repeat("x", 501)}},
		"phone too long":            {"2050", "vendor", object{"DisplayName": "X", "PrimaryPhone": object{"FreeFormNumber": strings.Repeat("1", 31)}}},
		"DocNumber too long":        {"2050", "invoice", object{"DocNumber": strings.Repeat("1", 22), "CustomerRef": object{"value": "1"}}},
		"bad enumeration":           {"2170", "customer", object{"DisplayName": "X", "PreferredDeliveryMethod": "Pigeon"}},
		"colon in a name":           {"6000", "customer", object{"DisplayName": "Acme: West"}},
		"tab in a name":             {"6000", "vendor", object{"DisplayName": "Acme\tWest"}},
		"web address sans scheme":   {"6000", "vendor", object{"DisplayName": "X", "WebAddr": object{"URI": "acme.com"}}},
		"e-mail without @":          {"6000", "vendor", object{"DisplayName": "X", "PrimaryEmailAddr": object{"Address": "acme.com"}}},
		"other currency":            {"6000", "vendor", object{"DisplayName": "X", "CurrencyRef": object{"value": "CAD"}}},
		"duplicate name":            {"6240", "vendor", object{"DisplayName": "ACME  trucking"}},
		"duplicate of another type": {"6240", "customer", object{"DisplayName": "acme trucking"}},
		"no such customer":          {"2500", "invoice", object{"CustomerRef": object{"value": "99"}, "Line": []object{{"Amount": 1, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": item}}}},
		"product is not the amount": {"6000", "invoice", sale(object{"ItemRef": object{"value": "2"}, "UnitPrice": 10, "Qty": 3}, 31)},
		"negative total":            {"6000", "invoice", sale(item, -5)},
		"missing object":            {"610", "vendor", object{"Id": "99", "SyncToken": "0", "DisplayName": "X"}},
		"stale token":               {"5010", "vendor", object{"Id": v["Id"], "SyncToken": "7", "DisplayName": "X"}},
		"delete of a name":          {"500", "vendor?operation=delete", object{"Id": v["Id"], "SyncToken": "0"}},
		"unknown entity":            {"500", "spaceship", object{}},
	} {
		t.Run(name, func(t *testing.T) {
			bed := *b
			bed.t = t
			bed.refused(x.code, http.MethodPost, x.path, x.body)
		})
	}
	if d := b.refused("6240", http.MethodPost, "vendor", object{"DisplayName": "Acme Trucking"}); !strings.HasSuffix(d, "Id="+v["Id"].(string)) {
		t.Errorf("detail %q does not name the holder", d)
	}
	b.must(200, http.MethodPut, "/_sandbox/quickbooks/"+sandbox.ExampleRealm+"/preferences", "", object{"duplicate_name": "null", "closed_through": "2026-06-30"})
	if d := b.refused("6240", http.MethodPost, "vendor", object{"DisplayName": "Acme Trucking"}); !strings.HasSuffix(d, ": null") {
		t.Errorf("detail %q, want : null", d)
	}
	old := sale(item, 5)
	old["TxnDate"] = "2026-06-30"
	b.refused("6210", http.MethodPost, "invoice", old)
	b.refused("4001", http.MethodGet, "query?query=select+*+from+Vendor+where+Bad+=+'1'", nil)
	b.refused("4001", http.MethodGet, "query?query=select+*+from+Vendor+where+Id+=+'1'+OR+Id+=+'2'", nil)
}

func TestDeactivatedNameIsHiddenRenamedAndFree(t *testing.T) {
	b := start(t, sandbox.Config{})
	v := b.create("Vendor", object{"DisplayName": "Acme"})
	gone := b.create("Vendor", object{"Id": v["Id"], "SyncToken": "0", "sparse": true, "Active": false})
	if gone["DisplayName"] != "Acme (deleted)" || gone["Active"] != false {
		t.Errorf("deactivated: %v", gone)
	}
	if got := b.query("select * from Vendor"); len(got) != 0 {
		t.Errorf("query shows %v", got)
	}
	if got := b.query("select * from Vendor where Active IN (true, false)"); len(got["Vendor"].([]any)) != 1 {
		t.Errorf("query with inactive shows %v", got)
	}
	b.refused("610", http.MethodPost, "vendor", object{"Id": v["Id"], "SyncToken": "1", "sparse": true, "CompanyName": "X"})
	b.refused("610", http.MethodPost, "bill", object{"VendorRef": object{"value": v["Id"]}, "Line": []object{{"Amount": 1, "DetailType": "AccountBasedExpenseLineDetail", "AccountBasedExpenseLineDetail": object{"AccountRef": object{"value": "4"}}}}})
	b.create("Customer", object{"DisplayName": "Acme"}) // the name is free
	back := b.create("Vendor", object{"Id": v["Id"], "SyncToken": "1", "sparse": true, "Active": true})
	if back["DisplayName"] != "Acme (deleted)" {
		t.Errorf("reactivated as %v: the suffix stays", back["DisplayName"])
	}
}

func TestQueryLanguage(t *testing.T) {
	b := start(t, sandbox.Config{})
	for _, n := range []string{"Amy's Bird Sanctuary", "B & B", "Carl", "Dora"} {
		b.create("Customer", object{"DisplayName": n})
	}
	for q, want := range map[string]string{
		`select * from Customer where DisplayName = 'Amy\'s Bird Sanctuary'`:                                                 "1",
		`select * from Customer where DisplayName = 'b & b'`:                                                                 "2",
		`select * from Customer where DisplayName like '%arl'`:                                                               "3",
		`select * from Customer where Id in ('2', '4') and DisplayName > 'C'`:                                                "4",
		`SELECT Id, DisplayName FROM Customer ORDERBY DisplayName DESC STARTPOSITION 2 MAXRESULTS 1`:                         "3",
		`select * from customer where MetaData.LastUpdatedTime >= '2026-11-24T00:00:00-07:00' startposition 4 maxresults 10`: "4",
	} {
		got := b.query(q)
		rows, _ := got["Customer"].([]any)
		if len(rows) != 1 || rows[0].(object)["Id"] != want {
			t.Errorf("%s: %v, want customer %s", q, got, want)
		}
	}
	if got := b.query("select count(*) from Customer"); fmt.Sprint(got["totalCount"]) != "4" {
		t.Errorf("count: %v", got)
	}
}

func TestDeleteVoidAndChanges(t *testing.T) {
	b := start(t, sandbox.Config{})
	c := b.create("Customer", object{"DisplayName": "Shipper"})
	in := object{"CustomerRef": object{"value": c["Id"]}, "Line": []object{{"Amount": 9.5, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": object{"ItemRef": object{"value": "2"}}}}}
	first, second := b.create("Invoice", in), b.create("Invoice", in)
	if first["DocNumber"] == second["DocNumber"] || first["DocNumber"] == nil {
		t.Errorf("automatic numbers %v and %v", first["DocNumber"], second["DocNumber"])
	}
	void := b.qb(200, http.MethodPost, "invoice?operation=void", object{"Id": first["Id"], "SyncToken": "0"})["Invoice"].(object)
	if fmt.Sprint(void["TotalAmt"]) != "0" || void["PrivateNote"] != "Voided" {
		t.Errorf("voided: %v", void)
	}
	deleted := b.qb(200, http.MethodPost, "invoice?operation=delete", object{"Id": second["Id"], "SyncToken": "0"})["Invoice"].(object)
	if deleted["status"] != "Deleted" {
		t.Errorf("deleted: %v", deleted)
	}
	b.refused("610", http.MethodPost, "invoice?operation=delete", object{"Id": second["Id"], "SyncToken": "1"})
	b.refused("610", http.MethodGet, "invoice/"+second["Id"].(string), nil)
	cdc := b.qb(200, http.MethodGet, "cdc?entities=Invoice,Vendor&changedSince=2026-11-24T10:00:00-07:00", nil)["CDCResponse"].([]any)[0].(object)["QueryResponse"].([]any)
	rows := cdc[0].(object)["Invoice"].([]any)
	if len(rows) != 2 || (rows[0].(object)["status"] == "Deleted") == (rows[1].(object)["status"] == "Deleted") {
		t.Errorf("changes: %v", cdc)
	}
}

func TestRequestIDAnswersTheFirstResponseAgain(t *testing.T) {
	b := start(t, sandbox.Config{})
	first := b.qb(200, http.MethodPost, "vendor?requestid=r1", object{"DisplayName": "Acme"})
	again := b.qb(200, http.MethodPost, "vendor?requestid=r1", object{"DisplayName": "Something else"})
	if got := again["Vendor"].(object); got["Id"] != first["Vendor"].(object)["Id"] || got["DisplayName"] != "Acme" {
		t.Errorf("again: %v", got)
	}
	lines := b.ledger("request_id=r1")
	if len(lines) != 2 || !lines[0].Applied || lines[1].Applied || !lines[1].Replayed {
		t.Errorf("ledger: %+v", lines)
	}
}

func TestACompanyThatForgetsRequestIDsWritesAgain(t *testing.T) {
	b := start(t, sandbox.Config{})
	b.must(200, http.MethodPut, "/_sandbox/quickbooks/"+sandbox.ExampleRealm+"/preferences", "", object{"forgets_request_ids": true})
	customer := b.create("Customer", object{"DisplayName": "Shipper"})
	invoice := object{"CustomerRef": object{"value": customer["Id"]}, "Line": []object{{"Amount": 9.5, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": object{"ItemRef": object{"value": "2"}}}}}
	for range 2 {
		b.qb(200, http.MethodPost, "invoice?requestid=r1", invoice)
	}
	lines := b.ledger("request_id=r1")
	if len(lines) != 2 || !lines[0].Applied || !lines[1].Applied || lines[0].ID == lines[1].ID {
		t.Errorf("ledger: %+v", lines)
	}
}

func TestBatchItemsFailByThemselves(t *testing.T) {
	b := start(t, sandbox.Config{})
	v := b.create("Vendor", object{"DisplayName": "Acme"})
	body := object{"BatchItemRequest": []object{
		{"bId": "bid1", "operation": "create", "Vendor": object{"DisplayName": "Boraski Family Store"}},
		{"bId": "bid2", "operation": "delete", "Invoice": object{"Id": "129", "SyncToken": "0"}},
		{"bId": "bid3", "operation": "update", "Vendor": object{"sparse": true, "Id": v["Id"], "SyncToken": "5", "Notes": "A"}},
		{"bId": "bid4", "Query": "select * from Vendor where DisplayName > 'A'"},
	}}
	got := b.qb(200, http.MethodPost, "batch?requestid=b1", body)["BatchItemResponse"].([]any)
	want := sample(t, "quickbooks/batch_mixed_create-ok_610_5010_query.json")["BatchItemResponse"].([]any)
	for i := range want {
		if i == 3 {
			break
		}
		sameKeys(t, fmt.Sprintf("item %d", i), got[i].(object), want[i].(object))
	}
	for i, code := range map[int]string{1: "610", 2: "5010"} {
		if c, _ := faultOf(t, got[i].(object)); c != code {
			t.Errorf("item %d: %v", i, got[i])
		}
	}
	again := b.qb(200, http.MethodPost, "batch?requestid=b1", body)["BatchItemResponse"].([]any)
	if fmt.Sprint(again[0]) != fmt.Sprint(got[0]) {
		t.Errorf("the batch again: %v, want %v", again[0], got[0])
	}
	if parts := b.ledger("object=Vendor&op=create&applied=true&marker=Boraski+Family+Store"); len(parts) != 1 || parts[0].PartOf == 0 {
		t.Errorf("ledger: %+v", parts)
	}
}

func TestConcurrentUpdatesNeverLoseOne(t *testing.T) {
	b := start(t, sandbox.Config{})
	v := b.create("Vendor", object{"DisplayName": "Acme"})
	id := v["Id"].(string)
	var applied atomic.Int64
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for n := 0; n < 25; {
				cur := b.qb(200, http.MethodGet, "vendor/"+id, nil)["Vendor"].(object)
				notes, _ := cur["Notes"].(string)
				res, body := b.call(http.MethodPost, "/v3/company/"+sandbox.ExampleRealm+"/vendor", b.qbo,
					object{"Id": id, "SyncToken": cur["SyncToken"], "sparse": true, "Notes": notes + fmt.Sprintf("%d.%d;", w, n)})
				switch {
				case res.StatusCode == 200:
					applied.Add(1)
					n++
				case !strings.Contains(string(body), "5010"):
					t.Errorf("unexpected answer %s", body)
					return
				}
			}
		})
	}
	group.Wait()
	last := b.qb(200, http.MethodGet, "vendor/"+id, nil)["Vendor"].(object)
	if n := strings.Count(last["Notes"].(string), ";"); n != 200 || applied.Load() != 200 || last["SyncToken"] != "200" {
		t.Errorf("%d notes, %d applied, SyncToken %v: want 200 of each", n, applied.Load(), last["SyncToken"])
	}
	before := -1
	for _, e := range b.ledger("object=Vendor&applied=true") {
		var after int
		if _, err := fmt.Sscan(e.After, &after); err != nil || after != before+1 {
			t.Fatalf("ledger line %d goes to version %q after %d", e.Seq, e.After, before)
		}
		before = after
	}
}

// connect is a person who connects anew; it returns the refresh token.
func (b *bed) connect() string {
	b.t.Helper()
	_, body := b.call(http.MethodPost, "/_sandbox/quickbooks/"+sandbox.ExampleRealm+"/authorize", "", nil)
	var granted []struct{ Refresh_token string }
	b.decode(body, &granted)
	return granted[0].Refresh_token
}

// refresh exchanges a refresh token at QuickBooks.
func (b *bed) refresh(token string) (int, object) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+"/oauth2/v1/tokens/bearer", strings.NewReader("grant_type=refresh_token&refresh_token="+token))
	if err != nil {
		b.t.Fatal(err)
	}
	req.SetBasicAuth(sandbox.ExampleQuickBooksClientID, sandbox.ExampleQuickBooksClientSecret)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw := make([]byte, 4096)
	n, _ := res.Body.Read(raw)
	var out object
	b.decode(raw[:n], &out)
	return res.StatusCode, out
}

func TestQuickBooksTokensRotate(t *testing.T) {
	b := start(t, sandbox.Config{})
	first := b.connect()
	status, out := b.refresh(first)
	if status != 200 || out["refresh_token"] == first || fmt.Sprint(out["expires_in"]) != "3600" {
		t.Fatalf("%d %v", status, out)
	}
	second := out["refresh_token"].(string)
	if status, out = b.refresh(first); status != 200 || out["refresh_token"] != second {
		t.Errorf("within the grace: %d %v", status, out)
	}
	b.clock.Advance(2 * 60e9)
	if status, out = b.refresh(first); status != 400 || out["error"] != "invalid_grant" {
		t.Errorf("after the grace: %d %v", status, out)
	}
	if n := len(b.ledger("code=refresh_token_reused")); n != 1 {
		t.Errorf("%d reuses in the ledger, want 1", n)
	}
	b.clock.Advance(3600e9)
	got := b.must(401, http.MethodGet, "/v3/company/"+sandbox.ExampleRealm+"/vendor/1", b.qbo, nil)
	sameKeys(t, "401", got, sample(t, "quickbooks/fault_3200_token-expired_lowercase-keys.json"))
	sameKeys(t, "401", got["fault"].(object)["error"].([]any)[0].(object), object{"message": 1, "detail": 1, "code": 1, "element": 1})
}

func TestAGrantWithoutGraceRefusesAReplacedTokenAtOnce(t *testing.T) {
	seed := sandbox.ExampleSeed()
	seed.QuickBooks[0].Grants[0].NoGrace = true
	b := start(t, sandbox.Config{Seed: &seed})
	token := b.connect()
	for i, want := range []int{http.StatusOK, http.StatusBadRequest} {
		if status, out := b.refresh(token); status != want {
			t.Errorf("time %d: %d %v, want %d", i+1, status, out, want)
		}
	}
	if n := len(b.ledger("code=refresh_token_reused")); n != 1 {
		t.Errorf("%d reuses in the ledger, want 1", n)
	}
}

func TestQuickBooksDocumentedLimits(t *testing.T) {
	b := start(t, sandbox.Config{Limits: "documented"})
	for range 10 {
		b.query("select * from Vendor")
	}
	got := b.must(429, http.MethodGet, "/v3/company/"+sandbox.ExampleRealm+"/vendor/1", b.qbo, nil)
	sameKeys(t, "429", got, sample(t, "quickbooks/fault_3001_throttle-exceeded.json"))
	for range 49 {
		b.clock.Advance(1e9)
		for range 10 {
			b.query("select * from Vendor")
		}
	}
	b.clock.Advance(1e9)
	b.must(429, http.MethodGet, "/v3/company/"+sandbox.ExampleRealm+"/vendor/1", b.qbo, nil) // 500 in this minute
	b.must(200, http.MethodPut, "/_sandbox/limits", "", object{"quickbooks": "off"})
	b.query("select * from Vendor")
}
