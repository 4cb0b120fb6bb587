package quickbooks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

// faultBody is the error answer. Field names match in any case: some answers
// write fault.error[].message.
type faultBody struct {
	Fault *struct {
		Error []faultError
		Type  string
	}
}

type faultError struct {
	Message string
	Detail  string
	Code    code
}

// code is written as a string, as a number and with leading zeros.
type code string

func (c *code) UnmarshalJSON(b []byte) error {
	s := strings.TrimLeft(strings.Trim(string(b), `"`), "0")
	if s == "" || len(s) > 8 || strings.Trim(s, "0123456789") != "" {
		s = "other" // what is not a code must not become a label
	}
	*c = code(s)
	return nil
}

// Waits. QuickBooks promises no Retry-After: its windows are minutes.
const (
	throttleWait = 60 * time.Second
	busyWait     = 2 * time.Minute
	misroutedFor = 5 * time.Minute
)

// Classify reads the fault first, because a 200 may hold one, then the status.
// Of several errors in one fault a permanent one wins: the others would only
// repeat it.
func (deliverer) Classify(a integration.Answer) error {
	var body faultBody
	readable := json.Unmarshal(a.Body, &body) == nil
	if a.Status >= 200 && a.Status <= 299 {
		switch {
		case !readable:
			f := fault.Retry("qbo_unreadable_answer", 0, fmt.Errorf("status %d with a body that is not JSON", a.Status))
			f.Unknown = true
			return f
		case body.Fault == nil:
			return nil
		}
	}
	if f := byStatus(a); f != nil {
		return f
	}
	if body.Fault != nil {
		return worst(a.Status, body.Fault.Type, body.Fault.Error)
	}
	return refused("http_"+strconv.Itoa(a.Status), fmt.Errorf("status %d without an explanation", a.Status))
}

// byStatus settles what the status alone decides. Its text never holds the
// body: a 401's detail repeats the token.
func byStatus(a integration.Answer) *fault.Error {
	httpCode := "http_" + strconv.Itoa(a.Status)
	err := fmt.Errorf("status %d", a.Status)
	switch {
	case a.Status == http.StatusUnauthorized, a.Status == http.StatusForbidden:
		return unauthorised("qbo_"+authCode(a.Body), err)
	case a.Status == http.StatusTooManyRequests:
		f := fault.Retry("qbo_3001", max(retryAfter(a.Header), throttleWait), err)
		f.Scope = fault.ScopeAccount
		return f
	case a.Status == http.StatusRequestTimeout, a.Status >= 500, a.Status < 200:
		f := fault.Retry(httpCode, retryAfter(a.Header), err)
		f.Unknown = true
		return f
	case a.Status >= 300 && a.Status <= 399, a.Status == http.StatusNotFound, a.Status == http.StatusMethodNotAllowed:
		// QuickBooks answers a missing object with 400 and a fault, so this is
		// not QuickBooks, or not the path it serves.
		f := fault.Retry(httpCode, misroutedFor, fmt.Errorf("%w: not an answer of the QuickBooks API", err))
		f.Scope = fault.ScopeConnection
		f.Remedy = "Check the connection's base URL."
		return f
	}
	return nil
}

// authCode is the reason of a 401 or 403 for the label.
func authCode(b []byte) string {
	var body faultBody
	if json.Unmarshal(b, &body) == nil && body.Fault != nil {
		for _, e := range body.Fault.Error {
			if e.Code != "" {
				return string(e.Code)
			}
		}
	}
	return "unauthorised"
}

func unauthorised(label string, err error) *fault.Error {
	return &fault.Error{
		Class: fault.Auth, Code: label, Scope: fault.ScopeConnection, Err: err,
		Remedy: "Reconnect QuickBooks: its authorisation has ended or does not cover this company.",
	}
}

func refused(label string, err error) *fault.Error {
	return fault.Refused(label, "Correct the record so that QuickBooks takes it; its own message says what is wrong.", err)
}

// worst classifies each error and keeps the one that decides.
func worst(status int, typ string, errors []faultError) *fault.Error {
	var out *fault.Error
	for _, e := range errors {
		if f := classifyError(status, typ, e); out == nil || rank(f) > rank(out) {
			out = f
		}
	}
	if out == nil {
		return refused("qbo_fault", fmt.Errorf("a fault of type %.40q without an error", typ))
	}
	return out
}

// rank orders classes by how final they are.
func rank(f *fault.Error) int {
	switch f.Class {
	case fault.Poison:
		return 5
	case fault.Business:
		return 4
	case fault.Auth:
		return 3
	case fault.Conflict:
		return 2
	case fault.Retryable:
		return 1
	case fault.Unclassified, fault.Outdated:
		return 0
	}
	return 0
}

// classifyError is the table of domain facts: one class for each code.
func classifyError(status int, typ string, e faultError) *fault.Error {
	err := fmt.Errorf("%.200s: %.500s", e.Message, e.Detail)
	label := "qbo_" + string(e.Code)
	if e.Code == "" {
		label = "qbo_other"
	}
	business := func(remedy string) *fault.Error { return fault.Refused(label, remedy, err) }
	switch e.Code {
	case "3200":
		return unauthorised(label, fmt.Errorf("the access token expired or is not valid"))
	case "3100", "120":
		return unauthorised(label, fmt.Errorf("not authorised for this company"))
	case "3001":
		f := fault.Retry(label, throttleWait, err)
		f.Scope = fault.ScopeAccount
		return f
	case "5010":
		return &fault.Error{Class: fault.Conflict, Code: label, Err: err}
	case "600":
		// The request id is known, so its first use may have had its effect.
		f := fault.Retry(label, 0, err)
		f.Unknown = true
		return f
	case "6240":
		return business("Another customer, vendor or employee in QuickBooks has this name: rename one of them, or map DisplayName with a distinguishing suffix.")
	case "6140":
		return business("Another document in QuickBooks has this number: change one of them, or turn off the warning for duplicate numbers in QuickBooks.")
	case "610":
		return business("Something this record uses was made inactive or deleted in QuickBooks: make it active again there.")
	case "2500":
		return business("QuickBooks does not know an id this record refers to: check the ids in the connection's settings and mappings.")
	case "2010", "2020", "2030", "2050", "2170", "4001", "500":
		return fault.Unreadable(label, err) // what was sent is wrong in form; sending it again cannot help
	case "6000":
		if strings.Contains(strings.ToLower(e.Message+" "+e.Detail), "please wait") {
			return fault.Retry(label, busyWait, err)
		}
		return business("Correct the record so that QuickBooks takes it; its own message says what is wrong.")
	case "6190":
		f := business("The QuickBooks subscription has ended: renew it.")
		f.Scope = fault.ScopeConnection
		return f
	case "6210":
		return business("The accounting period is closed in QuickBooks: reopen it, or change the document's date.")
	case "6540":
		return business("The transaction was deposited and is locked in QuickBooks: undo the deposit, or correct it there by hand.")
	case "10000":
		f := fault.Retry(label, 0, err)
		f.Unknown = true
		return f
	}
	switch strings.ToUpper(typ) {
	case "AUTHENTICATION", "AUTHORIZATION":
		return unauthorised(label, fmt.Errorf("QuickBooks refused the authorisation"))
	case "SERVICE", "SYSTEM", "SYSTEMFAULT":
		f := fault.Retry(label, 0, err)
		f.Unknown = true
		return f
	}
	if status >= 200 && status <= 299 {
		return refused(label, fmt.Errorf("a fault in a successful answer: %w", err))
	}
	return refused(label, err)
}

// retryAfter reads the header's seconds, or its date against the answer's own.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.Atoi(v); err == nil && s > 0 {
		return min(time.Duration(s)*time.Second, 24*time.Hour)
	}
	until, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return min(max(until.Sub(now), 0), 24*time.Hour)
}
