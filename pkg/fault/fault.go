// Package fault says why a record stopped. A failure is classified once, at
// the edge that saw it, and wrapped freely above; what happens next is one
// switch over [Class] in the runner. Standard library only.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Class is the closed list of reasons, each with one named end.
type Class int

const (
	// Unclassified: some edge forgot. Retried a bounded number of times, then
	// treated as Poison; the count is an alarm.
	Unclassified Class = iota
	// Retryable: the same bytes may succeed later. Kept, with backoff, never dropped.
	Retryable
	// Business: understood and refused. One notification; a person edits data.
	Business
	// Auth: credentials stopped working. The connection is blocked, no attempt is spent.
	Auth
	// Conflict: a stale version of the destination object (QuickBooks SyncToken). Fetch, merge, retry.
	Conflict
	// Outdated: something newer is already applied. Nobody need act.
	Outdated
	// Poison: the bytes can never be processed. Dead letter and a notification.
	Poison
)

// String is the label used in metrics, results and notifications.
func (c Class) String() string {
	switch c {
	case Unclassified:
		return "unclassified"
	case Retryable:
		return "retryable"
	case Business:
		return "business"
	case Auth:
		return "auth"
	case Conflict:
		return "conflict"
	case Outdated:
		return "outdated"
	case Poison:
		return "poison"
	}
	return fmt.Sprintf("class(%d)", int(c))
}

// Error is a classified failure.
type Error struct {
	Class Class
	// Code is a stable label for metrics and look-up: "http_429", "qbo_6240".
	Code string
	// Remedy tells a person what to do; "" where nobody need do anything.
	Remedy string
	// After is how long the other side asked us to wait; 0 if it did not say.
	After time.Duration
	// Daily: a quota of the day is used up. It is there again at midnight of the
	// account, which After need not say.
	Daily bool
	// Unknown reports that the call may have had its effect (a timeout, a
	// reset, a 500 after sending): look before sending anything newer.
	Unknown bool
	// Scope says how far the failure reaches, where that is more than the record.
	Scope Scope
	Err   error
}

// Scope is what a failure holds for.
type Scope int

const (
	ScopeRecord     Scope = iota // this record only
	ScopeConnection              // every call of this connection (401, closed portal)
	ScopeAccount                 // every call to this remote account (429, daily quota)
)

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Class.String() + " " + e.Code
	}
	return e.Code + ": " + e.Err.Error()
}

// Cause is the error without its code, for where the code stands beside it;
// "" where there is none.
func (e *Error) Cause() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// New classifies a failure.
func New(class Class, code string, format string, args ...any) *Error {
	return &Error{Class: class, Code: code, Err: fmt.Errorf(format, args...)}
}

// Retry is a failure that time may heal; after is 0 where nobody said how long.
func Retry(code string, after time.Duration, err error) *Error {
	return &Error{Class: Retryable, Code: code, After: after, Err: err}
}

// Refused is a business refusal; remedy tells a person what to do.
func Refused(code, remedy string, err error) *Error {
	return &Error{Class: Business, Code: code, Remedy: remedy, Err: err}
}

// Unreadable marks bytes that can never be processed.
func Unreadable(code string, err error) *Error {
	return &Error{Class: Poison, Code: code, Err: err}
}

// Of finds the classification of err. An error without one is Unclassified;
// nil stays nil.
func Of(err error) *Error {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*Error](err); ok {
		return f
	}
	return &Error{Class: Unclassified, Code: "unclassified", Err: err}
}
