// Package token puts credentials on calls: static tokens, and OAuth2 with a
// refresh token, client credentials or a signed assertion.
//
// A refresh token that rotates is a thing of which only one copy may be in
// use. So one refresh runs at a time over all processes, the answer is durable
// before the token in it is used, and whoever comes second finds the first
// one's token. What cannot be closed: a crash after the provider rotated and
// before the new token is stored leaves the old one, which is tried again, and
// if the provider has forgotten it the connection needs re-authorisation.
package token
