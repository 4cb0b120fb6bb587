package torture

import (
	"fmt"
	"time"
)

// The ways in which credentials can be handled wrongly (I13).
const (
	TokenReused Kind = "replaced refresh token used"
	TokenStale  Kind = "stored token is not the provider's"
)

// Tokens says when all access tokens at QuickBooks were made to expire, for the
// last time and with nothing else going on: whoever then refreshes shows which
// refresh token is stored.
type Tokens struct{ Expired time.Time }

// tokens judges I13. The provider knows each refresh, and whether the token
// that asked was the newest.
func (c *checker) tokens() {
	if c.ev.Tokens == nil {
		return
	}
	after := map[string]*Line{} // the first refresh of each realm after the last expiry
	realms := map[string]bool{}
	for _, t := range c.ev.Plan.Tenants {
		realms[t.Realm] = true
	}
	for i := range c.ev.Ledger {
		l := &c.ev.Ledger[i]
		if l.App != "quickbooks" || l.Object != "token" || l.Op != "refresh" || !realms[l.Account] {
			continue
		}
		switch {
		case l.Code == "refresh_token_reused":
			c.fail(TokenReused, key{}, l.String())
		case l.Code == "refresh_within_grace":
			c.report.Grace++
		case l.Applied:
			c.report.Refreshes++
		}
		if l.Time.After(c.ev.Tokens.Expired) && after[l.Account] == nil {
			after[l.Account] = l
		}
	}
	for _, t := range c.ev.Plan.Tenants {
		l := after[t.Realm]
		switch {
		case l == nil:
			c.nothing("I13", fmt.Sprintf("company %s of tenant %s was not asked for a token after the last expiry", t.Realm, t.ID))
		case !l.Applied || l.Code != "":
			c.fail(TokenStale, key{}, l.String())
		}
	}
}
