package fault

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestOfFindsTheClassThroughWrapping(t *testing.T) {
	inner := Retry("http_429", time.Minute, errors.New("too many requests"))
	f := Of(fmt.Errorf("vendor 56: %w", inner))
	if f.Class != Retryable || f.After != time.Minute || f.Code != "http_429" {
		t.Errorf("found %+v", f)
	}
	if f := Of(errors.New("plain")); f.Class != Unclassified {
		t.Errorf("a plain error is %v", f.Class)
	}
	if Of(nil) != nil {
		t.Error("nil became a fault")
	}
}

func TestEveryClassHasALabel(t *testing.T) {
	seen := map[string]bool{}
	for c := Unclassified; c <= Poison; c++ {
		s := c.String()
		if s == "" || seen[s] || s[0] == 'c' && s[len(s)-1] == ')' {
			t.Errorf("class %d has the label %q", int(c), s)
		}
		seen[s] = true
	}
}
