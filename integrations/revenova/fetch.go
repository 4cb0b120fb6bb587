package revenova

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

const (
	apiPath = "/services/data/v61.0"

	// maxRetrieve is what one composite retrieve takes.
	maxRetrieve = 2000

	// maxQueried keeps the query of explain inside a URL's length.
	maxQueried = 200

	// quotaPause is how long to leave an org alone whose daily requests are used
	// up: the limit is a rolling 24 hours, so it frees up little by little.
	quotaPause = time.Hour
)

type fetcher struct{}

func (fetcher) Batch() int { return maxRetrieve }

// Fetch retrieves records by id in one call. Fields the org's package version
// does not have are left out and asked for no more in this call.
func (f fetcher) Fetch(ctx context.Context, c integration.Caller, object string, localIDs []string) ([]integration.Fetched, error) {
	fields := objectFields(entityType(object))
	if fields == nil {
		return nil, fault.New(fault.Business, "unknown_object", "object %q is not among the ones that can be fetched", object)
	}
	out := make([]integration.Fetched, 0, len(localIDs))
	ask := make([]string, 0, len(localIDs))
	for _, id := range localIDs {
		if salesforceID(id) {
			ask = append(ask, id)
			continue
		}
		out = append(out, integration.Fetched{
			LocalID: id, Outcome: record.OutcomeAbsent, Detail: "not an id that Salesforce could have made",
		})
	}
	found, err := f.retrieve(ctx, c, object, &fields, ask)
	if err == nil {
		f.explain(ctx, c, object, found)
	}
	return append(out, found...), err
}

// explain looks for absent records among the deleted ones, so that whoever
// needs them is told what became of them: a retrieve answers null for a record
// that was deleted, merged into another, or never there. It is worth a call but
// no failure.
func (f fetcher) explain(ctx context.Context, c integration.Caller, object string, found []integration.Fetched) {
	absent := map[string]*integration.Fetched{}
	var quoted []string
	for i := range found {
		if found[i].Outcome == record.OutcomeAbsent && len(quoted) < maxQueried {
			absent[found[i].LocalID] = &found[i]
			quoted = append(quoted, "'"+found[i].LocalID+"'") // letters and digits only
		}
	}
	if len(quoted) == 0 {
		return
	}
	columns := "Id, IsDeleted"
	if mergeable(object) {
		columns += ", MasterRecordId"
	}
	answer, err := c.Call(ctx, integration.Request{
		Method: http.MethodGet, Path: apiPath + "/queryAll",
		Query: url.Values{"q": {"SELECT " + columns + " FROM " + object + " WHERE Id IN (" + strings.Join(quoted, ",") + ")"}}.Encode(),
	})
	if err != nil || f.Classify(answer) != nil {
		return
	}
	root, err := parseJSON(string(answer.Body))
	if err != nil {
		return
	}
	for _, r := range root.Get("records").Array() {
		x := absent[normalID(r.Get("Id").String())]
		switch winner := r.Get("MasterRecordId").String(); {
		case x == nil || !r.Get("IsDeleted").Bool():
		case winner != "":
			x.Detail = "it was merged into " + winner + " in Salesforce"
		default:
			x.Detail = "it was deleted in Salesforce"
		}
	}
}

func (f fetcher) retrieve(ctx context.Context, c integration.Caller, object string, fields *[]string, ids []string) ([]integration.Fetched, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	body, err := json.Marshal(struct {
		IDs    []string `json:"ids"`
		Fields []string `json:"fields"`
	}{ids, *fields})
	if err != nil {
		return nil, err
	}
	answer, err := c.Call(ctx, integration.Request{
		Method: http.MethodPost, Path: apiPath + "/composite/sobjects/" + object,
		ContentType: typeJSON, Body: body,
	})
	if err == nil {
		err = f.Classify(answer)
	}
	var refusal *fault.Error
	switch {
	case err == nil:
		return retrieved(answer.Body, ids)
	case !errors.As(err, &refusal):
		return nil, err
	case refusal.Code == codeInvalidField:
		if i := slices.IndexFunc(*fields, func(name string) bool { return names(refusal.Error(), name) }); i > 0 {
			*fields = slices.Delete(slices.Clone(*fields), i, i+1)
			return f.retrieve(ctx, c, object, fields, ids)
		}
		return nil, err
	case refusal.Code == codeGone, refusal.Code == codeMalformedID:
		if len(ids) == 1 {
			return []integration.Fetched{{LocalID: ids[0], Outcome: record.OutcomeAbsent, Detail: refusal.Error()}}, nil
		}
		// One id spoils the whole call: halves find it in log n calls.
		left, err := f.retrieve(ctx, c, object, fields, ids[:len(ids)/2])
		if err != nil {
			return nil, err
		}
		right, err := f.retrieve(ctx, c, object, fields, ids[len(ids)/2:])
		return append(left, right...), err
	}
	return nil, err
}

// names reports that the message speaks of the field, as a word.
func names(message, field string) bool {
	for rest := message; ; {
		i := strings.Index(rest, field)
		if i < 0 {
			return false
		}
		end := i + len(field)
		if (i == 0 || !wordByte(rest[i-1])) && (end == len(rest) || !wordByte(rest[end])) {
			return true
		}
		rest = rest[end:]
	}
}

func wordByte(c byte) bool { return isAlnum(c) || c == '_' }

// retrieved matches records to ids by the id inside, never by position. A null
// stands for a record the org does not have or the user may not see.
func retrieved(body []byte, ids []string) ([]integration.Fetched, error) {
	list, err := parseJSON(string(body))
	if err != nil || !list.IsArray() {
		return nil, fault.Retry("sf_unreadable_answer", 0, fmt.Errorf("a retrieve was answered with something else than a list: %.100q", body))
	}
	byID := make(map[string]string, len(ids))
	for _, r := range list.Array() {
		if r.IsObject() {
			byID[normalID(r.Get("Id").String())] = r.Raw
		}
	}
	out := make([]integration.Fetched, len(ids))
	for i, id := range ids {
		raw, ok := byID[id]
		if !ok {
			out[i] = integration.Fetched{LocalID: id, Outcome: record.OutcomeAbsent, Detail: "Salesforce has no such record, or its user may not see it"}
			continue
		}
		out[i] = integration.Fetched{LocalID: id, Outcome: record.OutcomePayload, Format: formatREST, Payload: []byte(raw)}
	}
	return out, nil
}

// Codes of failures that Fetch looks at again.
const (
	codeInvalidField = "sf_invalid_field"
	codeInvalidType  = "sf_invalid_type"
	codeMalformedID  = "sf_malformed_id"
	codeGone         = "sf_gone"
)

// Classify reads Salesforce's two kinds of error bodies: a list of
// {errorCode, message}, and the object {error, error_description} of OAuth.
func (fetcher) Classify(a integration.Answer) error {
	if a.Status >= 200 && a.Status < 300 {
		return nil
	}
	code, message := errorOf(a.Body)
	switch code {
	case "INVALID_SESSION_ID", "INVALID_AUTH_HEADER", "invalid_grant", "invalid_client", "invalid_token", "inactive_user":
		return &fault.Error{
			Class: fault.Auth, Code: "sf_unauthorized", Scope: fault.ScopeConnection,
			Remedy: "Connect Salesforce again.", Err: fmt.Errorf("%s: %s", code, message),
		}
	case "REQUEST_LIMIT_EXCEEDED":
		return &fault.Error{
			Class: fault.Retryable, Code: "sf_request_limit", Scope: fault.ScopeAccount, After: max(retryAfter(a), quotaPause),
			Remedy: "The org's daily API requests are used up.", Err: fmt.Errorf("%s: %s", code, message),
		}
	case "INVALID_FIELD", "INVALID_TYPE":
		c := codeInvalidField
		if code == "INVALID_TYPE" {
			c = codeInvalidType
		}
		return fault.Refused(c, "Give the integration's user access to the object and its fields.", fmt.Errorf("%s: %s", code, message))
	case "MALFORMED_ID":
		return fault.Refused(codeMalformedID, "", fmt.Errorf("%s: %s", code, message))
	case "NOT_FOUND", "ENTITY_IS_DELETED":
		return fault.Refused(codeGone, "The record was deleted in Salesforce, or its user may not see it.", fmt.Errorf("%s: %s", code, message))
	case "UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE", "UNKNOWN_EXCEPTION", "QUERY_TIMEOUT":
		return fault.Retry("sf_unavailable", retryAfter(a), fmt.Errorf("HTTP %d %s: %s", a.Status, code, message))
	}
	err := fmt.Errorf("HTTP %d %s: %s", a.Status, code, message)
	switch s := a.Status; {
	case s == http.StatusUnauthorized:
		return &fault.Error{Class: fault.Auth, Code: "sf_unauthorized", Scope: fault.ScopeConnection, Remedy: "Connect Salesforce again.", Err: err}
	case s == http.StatusForbidden:
		return fault.Refused("sf_forbidden", "Give the integration's user access to the object and its fields.", err)
	case s == http.StatusTooManyRequests:
		return &fault.Error{Class: fault.Retryable, Code: "sf_throttled", Scope: fault.ScopeAccount, After: retryAfter(a), Err: err}
	case s == http.StatusNotFound, s == http.StatusGone:
		return fault.Refused(codeGone, "The record was deleted in Salesforce, or its user may not see it.", err)
	case s == http.StatusRequestTimeout, s >= 500, s < 200:
		return fault.Retry("sf_unavailable", retryAfter(a), err)
	}
	return fault.Refused("sf_refused", "Look at the message; the request or the org's configuration has to change.", err)
}

func errorOf(body []byte) (code, message string) {
	root, err := parseJSON(string(body))
	if err != nil {
		return "", fmt.Sprintf("%.200q", body)
	}
	if root.IsArray() {
		root = root.Get("0")
		return root.Get("errorCode").String(), root.Get("message").String()
	}
	if e := root.Get("error"); e.Exists() {
		return e.String(), root.Get("error_description").String()
	}
	return root.Get("errorCode").String(), root.Get("message").String()
}

func retryAfter(a integration.Answer) time.Duration {
	s, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if err != nil || s < 0 {
		return 0
	}
	return min(time.Duration(s)*time.Second, 24*time.Hour)
}
