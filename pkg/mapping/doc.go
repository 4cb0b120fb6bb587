// Package mapping runs a tenant's own expressions: overrides of destination
// fields and filters of routes, written in CEL.
//
// An expression sees two things. entity is the canonical entity, typed, so that
// a misspelt field does not compile: entity.name, entity.billing.city. Parts
// that are not there are empty, not an error; has(entity.billing) tells. source
// is every field of the source record by its API name, custom ones included, as
// the text the source sent; a field that is missing or null is null:
// source.Credit_Hold__c == "true", text(source.Region__c).
//
// Money is a type of its own: + and -, comparison, add, sub, neg, round,
// compare, money("12.50"), string(m). Arithmetic that mixes it with a double
// does not compile, and no expression yields a double.
//
// The result is put at the field's dotted path; null takes the field away.
// Expressions cannot reach anything outside: no host functions, bounded size,
// bounded cost, bounded time. Start reading at compiler.go.
package mapping
