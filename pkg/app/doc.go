// Package app is what every FluxNex process has in common: configuration from
// the environment, logs, metrics, probes and signals. It knows no service and
// no client library; cmd/fluxnex puts them together.
package app
