// Package oauth holds the tokens of the sandbox's apps: who may call for which
// account, until when, and how a refresh token is replaced. The three vendors
// differ in a [Policy]; what their answers look like is their packages' job.
package oauth

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Policy is how an app treats its tokens.
type Policy struct {
	TTL    time.Duration // life of an access token
	Rotate bool          // a refresh answers with a new refresh token
	// Grace is how long the replaced refresh token still works, once rotated.
	Grace time.Duration
}

// Grant is one client's permission for one account, as seeded.
type Grant struct {
	Account      string `json:"-"` // that of the seeded account
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
	// NoGrace refuses a replaced refresh token at once, whatever the [Policy] says.
	NoGrace bool `json:"no_grace,omitempty"`
	// AccessTokens never expire: HubSpot's private-app tokens.
	AccessTokens []string `json:"access_tokens,omitempty"`
}

// The ways in which a token is refused.
var (
	ErrClient  = errors.New("unknown client or wrong secret")
	ErrInvalid = errors.New("token is invalid, expired or revoked")
	ErrReused  = errors.New("token was replaced by a newer one")
)

// Tokens is what a caller is given.
type Tokens struct {
	Account, ClientID string
	Access, Refresh   string
	TTL               time.Duration
	// Again: the replaced token was used within its grace.
	Again bool
}

// Access is what is known about an access token.
type Access struct {
	Account, ClientID string
	Private           bool      // does not expire
	Expired           time.Time // when it did; zero while valid
}

// state is a grant as saved.
type state struct {
	Account  string               `json:"account"`
	Client   string               `json:"client"`
	Secret   string               `json:"secret"`
	Refresh  string               `json:"refresh"`
	Previous string               `json:"previous,omitempty"`
	Replaced time.Time            `json:"replaced"`
	Spent    []string             `json:"spent,omitempty"` // the replaced ones before Previous, newest last
	Access   map[string]time.Time `json:"access"`          // zero time: never expires
	Private  bool                 `json:"private,omitempty"`
	NoGrace  bool                 `json:"no_grace,omitempty"`
}

// Save writes a value through to the store.
type Save func(key string, value any)

// Registry holds the grants of one app.
type Registry struct {
	app    string
	policy Policy
	clock  func() time.Time
	mu     sync.RWMutex
	grants []*state
	access map[string]*state
}

// New makes an empty registry.
func New(app string, policy Policy, clock func() time.Time) *Registry {
	return &Registry{app: app, policy: policy, clock: clock, access: map[string]*state{}}
}

func (r *Registry) key(g *state) string { return "grant/" + r.app + "/" + g.Account + "/" + g.Client }

// Add seeds a grant, unless a restored one is there.
func (r *Registry) Add(g Grant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, have := range r.grants {
		if have.Account == g.Account && have.Client == g.ClientID {
			have.Secret = g.ClientSecret
			return
		}
	}
	s := &state{Account: g.Account, Client: g.ClientID, Secret: g.ClientSecret, Refresh: g.RefreshToken, Access: map[string]time.Time{}, Private: len(g.AccessTokens) > 0, NoGrace: g.NoGrace}
	for _, t := range g.AccessTokens {
		s.Access[t] = time.Time{}
	}
	r.insert(s)
}

func (r *Registry) insert(s *state) {
	r.grants = append(r.grants, s)
	for t := range s.Access {
		r.access[t] = s
	}
}

// Restore takes back a saved grant.
func (r *Registry) Restore(raw json.RawMessage) error {
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return fmt.Errorf("restore a grant: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.insert(&s)
	return nil
}

// Client finds the account of a client that needs no refresh token
// (Salesforce's client-credentials flow); secret nil skips its check (JWT).
func (r *Registry) Client(id string, secret *string) (account string, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, g := range r.grants {
		if g.Client == id && (secret == nil || *secret == g.Secret) {
			return g.Account, nil
		}
	}
	return "", ErrClient
}

// Refresh exchanges a refresh token.
func (r *Registry) Refresh(client, secret, token string, save Save) (Tokens, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := false
	for _, g := range r.grants {
		if g.Client != client || g.Secret != secret {
			continue
		}
		known = true
		switch token {
		case "":
		case g.Refresh:
			if r.policy.Rotate {
				r.rotate(g)
			}
			return r.issue(g, save), nil
		case g.Previous:
			if g.NoGrace || r.clock().Sub(g.Replaced) > r.policy.Grace {
				return Tokens{Account: g.Account}, ErrReused
			}
			t := r.issue(g, save)
			t.Again = true
			return t, nil
		default:
			if slices.Contains(g.Spent, token) {
				return Tokens{Account: g.Account}, ErrReused
			}
		}
	}
	if !known {
		return Tokens{}, ErrClient
	}
	return Tokens{}, ErrInvalid
}

const spentKept = 100

func (r *Registry) rotate(g *state) {
	if g.Previous != "" {
		g.Spent = append(g.Spent, g.Previous)
		if len(g.Spent) > spentKept {
			g.Spent = g.Spent[1:]
		}
	}
	g.Previous, g.Refresh, g.Replaced = g.Refresh, "sandbox-refresh-"+rand.Text(), r.clock()
}

// Issue gives an access token for an account without a refresh token.
func (r *Registry) Issue(account, client string, save Save) (Tokens, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.grants {
		if g.Account == account && g.Client == client {
			return r.issue(g, save), nil
		}
	}
	return Tokens{}, ErrClient
}

func (r *Registry) issue(g *state, save Save) Tokens {
	now := r.clock()
	for t, until := range g.Access {
		if !until.IsZero() && now.Sub(until) > time.Hour {
			delete(g.Access, t)
			delete(r.access, t)
		}
	}
	access := "sandbox-access-" + rand.Text()
	if r.app == "salesforce" {
		access = g.Account[:min(15, len(g.Account))] + "!" + access
	}
	g.Access[access] = now.Add(r.policy.TTL)
	if g.Private {
		g.Access[access] = time.Time{}
	}
	r.access[access] = g
	r.save(g, save)
	return Tokens{Account: g.Account, ClientID: g.Client, Access: access, Refresh: g.Refresh, TTL: r.policy.TTL}
}

// save hands over a copy, because the store writes it later.
func (r *Registry) save(g *state, save Save) {
	c := *g
	c.Access = make(map[string]time.Time, len(g.Access))
	maps.Copy(c.Access, g.Access)
	c.Spent = append([]string(nil), g.Spent...)
	save(r.key(g), c)
}

// Lookup says what an access token is good for.
func (r *Registry) Lookup(token string) (Access, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	g := r.access[token]
	if g == nil {
		return Access{}, ErrInvalid
	}
	until := g.Access[token]
	a := Access{Account: g.Account, ClientID: g.Client, Private: until.IsZero()}
	if !a.Private && !r.clock().Before(until) {
		a.Expired = until
	}
	return a, nil
}

// each runs f on the grants of an account and saves them.
func (r *Registry) each(account string, save Save, f func(*state)) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, g := range r.grants {
		if g.Account == account {
			f(g)
			r.save(g, save)
			n++
		}
	}
	return n
}

// Revoke ends all tokens of an account, as when its user removes the app.
func (r *Registry) Revoke(account string, save Save) int {
	return r.each(account, save, func(g *state) {
		g.Refresh, g.Previous = "", ""
		for t := range g.Access {
			delete(r.access, t)
		}
		clear(g.Access)
	})
}

// Expire ends the access tokens of an account now, private ones too; refresh
// tokens still work.
func (r *Registry) Expire(account string, save Save) int {
	return r.each(account, save, func(g *state) {
		now := r.clock()
		for t, until := range g.Access {
			if until.After(now) || until.IsZero() {
				g.Access[t] = now
			}
		}
	})
}

// Rotate replaces the refresh tokens of an account behind its clients' backs.
func (r *Registry) Rotate(account string, save Save) int { return r.each(account, save, r.rotate) }

// Authorize is a person granting access anew: it returns fresh tokens for each client.
func (r *Registry) Authorize(account string, save Save) []Tokens {
	var out []Tokens
	r.each(account, save, func(g *state) {
		if g.Refresh = "sandbox-refresh-" + rand.Text(); g.Private {
			g.Refresh = ""
		}
		g.Previous = ""
		out = append(out, r.issue(g, save))
	})
	return out
}
