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
	span := hex.EncodeToString(random[:8])
	if trace, flags, ok := parseTraceParent(h.Get(traceParent)); ok {
		headers = append(headers, kafka.Header{Key: traceParent, Value: []byte("00-" + trace + "-" + span + "-" + flags)})
		if state := h.Get(traceState); state != "" && len(state) <= maxTraceState {
			headers = append(headers, kafka.Header{Key: traceState, Value: []byte(state)})
		}
		return headers, trace
	}
	trace := hex.EncodeToString(random[8:])
	return []kafka.Header{{Key: traceParent, Value: []byte("00-" + trace + "-" + span + "-01")}}, trace
}

// parseTraceParent refuses what the recommendation calls invalid, all zeros included.
func parseTraceParent(s string) (trace, flags string, ok bool) {
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
