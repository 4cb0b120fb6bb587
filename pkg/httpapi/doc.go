// Package httpapi is all outgoing HTTP: calls of integrations and token
// endpoints. It refuses to connect to addresses inside the network, to follow
// redirects, to use a proxy from the environment, and to read more than 1 MiB.
// It knows no app: what a status means is the integration's business, except
// that 401 asks the [Authorizer] once for another token.
//
// Start reading in client.go; guard.go is what stands between a tenant's base
// URL and this network.
package httpapi
