package gateway

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/kafka"
)

const (
	traceParent = "traceparent"
	traceState  = "tracestate"

	traceIDLength = 32
	spanIDLength  = 16
	maxTraceState = 512 // of the W3C recommendation
)

// traceHeaders continue the sender's trace (W3C) with a span of ours, or begin one.
func traceHeaders(h http.Header) (headers []kafka.Header, traceID string) {
	var random [24]byte
	_, _ = rand.Read(random[:]) // never fails
	own := make([]byte, 0, len("00-")+traceIDLength+len("-")+spanIDLength+len("-01"))
	own = append(own, "00-"...)
	trace, flags, ok := parseTraceParent(first(h, "Traceparent"))
	if ok {
		own = append(own, trace...)
	} else {
		own, flags = hex.AppendEncode(own, random[8:]), "01"
		trace = string(own[len("00-"):])
	}
	own = hex.AppendEncode(append(own, '-'), random[:8])
	own = append(append(own, '-'), flags...)
	headers = append(headers, kafka.Header{Key: traceParent, Value: own})
	if state := first(h, "Tracestate"); ok && state != "" && len(state) <= maxTraceState {
		headers = append(headers, kafka.Header{Key: traceState, Value: []byte(state)})
	}
	return headers, trace
}

// parseTraceParent refuses what the recommendation calls invalid, all zeros included.
func parseTraceParent(s string) (trace, flags string, ok bool) {
	if s == "" {
		return "", "", false
	}
	parts := strings.Split(s, "-")
	if len(parts) < 4 || len(parts[0]) != 2 || parts[0] == "ff" || (parts[0] == "00" && len(parts) != 4) {
		return "", "", false
	}
	for i, length := range []int{2, traceIDLength, spanIDLength, 2} {
		if len(parts[i]) != length || strings.Trim(parts[i], "0123456789abcdef") != "" {
			return "", "", false
		}
	}
	if strings.Trim(parts[1], "0") == "" || strings.Trim(parts[2], "0") == "" {
		return "", "", false
	}
	return parts[1], parts[3], true
}
