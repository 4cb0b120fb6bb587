package hubspot

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

// Codes that are acted on here.
const (
	codeNotFound   = "hubspot_not_found"
	codeConflict   = "hubspot_conflict"
	codeNoProperty = "hubspot_property_doesnt_exist"
)

// Waits where HubSpot names none. A daily quota ends at midnight in a time zone
// the answer does not tell: where the connection has no time_zone either, it is
// asked again each hour, which costs little.
const (
	secondlyWait    = time.Second
	tenSecondlyWait = 10 * time.Second
	dailyWait       = time.Hour
	lockedWait      = 2 * time.Second
	migrationWait   = 10 * time.Minute
	misroutedFor    = 5 * time.Minute
)

// Statuses that only HubSpot uses.
const (
	statusLocked    = 423
	statusMigrating = 477
)

// errorBody is HubSpot's error; every part of it is optional.
type errorBody struct {
	Status     string      `json:"status"`
	Message    string      `json:"message"`
	Category   string      `json:"category"`
	ErrorType  string      `json:"errorType"`
	PolicyName string      `json:"policyName"`
	Errors     []errorBody `json:"errors"`
}

// Classify decides by status, category and policy; messages are localized and
// only shown. A 2xx with errors in it failed for what we sent, as there is one
// input to a call.
func (deliverer) Classify(a integration.Answer) error {
	var body errorBody
	readable := json.Unmarshal(a.Body, &body) == nil
	if a.Status >= 200 && a.Status <= 299 {
		switch {
		case len(a.Body) == 0 || a.Status == http.StatusNoContent:
			return nil
		case !readable:
			f := fault.Retry("hubspot_unreadable_answer", 0, fmt.Errorf("status %d with a body that is not JSON", a.Status))
			f.Unknown = true
			return f
		case len(body.Errors) > 0:
			return byCategory(http.StatusBadRequest, body.Errors[0])
		case strings.EqualFold(body.Status, "error"):
			return byCategory(http.StatusBadRequest, body)
		}
		return nil
	}
	err := fmt.Errorf("status %d: %.500s", a.Status, body.Message)
	label := "http_" + strconv.Itoa(a.Status)
	switch {
	case a.Status == http.StatusUnauthorized, a.Status == http.StatusForbidden:
		f := unauthorised(body.Category, a.Status)
		return f
	case a.Status == http.StatusTooManyRequests:
		return limited(a.Header, body, err)
	case a.Status == statusLocked:
		return fault.Retry("hubspot_locked", max(retryAfter(a.Header), lockedWait), err)
	case a.Status == statusMigrating:
		f := fault.Retry("hubspot_migrating", max(retryAfter(a.Header), migrationWait), err)
		f.Scope = fault.ScopeAccount
		return f
	case a.Status == http.StatusRequestTimeout, a.Status >= 500, a.Status < 200:
		f := fault.Retry(label, retryAfter(a.Header), err)
		f.Unknown = true
		return f
	case a.Status >= 300 && a.Status <= 399, a.Status == http.StatusMethodNotAllowed, a.Status == http.StatusNotFound && !readable:
		f := fault.Retry(label, misroutedFor, fmt.Errorf("status %d: not an answer of the HubSpot API", a.Status))
		f.Scope = fault.ScopeConnection
		f.Remedy = "Check the connection's base URL."
		return f
	}
	return byCategory(a.Status, body)
}

// byCategory is a refusal of what was sent.
func byCategory(status int, body errorBody) *fault.Error {
	err := fmt.Errorf("%.500s", body.Message)
	if body.Message == "" {
		err = fmt.Errorf("status %d without an explanation", status)
	}
	refused := func(code, remedy string) *fault.Error { return fault.Refused(code, remedy, err) }
	switch {
	case status == http.StatusNotFound || body.Category == "OBJECT_NOT_FOUND":
		return refused(codeNotFound, "The object was deleted or merged in HubSpot: restore it there, or let a re-sync create it again.")
	case status == http.StatusConflict || body.Category == "CONFLICT":
		return refused(codeConflict, "Another object in HubSpot has the same unique value (a contact's e-mail address): merge the two in HubSpot, or change the value in the source record.")
	case body.Category == "RATE_LIMITS" || body.ErrorType == "RATE_LIMIT":
		return limited(nil, body, err)
	}
	switch reason(body) {
	case "PROPERTY_DOESNT_EXIST":
		return refused(codeNoProperty, "Create the property in HubSpot, or take it out of the mapping.")
	case "INVALID_EMAIL":
		return refused("hubspot_invalid_email", "Correct the e-mail address in the source record; HubSpot checks that its domain exists.")
	case "INVALID_OPTION":
		return refused("hubspot_invalid_option", "Add the option to the property in HubSpot, or map the value to one it has.")
	case "DUPLICATE_ID":
		return fault.Unreadable("hubspot_duplicate_id", err)
	}
	if body.Category == "VALIDATION_ERROR" {
		return refused("hubspot_validation", "Correct the record so that HubSpot takes it; its own message says what is wrong.")
	}
	return refused("http_"+strconv.Itoa(status), "Correct the record so that HubSpot takes it; its own message says what is wrong.")
}

// reason finds the machine-readable reason inside a localized message: HubSpot
// writes a JSON list into it.
func reason(body errorBody) string {
	for _, r := range []string{"PROPERTY_DOESNT_EXIST", "INVALID_EMAIL", "INVALID_OPTION"} {
		if strings.Contains(body.Message, r) || body.Category == r || body.ErrorType == r {
			return r
		}
	}
	if strings.Contains(body.Message, "Duplicate IDs found in batch input") {
		return "DUPLICATE_ID"
	}
	return ""
}

func unauthorised(category string, status int) *fault.Error {
	code := "http_" + strconv.Itoa(status)
	remedy := "Reconnect HubSpot: its authorisation has ended."
	switch category {
	case "EXPIRED_AUTHENTICATION", "INVALID_AUTHENTICATION":
		code = "hubspot_" + strings.ToLower(category)
	case "MISSING_SCOPES":
		code = "hubspot_missing_scopes"
		remedy = "Reconnect HubSpot and grant the scopes for companies, contacts, deals and their schemas."
	}
	return &fault.Error{
		Class: fault.Auth, Code: code, Scope: fault.ScopeConnection, Remedy: remedy,
		Err: fmt.Errorf("HubSpot refused the authorisation (status %d)", status),
	}
}

// limited tells the limits apart: a daily one taken for one of ten seconds
// would spend every attempt there is.
func limited(h http.Header, body errorBody, err error) *fault.Error {
	code, wait := "hubspot_search_limit", secondlyWait
	switch {
	case strings.Contains(body.PolicyName, "DAILY"):
		code, wait = "hubspot_daily_limit", dailyWait
	case strings.HasPrefix(body.PolicyName, "TEN_SECONDLY"):
		code, wait = "hubspot_ten_secondly_limit", tenSecondlyWait
	case strings.HasPrefix(body.PolicyName, "SECONDLY"):
		code, wait = "hubspot_secondly_limit", secondlyWait
	case body.PolicyName != "" || body.Message == "":
		code, wait = "hubspot_limit", tenSecondlyWait
	}
	f := fault.Retry(code, max(retryAfter(h), wait), err)
	f.Scope = fault.ScopeAccount
	f.Daily = code == "hubspot_daily_limit" && retryAfter(h) == 0
	return f
}

func retryAfter(h http.Header) time.Duration {
	s, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || s <= 0 {
		return 0
	}
	return min(time.Duration(s)*time.Second, 24*time.Hour)
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}
