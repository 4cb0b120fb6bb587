package quickbooks

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"github.com/fluxnex/fluxnex/sandbox/call"
)

// fault is one entry of a Fault.
type fault struct {
	Message string  `json:"Message"`
	Detail  string  `json:"Detail"`
	Code    string  `json:"code"`
	Element *string `json:"element,omitempty"`
}

type faultBody struct {
	Error []fault `json:"Error"`
	Type  string  `json:"type"`
}

func validation(faults []fault) faultBody { return faultBody{Error: faults, Type: "ValidationFault"} }

func unknownField(class, field string, known int) fault {
	return fault{
		"Request has invalid or unsupported property",
		fmt.Sprintf("Property Name:Unrecognized field %q (class %s), not marked as ignorable (%d known properties)\n specified is unsupported or invalid", field, class, known), "2010", nil,
	}
}

func malformed(detail string) fault {
	return fault{"Request has invalid or unsupported property", "Property Name:" + detail + " specified is unsupported or invalid", "2010", nil}
}

func missing(field string) fault {
	return fault{
		"Required param missing, need to supply the required value for the API",
		"Required parameter " + field + " is missing in the request", "2020", new(field),
	}
}

func badID(field, value string) fault {
	return fault{"Invalid ID", fmt.Sprintf("The ID specified is invalid : %s=%s", field, value), "2030", new(field)}
}

func tooLong(field string, most, got int) fault {
	return fault{
		"String length is either shorter or longer than supported by specification",
		fmt.Sprintf("String length specified does not match the supported length. Min:0 Max:%d supported. Supplied length:%d", most, got), "2050", new(field),
	}
}

func badEnum(field, value string) fault {
	return fault{"Invalid Enumeration", fmt.Sprintf("Invalid Enumeration : %s is not a value of %s", value, field), "2170", new(field)}
}

func noReference(kind, id string) fault {
	return fault{"Invalid Reference Id", fmt.Sprintf("Invalid Reference Id : %s element id %s not found", kind, id), "2500", new("")}
}

func notFound() fault {
	return fault{"Object Not Found", "Object Not Found : Something you're trying to use has been made inactive. Check the fields with accounts, customers, items, vendors or employees.", "610", new("")}
}

func staleObject(who string) fault {
	return fault{
		"Stale Object Error",
		fmt.Sprintf("Stale Object Error : You and %s were working on this at the same time. %s finished before you did, so your work was not saved.", who, who), "5010", new(""),
	}
}

func business(detail string) fault {
	return fault{"A business validation error has occurred while processing your request", "Business Validation Error: " + detail, "6000", new("")}
}

func unsupported(what string) fault {
	return fault{"Unsupported Operation", "Operation " + what + " is not supported.", "500", new("")}
}

func badQuery(detail string) fault {
	return fault{"Error parsing query", detail, "4001", nil}
}

// stamp is the time of an answer, in the zone QuickBooks answers in.
func stamp(t time.Time) string { return t.In(pacific()).Format("2006-01-02T15:04:05.000-07:00") }

func metaTime(t time.Time) string { return t.In(pacific()).Format("2006-01-02T15:04:05-07:00") }

func pacific() *time.Location { return time.FixedZone("", -7*60*60) }

func refuse(c *call.Call, faults ...fault) {
	c.Refuse(http.StatusBadRequest, faults[0].Code, map[string]any{"Fault": validation(faults), "time": stamp(c.Now)})
}

func tid(c *call.Call) {
	c.Header().Set("intuit_tid", "1-"+rand.Text())
}

// unauthorized is the one answer whose keys are lower-case.
func unauthorized(c *call.Call, detail string) {
	c.Header().Set("WWW-Authenticate", `Bearer realm="Intuit", error="invalid_token"`)
	c.Refuse(http.StatusUnauthorized, "3200", map[string]any{
		"warnings": nil, "intuitObject": nil,
		"fault": map[string]any{"type": "AUTHENTICATION", "error": []any{map[string]any{
			"message": "message=AuthenticationFailed; errorCode=003200; statusCode=401", "detail": detail, "code": "3200", "element": nil,
		}}},
		"report": nil, "queryResponse": nil, "batchItemResponse": []any{}, "attachableResponse": []any{},
		"syncErrorResponse": nil, "requestId": nil, "time": c.Now.UnixMilli(), "status": nil, "cdcresponse": []any{},
	})
}

func forbidden(c *call.Call) {
	c.Refuse(http.StatusForbidden, "3100", map[string]any{"Fault": faultBody{Type: "AUTHORIZATION", Error: []fault{{
		Message: "message=ApplicationAuthorizationFailed; errorCode=003100; statusCode=403", Detail: "The application is not authorised for this company.", Code: "3100",
	}}}, "time": stamp(c.Now)})
}

func throttled(c *call.Call) {
	c.Refuse(http.StatusTooManyRequests, "3001", map[string]any{"Fault": faultBody{Type: "SERVICE", Error: []fault{{
		Message: "message=ThrottleExceeded; errorCode=003001; statusCode=429", Detail: "The request limit was reached.", Code: "3001",
	}}}})
}
