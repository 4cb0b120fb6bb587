package gateway

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/pkg/integration"
)

// refusal is an answer that holds for every format: its sender has done
// something that repeating will not change, or has to slow down.
type refusal struct {
	status  int
	code    string
	message string
}

func notFound() refusal {
	return refusal{http.StatusNotFound, "not_found", "there is no such webhook: check the source and the tenant in the URL"}
}

func unauthenticated() refusal {
	return refusal{http.StatusUnauthorized, "unauthenticated", "the sender's proof is missing or wrong: check the secret or the signature, and the organization"}
}

func tooLarge() refusal {
	return refusal{http.StatusRequestEntityTooLarge, "body_too_large", "the body is over this tenant's limit: send fewer records at once"}
}

func tooSlow() refusal {
	return refusal{http.StatusRequestTimeout, "body_too_slow", "the body did not arrive in time: send it again"}
}

func tooMany() refusal {
	return refusal{http.StatusTooManyRequests, "rate_limited", "this tenant sends more webhooks than its limit: wait as Retry-After says"}
}

func badBody() refusal {
	return refusal{http.StatusBadRequest, "body_unreadable", "the body ended early or is not what its Content-Encoding says"}
}

func badEncoding() refusal {
	return refusal{http.StatusUnsupportedMediaType, "encoding_not_supported", "send the body without Content-Encoding, or with gzip"}
}

func notReady() refusal {
	return refusal{http.StatusServiceUnavailable, "starting", "the platform is starting: send it again"}
}

func refuse(w http.ResponseWriter, r refusal) {
	body, err := json.Marshal(map[string]map[string]string{"error": {"code": r.code, "message": r.message}})
	if err != nil {
		http.Error(w, r.code, r.status)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if r.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Basic realm="webhooks"`)
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(append(body, '\n'))
}

func retryAfter(w http.ResponseWriter, after time.Duration) {
	seconds := max(1, int(math.Ceil(after.Seconds())))
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
}

func answer(w http.ResponseWriter, status int, r integration.Response) {
	w.Header()[headerType] = []string{r.ContentType}
	w.WriteHeader(status)
	_, _ = w.Write(r.Body)
}

// acceptedStatus is 200 for XML, since SOAP knows no other success, and 202 for
// the rest.
func acceptedStatus(r integration.Response) int {
	if strings.Contains(r.ContentType, "xml") {
		return http.StatusOK
	}
	return http.StatusAccepted
}
