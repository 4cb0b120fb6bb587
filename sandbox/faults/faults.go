package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Action is what happens to a call that a rule hits.
type Action string

// The closed list of actions.
const (
	Status         Action = "status"             // answer Status and Body; nothing is applied
	Delay          Action = "delay"              // wait Delay, then behave
	Hang           Action = "hang"               // never answer (until Delay, if given, then cut); nothing is applied
	ResetBefore    Action = "reset_before_apply" // cut the connection; nothing is applied
	ApplyThenReset Action = "apply_then_reset"   // apply, then cut the connection
	ApplyThen500   Action = "apply_then_500"     // apply, then answer 500 (or Status)
	Stale          Action = "stale"              // reads show the version before the last change; writes are refused as stale
	Truncated      Action = "truncated_body"     // apply, send half of the answer, cut
	Fault200       Action = "fault200"           // 200 with a Fault inside; nothing is applied
	Unauthorized   Action = "unauthorized"       // the API's own 401
	RateLimit      Action = "ratelimit"          // the API's own limit answer, with RetryAfter and Policy
)

func actions() []Action {
	return []Action{Status, Delay, Hang, ResetBefore, ApplyThenReset, ApplyThen500, Stale, Truncated, Fault200, Unauthorized, RateLimit}
}

// Rule is one line of a script. Empty conditions match everything.
type Rule struct {
	ID      string `json:"id,omitempty"`
	App     string `json:"app,omitempty"`
	Account string `json:"account,omitempty"`
	Object  string `json:"object,omitempty"`
	Op      string `json:"op,omitempty"`
	Method  string `json:"method,omitempty"`
	Path    string `json:"path,omitempty"`     // prefix
	Text    string `json:"contains,omitempty"` // somewhere in the request body

	Skip        int     `json:"skip,omitempty"`        // let the first matches pass
	Times       int     `json:"times,omitempty"`       // then hit so many; 0 = for ever
	Probability float64 `json:"probability,omitempty"` // of a match to count; 0 = always
	Seed        uint64  `json:"seed,omitempty"`

	Action     Action            `json:"action"`
	Status     int               `json:"status,omitempty"`
	Body       json.RawMessage   `json:"body,omitempty"` // a JSON string is sent as its text
	Headers    map[string]string `json:"headers,omitempty"`
	Delay      Duration          `json:"delay,omitempty"`
	RetryAfter int               `json:"retry_after,omitempty"` // seconds
	Policy     string            `json:"policy,omitempty"`

	Seen int `json:"seen"`
	Hits int `json:"hits"`
}

// Duration is written "1.5s".
type Duration time.Duration

// MarshalText writes the form that UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads "1.5s".
func (d *Duration) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// BodyText is Body as sent.
func (r *Rule) BodyText() []byte {
	var s string
	if json.Unmarshal(r.Body, &s) == nil {
		return []byte(s)
	}
	return r.Body
}

// Call is what rules are matched against.
type Call struct {
	App, Account, Object, Op, Method, Path string
	Body                                   []byte
}

func (r *Rule) matches(c *Call) bool {
	text := func(want, got string) bool { return want == "" || strings.EqualFold(want, got) }
	return text(r.App, c.App) && text(r.Account, c.Account) && text(r.Object, c.Object) && text(r.Op, c.Op) &&
		text(r.Method, c.Method) && strings.HasPrefix(c.Path, r.Path) &&
		(r.Text == "" || strings.Contains(string(c.Body), r.Text))
}

type armed struct {
	Rule
	dice *rand.Rand
}

// Script is the rules in force. Its zero value has none.
type Script struct {
	count atomic.Int32
	mu    sync.Mutex
	named int
	rules []*armed
}

// Add puts rules in force, all or none, and returns them with their ids.
func (s *Script) Add(rules []Rule) ([]Rule, error) {
	var errs []error
	for i, r := range rules {
		switch {
		case !slices.Contains(actions(), r.Action):
			errs = append(errs, fmt.Errorf("rule %d: action %q: want one of %v", i, r.Action, actions()))
		case r.Action == Status && r.Status == 0:
			errs = append(errs, fmt.Errorf("rule %d: action status needs a status", i))
		case r.Action == Delay && r.Delay <= 0:
			errs = append(errs, fmt.Errorf("rule %d: action delay needs a delay, such as \"2s\"", i))
		case r.Probability < 0 || r.Probability > 1:
			errs = append(errs, fmt.Errorf("rule %d: probability %v: want 0 to 1", i, r.Probability))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range rules {
		r := &rules[i]
		r.Seen, r.Hits = 0, 0
		if r.ID == "" {
			s.named++
			r.ID = fmt.Sprintf("fault-%d", s.named)
		}
		s.rules = slices.DeleteFunc(s.rules, func(a *armed) bool { return a.ID == r.ID })
		s.rules = append(s.rules, &armed{Rule: *r, dice: rand.New(rand.NewPCG(r.Seed, 0))}) //nolint:gosec // repeatable faults, not secrets
	}
	s.count.Store(int32(len(s.rules))) //nolint:gosec // a handful
	return rules, nil
}

// Rules are the rules in force with their counts.
func (s *Script) Rules() []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Rule, 0, len(s.rules))
	for _, a := range s.rules {
		out = append(out, a.Rule)
	}
	return out
}

// Remove takes one rule out of force, or all for "". It reports whether there was one.
func (s *Script) Remove(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.rules)
	s.rules = slices.DeleteFunc(s.rules, func(a *armed) bool { return id == "" || a.ID == id })
	s.count.Store(int32(len(s.rules))) //nolint:gosec // a handful
	return len(s.rules) < before
}

// Match returns the first rule that acts on the call, counted, or nil. A rule
// that has used up its Times stays listed and lets calls pass.
func (s *Script) Match(c Call) *Rule {
	if s.count.Load() == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.rules {
		if !a.matches(&c) {
			continue
		}
		a.Seen++
		if a.Seen <= a.Skip || (a.Times > 0 && a.Hits >= a.Times) {
			continue
		}
		if a.Probability > 0 && a.dice.Float64() >= a.Probability {
			continue
		}
		a.Hits++
		hit := a.Rule
		return &hit
	}
	return nil
}
