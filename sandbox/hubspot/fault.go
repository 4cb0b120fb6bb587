package hubspot

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/sandbox/call"
)

func correlation() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// refusal is one error as HubSpot words it.
type refusal struct {
	Status        string         `json:"status"`
	Message       string         `json:"message"`
	CorrelationID string         `json:"correlationId,omitempty"`
	Category      string         `json:"category,omitempty"`
	Context       map[string]any `json:"context,omitempty"`

	http int
	code string
}

func (r *refusal) on(c *call.Call) {
	r.CorrelationID = correlation()
	c.Refuse(r.http, r.code, r)
}

func invalid(message string) *refusal {
	return &refusal{Status: "error", Message: message, Category: "VALIDATION_ERROR", http: http.StatusBadRequest, code: "VALIDATION_ERROR"}
}

// badValue is one entry of the JSON that HubSpot puts into a message's text.
type badValue struct {
	IsValid bool   `json:"isValid"`
	Message string `json:"message"`
	Error   string `json:"error"`
	Name    string `json:"name"`
}

func invalidValues(bad []badValue) *refusal {
	r := invalid("Property values were not valid: " + string(call.Marshal(bad)))
	r.code = bad[0].Error
	return r
}

func notFound() *refusal {
	return &refusal{Status: "error", Message: "resource not found", Category: "OBJECT_NOT_FOUND", http: http.StatusNotFound, code: "OBJECT_NOT_FOUND"}
}

func missingIDs(kind *kind, ids []string) *refusal {
	return &refusal{
		Status: "error", Category: "OBJECT_NOT_FOUND", http: http.StatusNotFound, code: "OBJECT_NOT_FOUND",
		Message: "Could not get some " + strings.ToUpper(kind.singular) + " objects, they may be deleted or not exist. Check that ids are valid.",
		Context: map[string]any{"ids": ids},
	}
}

// conflict carries the holder's id in the message of a single call; a batch
// keeps it to itself, unless the items are traced.
func conflict(kind *kind, holder int64) *refusal {
	title := strings.ToUpper(kind.singular[:1]) + kind.singular[1:]
	return &refusal{
		Status: "error", Message: fmt.Sprintf("%s already exists. Existing ID: %d", title, holder), Category: "CONFLICT", http: http.StatusConflict, code: "CONFLICT",
		Context: map[string]any{"existingId": []string{strconv.FormatInt(holder, 10)}},
	}
}

func (a *App) expired(c *call.Call, at time.Time) {
	(&refusal{
		Status: "error", Category: "EXPIRED_AUTHENTICATION", http: http.StatusUnauthorized, code: "EXPIRED_AUTHENTICATION",
		Message: fmt.Sprintf("The OAuth token used to make this call expired %d second(s) ago.", int(c.Now.Sub(at).Seconds())),
		Context: map[string]any{"expire time": []string{wire(at)}},
	}).on(c)
}

// Unauthorized is HubSpot's 401.
func (a *App) Unauthorized(c *call.Call) {
	(&refusal{
		Status: "error", Category: "INVALID_AUTHENTICATION", http: http.StatusUnauthorized, code: "INVALID_AUTHENTICATION",
		Message: "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
	}).on(c)
}

// RateLimited is HubSpot's 429: policy TEN_SECONDLY_ROLLING (default),
// SECONDLY, DAILY, or "search", whose answer names no policy.
func (a *App) RateLimited(c *call.Call, policy string, _ int) {
	body := map[string]any{"status": "error", "errorType": "RATE_LIMIT", "correlationId": correlation()}
	switch strings.ToUpper(policy) {
	case "DAILY":
		body["message"], body["policyName"], body["requestId"] = "You have reached your daily limit.", "DAILY", correlation()
	case "SEARCH":
		body["message"] = "You have reached your secondly limit."
	case "SECONDLY":
		body["message"], body["policyName"] = "You have reached your secondly limit.", "SECONDLY"
	default:
		body["message"], body["policyName"] = "You have reached your ten_secondly_rolling limit.", "TEN_SECONDLY_ROLLING"
		body["groupName"] = "publicapi:private_app-api-calls-ten-secondly:" + c.Line.Account
	}
	code := "RATE_LIMIT"
	if p, ok := body["policyName"].(string); ok {
		code = p
	}
	c.Refuse(http.StatusTooManyRequests, code, body)
}

// StaleWrite answers 409: HubSpot has no versions to be stale.
func (a *App) StaleWrite(c *call.Call) {
	(&refusal{Status: "error", Message: "The object was changed concurrently.", Category: "CONFLICT", http: http.StatusConflict, code: "CONFLICT"}).on(c)
}

// Fault200 is an error body under a 200.
func (a *App) Fault200(c *call.Call) {
	r := invalid("Invalid input (details will vary based on the error)")
	r.http = http.StatusOK
	r.on(c)
}
