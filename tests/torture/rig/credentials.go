package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// reauthorizeWithin bounds the tries of an operator: other faults may have the
// destination or PostgreSQL down for minutes.
const reauthorizeWithin = 10 * time.Minute

// revoke is F10: a tenant's QuickBooks tokens are dead; when the platform has
// seen it and some time has gone by, a person gives it new ones.
func (r *Rig) revoke(ctx context.Context, tenant string, lasts time.Duration) error {
	n, err := strconv.Atoi(tenant)
	if err != nil {
		return err
	}
	t := r.tenants[n%len(r.tenants)]
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reauthorizeWithin)
	defer cancel()
	if err := r.kill(ctx, t); err != nil {
		return err
	}
	rest(ctx, lasts)
	if err := r.repeat(ctx, func() error { return r.reauthorize(ctx, t) }); err != nil {
		return err
	}
	r.note("F10 authorised again", t.ID)
	return nil
}

// kill revokes a tenant's tokens at QuickBooks and returns when the platform
// knows.
func (r *Rig) kill(ctx context.Context, t torture.Tenant) error {
	if _, err := r.ask(ctx, http.MethodPost, "/_sandbox/quickbooks/"+t.Realm+"/revoke", nil); err != nil {
		return err
	}
	r.mu.Lock()
	r.revoked = append(r.revoked, torture.Revocation{Tenant: t.ID, Target: booksTarget, At: time.Now()})
	r.mu.Unlock()
	if err := r.repeat(ctx, func() error { return r.blocked(ctx, t) }); err != nil {
		return fmt.Errorf("nobody noticed: %w", err)
	}
	r.note("F10 the platform knows", t.ID)
	return nil
}

// repeat tries each second until it works.
func (r *Rig) repeat(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil {
			return nil
		}
		rest(ctx, time.Second)
		if ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
}

func (r *Rig) blocked(ctx context.Context, t torture.Tenant) error {
	out, err := r.run(ctx, "connection", "status", t.ID, booksTarget, "-o", "json")
	if err != nil {
		return err
	}
	var list []struct{ State string }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return fmt.Errorf("connection status: %w: %s", err, out)
	}
	if len(list) != 1 || list[0].State != "blocked" {
		return fmt.Errorf("the connection is not blocked: %s", out)
	}
	return nil
}

// reauthorize is what a person does: connect anew, and give what comes of it to
// the platform.
func (r *Rig) reauthorize(ctx context.Context, t torture.Tenant, env ...string) error {
	text, err := r.ask(ctx, http.MethodPost, "/_sandbox/quickbooks/"+t.Realm+"/authorize", nil)
	if err != nil {
		return err
	}
	var fresh []struct {
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.Unmarshal([]byte(text), &fresh); err != nil || len(fresh) == 0 {
		return fmt.Errorf("authorize: %w: %s", err, text)
	}
	_, err = r.runIn(ctx, append(append(env, "TORTURE_NEW_TOKEN="+fresh[0].RefreshToken), r.env...),
		"connection", "reauthorize", t.ID, booksTarget, "--env", "refresh_token=TORTURE_NEW_TOKEN")
	return err
}
