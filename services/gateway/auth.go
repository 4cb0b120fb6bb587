package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/pkg/integration"
)

// errUnauthenticated never says more: the answer and its timing must not tell
// a wrong secret from a missing one.
var errUnauthenticated = errors.New("unauthenticated")

// Headers in the case in which the server keeps them; those of the Standard
// Webhooks specification last.
const (
	headerType      = "Content-Type"
	headerEncoding  = "Content-Encoding"
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// signatureTolerance holds in both directions.
const signatureTolerance = 5 * time.Minute

// authenticate returns the senders whose proof fits. An error other than
// errUnauthenticated means the proof could not be checked now.
func (g *Gateway) authenticate(ctx context.Context, e *endpoint, scheme integration.AuthScheme, r *http.Request, body []byte) ([]*sender, error) {
	switch scheme {
	case integration.AuthSecret:
		return e.bySecret(presentedSecret(r))
	case integration.AuthStandardWebhook:
		return g.bySignature(ctx, e, r.Header, body)
	}
	return nil, errUnauthenticated
}

// presentedSecret is ?key= or the Basic password; "" if there is neither.
func presentedSecret(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	query := r.URL.RawQuery
	if key, ok := strings.CutPrefix(query, "key="); ok && !strings.ContainsAny(key, "&;%+") {
		return key // as nearly always: nothing else beside it, nothing escaped
	}
	if query == "" {
		return ""
	}
	return r.URL.Query().Get("key")
}

// bySecret compares with every secret of every sender, however early one fits.
func (e *endpoint) bySecret(presented string) ([]*sender, error) {
	digest := sha256.Sum256([]byte(presented))
	var found []*sender
	for _, s := range e.connections {
		equal := 0
		for i := range s.hashes {
			equal |= subtle.ConstantTimeCompare(digest[:], s.hashes[i][:])
		}
		if equal == 1 && presented != "" {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		return nil, errUnauthenticated
	}
	return found, nil
}

// bySignature computes the signature under every key even where the headers
// alone would do to refuse, so that all refusals take equally long.
func (g *Gateway) bySignature(ctx context.Context, e *endpoint, h http.Header, body []byte) ([]*sender, error) {
	id, presented := first(h, headerID), first(h, headerSignature)
	seconds, err := strconv.ParseInt(first(h, headerTimestamp), 10, 64)
	age := g.deps.Now().Sub(time.Unix(seconds, 0))
	fit := err == nil && id != "" && age <= signatureTolerance && age >= -signatureTolerance

	var found []*sender
	var unchecked error
	for _, s := range e.connections {
		keys, err := g.keys.of(ctx, s.connection)
		if err != nil {
			unchecked = err
			continue
		}
		matches := false
		for _, key := range keys {
			matches = key.matches(presented, id, seconds, body) || matches
		}
		if matches && fit {
			found = append(found, s)
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case unchecked != nil && fit:
		return nil, unchecked
	}
	return nil, errUnauthenticated
}

// fromOrganization keeps the senders that are the organization a body names.
// "" is a format that names none.
func fromOrganization(senders []*sender, organization string) ([]*sender, error) {
	if organization == "" {
		return senders, nil
	}
	var found []*sender
	for _, s := range senders {
		if sameOrganization(s.organization, organization) {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		return nil, errUnauthenticated
	}
	return found, nil
}

// sameOrganization compares Salesforce ids: the 18-character form is the
// 15-character one and a check sum of its letters' case.
func sameOrganization(a, b string) bool {
	const short, long = 15, 18
	salesforce := func(s string) bool { return len(s) == short || len(s) == long }
	if salesforce(a) && salesforce(b) {
		return a[:short] == b[:short] && (len(a) != len(b) || strings.EqualFold(a, b))
	}
	return a != "" && a == b
}
