// Package faults decides which calls go wrong and how. A script is a list of
// [Rule]; the first that matches a call acts on it. Which status and body an
// action means for an API is that API's business; here is only the deciding.
package faults
