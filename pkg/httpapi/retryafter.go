package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxRetryAfter bounds what a destination can make us wait: a day, which is how
// long daily quotas last.
const MaxRetryAfter = 24 * time.Hour

// RetryAfter reads the header in both its forms. Anything unreadable, negative
// or past is 0; more than [MaxRetryAfter] is that.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if allDigits(v) {
		seconds, err := strconv.ParseInt(v, 10, 64)
		if err != nil || seconds > int64(MaxRetryAfter/time.Second) {
			return MaxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	// Some servers send fractions.
	if f, err := strconv.ParseFloat(v, 64); err == nil {
		switch {
		case !(f > 0):
			return 0
		case f >= MaxRetryAfter.Seconds():
			return MaxRetryAfter
		}
		return time.Duration(f * float64(time.Second))
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
