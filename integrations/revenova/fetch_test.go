package revenova

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// org answers retrieves as Salesforce does: one answer for all ids, null for
// what it does not have, an error for a column or an id it does not know.
type org struct {
	records map[string]string // id → Name
	lacks   []string          // columns
	spoiled string            // an id it calls malformed
	deleted map[string]string // id → the JSON of MasterRecordId
	calls   int               // retrieves
}

func (o *org) Call(_ context.Context, req integration.Request) (integration.Answer, error) {
	if req.Path == "/services/data/v61.0/queryAll" {
		q, err := url.ParseQuery(req.Query)
		if err != nil || !strings.Contains(q.Get("q"), "WHERE Id IN ('") {
			return integration.Answer{Status: 400, Body: []byte(`[{"errorCode":"MALFORMED_QUERY"}]`)}, nil //nolint:nilerr // the refusal is the answer
		}
		var out []string
		for id, winner := range o.deleted {
			if strings.Contains(q.Get("q"), "'"+id+"'") {
				out = append(out, fmt.Sprintf(`{"attributes":{"type":"Account"},"Id":"%s","IsDeleted":true,"MasterRecordId":%s}`, id, winner))
			}
		}
		return integration.Answer{Status: 200, Body: []byte(`{"done":true,"records":[` + strings.Join(out, ",") + "]}")}, nil
	}
	o.calls++
	if req.Method != http.MethodPost || req.Path != "/services/data/v61.0/composite/sobjects/Account" {
		return integration.Answer{Status: 404, Body: []byte(`[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]`)}, nil
	}
	var body struct{ IDs, Fields []string }
	if err := json.Unmarshal(req.Body, &body); err != nil {
		return integration.Answer{}, err
	}
	for _, c := range o.lacks {
		if slices.Contains(body.Fields, c) {
			return integration.Answer{Status: 400, Body: fmt.Appendf(nil, `[{"message":"No such column '%s' on sobject of type Account","errorCode":"INVALID_FIELD"}]`, c)}, nil
		}
	}
	if o.spoiled != "" && slices.Contains(body.IDs, o.spoiled) {
		return integration.Answer{Status: 400, Body: []byte(`[{"message":"malformed id","errorCode":"MALFORMED_ID"}]`)}, nil
	}
	out := make([]string, 0, len(body.IDs))
	for _, id := range slices.Backward(body.IDs) { // the order is not promised
		name, ok := o.records[id]
		if !ok {
			out = append(out, "null")
			continue
		}
		out = append(out, fmt.Sprintf(`{"attributes":{"type":"Account"},"Id":"%s","Name":"%s"}`, id, name))
	}
	return integration.Answer{Status: 200, Body: []byte("[" + strings.Join(out, ",") + "]")}, nil
}

func fetched(t *testing.T, o *org, ids ...string) string {
	t.Helper()
	all, err := fetcher{}.Fetch(t.Context(), o, "Account", ids)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range all {
		s := f.LocalID[:3] + " " + string(f.Outcome)
		if f.Outcome == record.OutcomePayload {
			obs, err := replicator{}.Observe(f.Format, "", f.Payload, nil)
			if err != nil {
				t.Fatal(err)
			}
			s += " " + value(obs, "Name").Value
		} else if f.Detail == "" {
			t.Errorf("%s is %s without saying why", f.LocalID, f.Outcome)
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func ids(prefixes ...string) []string {
	out := make([]string, len(prefixes))
	for i, p := range prefixes {
		out[i] = normalID(p + "5g00000AbCdE")
	}
	return out
}

func TestRecordsAreFetchedInOneCall(t *testing.T) {
	all := ids("001", "002", "003")
	o := &org{records: map[string]string{all[0]: "A", all[2]: "C"}}
	if got, want := fetched(t, o, append(all, "nobody")...), "001 payload A, 002 absent, 003 payload C, nob absent"; got != want || o.calls != 1 {
		t.Errorf("%s in %d calls, want %s in one", got, o.calls, want)
	}
}

func TestAFieldTheOrgDoesNotHaveIsLeftOut(t *testing.T) {
	all := ids("001")
	o := &org{records: map[string]string{all[0]: "A"}, lacks: []string{"CurrencyIsoCode", "rtms__DBA_Name__c"}}
	if got := fetched(t, o, all...); got != "001 payload A" || o.calls != 3 {
		t.Errorf("%s in %d calls", got, o.calls)
	}
}

func TestOneMalformedIDDoesNotSpoilTheOthers(t *testing.T) {
	all := ids("001", "002", "003", "004")
	o := &org{records: map[string]string{all[0]: "A", all[1]: "B", all[2]: "C", all[3]: "D"}, spoiled: all[2]}
	if got, want := fetched(t, o, all...), "001 payload A, 002 payload B, 003 absent, 004 payload D"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestAnswersOfSalesforce(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		class  fault.Class
		code   string
		scope  fault.Scope
		after  time.Duration
	}{
		{401, `[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]`, fault.Auth, "sf_unauthorized", fault.ScopeConnection, 0},
		{400, `{"error":"invalid_grant","error_description":"expired"}`, fault.Auth, "sf_unauthorized", fault.ScopeConnection, 0},
		{403, `[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]`, fault.Retryable, "sf_request_limit", fault.ScopeAccount, time.Hour},
		{403, `[{"message":"insufficient access","errorCode":"INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"}]`, fault.Business, "sf_forbidden", fault.ScopeRecord, 0},
		{404, `[{"message":"entity is deleted","errorCode":"ENTITY_IS_DELETED"}]`, fault.Business, codeGone, fault.ScopeRecord, 0},
		{400, `[{"message":"No such column 'X'","errorCode":"INVALID_FIELD"}]`, fault.Business, codeInvalidField, fault.ScopeRecord, 0},
		{503, `[{"message":"busy","errorCode":"SERVER_UNAVAILABLE"}]`, fault.Retryable, "sf_unavailable", fault.ScopeRecord, 7 * time.Second},
		{500, `<html>`, fault.Retryable, "sf_unavailable", fault.ScopeRecord, 7 * time.Second},
		{429, ``, fault.Retryable, "sf_throttled", fault.ScopeAccount, 7 * time.Second},
	} {
		a := integration.Answer{Status: tc.status, Body: []byte(tc.body), Header: http.Header{}}
		if tc.after == 7*time.Second {
			a.Header.Set("Retry-After", "7")
		}
		var f *fault.Error
		if !errors.As(fetcher{}.Classify(a), &f) || f.Class != tc.class || f.Code != tc.code || f.Scope != tc.scope || f.After != tc.after {
			t.Errorf("HTTP %d %s is %+v", tc.status, tc.body, f)
		}
	}
}

func TestRealErrorsOfSalesforce(t *testing.T) {
	for file, want := range map[string]struct {
		status int
		code   string
	}{
		"error_401_INVALID_SESSION_ID.json": {401, "sf_unauthorized"}, "error_404_NOT_FOUND.json": {404, codeGone}, "error_400_INVALID_FIELD.json": {400, codeInvalidField},
	} {
		err := fetcher{}.Classify(integration.Answer{Status: want.status, Body: sample(t, "salesforce-rest/"+file)})
		if f := fault.Of(err); f == nil || f.Code != want.code {
			t.Errorf("%s is %v, want %s", file, err, want.code)
		}
	}
}

func TestAnAbsentRecordSaysWhatBecameOfIt(t *testing.T) {
	all := ids("001", "002", "003")
	o := &org{deleted: map[string]string{all[0]: "null", all[1]: `"` + acmeID + `"`}}
	got, err := fetcher{}.Fetch(t.Context(), o, "Account", all)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"deleted in Salesforce", "merged into " + acmeID, "no such record"} {
		if got[i].Outcome != record.OutcomeAbsent || !strings.Contains(got[i].Detail, want) {
			t.Errorf("%+v, want %q", got[i], want)
		}
	}
}
