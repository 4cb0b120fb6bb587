package quickbooks

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

func answerOf(status int, body string) integration.Answer {
	return integration.Answer{Status: status, Header: http.Header{}, Body: []byte(body)}
}

func faultOf(code, detail string) string {
	b, _ := json.Marshal(map[string]any{"Fault": map[string]any{
		"Error": []any{map[string]any{"Message": "m", "Detail": detail, "code": code}}, "type": "ValidationFault",
	}})
	return string(b)
}

func TestClassifyKnowsEveryDocumentedCode(t *testing.T) {
	for _, c := range []struct {
		name    string
		answer  integration.Answer
		class   fault.Class
		code    string
		unknown bool
		scope   fault.Scope
	}{
		{"expired token", answerOf(401, `{"fault":{"error":[{"message":"x","detail":"Token expired: secret","code":"003200"}],"type":"AUTHENTICATION"}}`), fault.Auth, "qbo_3200", false, fault.ScopeConnection},
		{"other company", answerOf(403, faultOf("3100", "")), fault.Auth, "qbo_3100", false, fault.ScopeConnection},
		{"throttled", answerOf(429, faultOf("003001", "")), fault.Retryable, "qbo_3001", false, fault.ScopeAccount},
		{"throttled by an empty answer", answerOf(429, ""), fault.Retryable, "qbo_3001", false, fault.ScopeAccount},
		{"stale", answerOf(400, faultOf("5010", "")), fault.Conflict, "qbo_5010", false, fault.ScopeRecord},
		{"duplicate name in French", answerOf(400, faultOf("6240", "Un autre client porte ce nom. : Id=1209")), fault.Business, "qbo_6240", false, fault.ScopeRecord},
		{"duplicate number", answerOf(400, faultOf("6140", "")), fault.Business, "qbo_6140", false, fault.ScopeRecord},
		{"inactive", answerOf(400, faultOf("610", "")), fault.Business, "qbo_610", false, fault.ScopeRecord},
		{"bad reference", answerOf(400, faultOf("2500", "")), fault.Business, "qbo_2500", false, fault.ScopeRecord},
		{"unknown property", answerOf(400, faultOf("2010", "")), fault.Poison, "qbo_2010", false, fault.ScopeRecord},
		{"required", answerOf(400, faultOf("2020", "")), fault.Poison, "qbo_2020", false, fault.ScopeRecord},
		{"bad id", answerOf(400, faultOf("2030", "")), fault.Poison, "qbo_2030", false, fault.ScopeRecord},
		{"too long", answerOf(400, faultOf("2050", "")), fault.Poison, "qbo_2050", false, fault.ScopeRecord},
		{"enum", answerOf(400, faultOf("2170", "")), fault.Poison, "qbo_2170", false, fault.ScopeRecord},
		{"query", answerOf(400, faultOf("4001", "")), fault.Poison, "qbo_4001", false, fault.ScopeRecord},
		{"unsupported", answerOf(400, faultOf("500", "")), fault.Poison, "qbo_500", false, fault.ScopeRecord},
		{"business", answerOf(400, faultOf("6000", "no such term")), fault.Business, "qbo_6000", false, fault.ScopeRecord},
		{"busy", answerOf(400, faultOf("6000", "Please wait a few minutes and try again")), fault.Retryable, "qbo_6000", false, fault.ScopeRecord},
		{"subscription", answerOf(400, faultOf("6190", "")), fault.Business, "qbo_6190", false, fault.ScopeConnection},
		{"closed period", answerOf(400, faultOf("6210", "")), fault.Business, "qbo_6210", false, fault.ScopeRecord},
		{"deposited", answerOf(400, faultOf("6540", "")), fault.Business, "qbo_6540", false, fault.ScopeRecord},
		{"used request id", answerOf(400, faultOf("600", "")), fault.Retryable, "qbo_600", true, fault.ScopeRecord},
		{"system failure", answerOf(500, faultOf("10000", "")), fault.Retryable, "http_500", true, fault.ScopeRecord},
		{"gateway in between", answerOf(502, "<html>"), fault.Retryable, "http_502", true, fault.ScopeRecord},
		{"success with a fault", answerOf(200, faultOf("6000", "x")), fault.Business, "qbo_6000", false, fault.ScopeRecord},
		{"two errors, permanent wins", answerOf(400, `{"Fault":{"Error":[{"code":"6140"},{"code":2020}],"type":"ValidationFault"}}`), fault.Poison, "qbo_2020", false, fault.ScopeRecord},
		{"stale and refused, permanent wins", answerOf(400, `{"Fault":{"Error":[{"code":"5010"},{"code":"6240"}],"type":"ValidationFault"}}`), fault.Business, "qbo_6240", false, fault.ScopeRecord},
		{"success that cannot be read", answerOf(200, "<html>"), fault.Retryable, "qbo_unreadable_answer", true, fault.ScopeRecord},
		{"wrong base URL", answerOf(404, "not here"), fault.Retryable, "http_404", false, fault.ScopeConnection},
	} {
		f := fault.Of(deliverer{}.Classify(c.answer))
		if f == nil {
			t.Errorf("%s: taken for success", c.name)
			continue
		}
		if f.Class != c.class || f.Code != c.code || f.Unknown != c.unknown || f.Scope != c.scope {
			t.Errorf("%s: %s %s unknown=%v scope=%d, want %s %s unknown=%v scope=%d", c.name, f.Class, f.Code, f.Unknown, f.Scope, c.class, c.code, c.unknown, c.scope)
		}
		if (c.class == fault.Business || c.class == fault.Auth) && f.Remedy == "" {
			t.Errorf("%s: tells nobody what to do", c.name)
		}
	}
	if err := (deliverer{}).Classify(answerOf(200, `{"Vendor":{"Id":"1"}}`)); err != nil {
		t.Errorf("a vendor: %v", err)
	}
}

func TestThrottlingWaitsAtLeastItsWindow(t *testing.T) {
	a := answerOf(429, "")
	a.Header.Set("Retry-After", "3")
	if f := fault.Of(deliverer{}.Classify(a)); f.After != time.Minute {
		t.Errorf("waits %v, want a minute", f.After)
	}
	a.Header.Set("Retry-After", "120")
	if f := fault.Of(deliverer{}.Classify(a)); f.After != 2*time.Minute {
		t.Errorf("waits %v, want what was asked for", f.After)
	}
}

// TestRecordedAnswers classifies what QuickBooks really answered.
func TestRecordedAnswers(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "samples", "quickbooks")
	for name, want := range map[string]struct {
		status int
		code   string
	}{
		"fault_2010_unknown-property.json":                      {400, "qbo_2010"},
		"fault_3001_throttle-exceeded.json":                     {429, "qbo_3001"},
		"fault_3200_token-expired_lowercase-keys.json":          {401, "qbo_3200"},
		"fault_6240_duplicate-name_detail-null.json":            {400, "qbo_6240"},
		"vendor_read_docs-sample.json":                          {200, ""},
		"customer_update_partial-body.json":                     {200, ""},
		"invoice_create.json":                                   {200, ""},
		"bill_read_docs-sample.json":                            {200, ""},
		"batch_mixed_create-ok_610_5010_query.json":             {200, ""}, // its items carry their own faults
		"customer_query_by-displayname_escaped-apostrophe.json": {200, ""},
	} {
		body, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Skipf("recorded answers are not at hand: %v", err)
		}
		f := fault.Of(deliverer{}.Classify(integration.Answer{Status: want.status, Header: http.Header{}, Body: body}))
		if got := codeOf(f); got != want.code {
			t.Errorf("%s is %q, want %q", name, got, want.code)
		}
	}
	body, err := os.ReadFile(filepath.Join(dir, "batch_mixed_create-ok_610_5010_query.json"))
	if err != nil {
		t.Skipf("recorded answers are not at hand: %v", err)
	}
	var batch struct{ BatchItemResponse []json.RawMessage }
	if err := json.Unmarshal(body, &batch); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, item := range batch.BatchItemResponse {
		got = append(got, codeOf(fault.Of(deliverer{}.Classify(answerOf(200, string(item))))))
	}
	if len(got) != 4 || got[0] != "" || got[1] != "qbo_610" || got[2] != "qbo_5010" || got[3] != "" {
		t.Errorf("items of the batch are %q", got)
	}
}

func codeOf(f *fault.Error) string {
	if f == nil {
		return ""
	}
	return f.Code
}
