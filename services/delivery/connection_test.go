package delivery

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

func (r *rig) refuseToken(token string, refused bool) {
	r.shop.mu.Lock()
	defer r.shop.mu.Unlock()
	r.shop.refused[token] = refused
}

// blocked waits until the only lane stands so.
func (r *rig) blocked(want bool) postgres.LaneState {
	r.t.Helper()
	var lane postgres.LaneState
	r.eventually(fmt.Sprintf("the lane is blocked: %t", want), func() (bool, string) {
		lanes, err := r.rows.Lanes(context.Background())
		if err != nil || len(lanes) != 1 {
			return false, fmt.Sprintf("%+v, %v", lanes, err)
		}
		lane = lanes[0]
		return lane.BlockedSince.IsZero() != want, fmt.Sprintf("%+v", lane)
	})
	return lane
}

func TestA401StormIsOneNotificationAndNoAttempt(t *testing.T) {
	r := newRig(t)
	r.refuseToken("t1", true)
	rows := 10_000
	if testing.Short() {
		rows = 500
	}
	for first := 0; first < rows; first += 1000 {
		var commands []*record.OutboundCommand
		for i := first; i < min(first+1000, rows); i++ {
			commands = append(commands, command("envoy", fmt.Sprint("R", i), 1, record.VerbUpsert))
		}
		r.consume(commands...)
	}
	stop, other := r.start(), r.start() // two processes
	r.blocked(true)
	r.eventually("support is told", func() (bool, string) { n := r.notifications(); return len(n) > 0, fmt.Sprintf("%+v", n) })
	stop()
	other()
	// An attempt that was spent would be a row in backoff.
	lanes, err := r.rows.Lanes(t.Context())
	if err != nil || lanes[0].Rows[postgres.StatusReady] != int64(rows) {
		t.Errorf("the rows stand %+v, want all ready as they came (%v)", lanes, err)
	}
	if n := r.notifications(); len(n) != 1 {
		t.Errorf("%d notifications for one dead credential: %+v", len(n), n)
	}
	r.creds.renew("t2")
	r.start()
	r.eventually("all are delivered", func() (bool, string) {
		lanes, err := r.rows.Lanes(context.Background())
		return err == nil && lanes[0].Rows[postgres.StatusDone] == int64(rows), fmt.Sprintf("%+v, %v", lanes, err)
	})
	if got := r.shop.count(); got != rows {
		t.Errorf("%d writes for %d rows", got, rows)
	}
	if got := r.dest.probes.Load(); got != 1 {
		t.Errorf("%d probes before the lane was opened, want 1", got)
	}
}

// TestA401OfAnOldCredentialDoesNotBlockTheNewOne: a call that was under way
// while the connection was re-authorised.
func TestA401OfAnOldCredentialDoesNotBlockTheNewOne(t *testing.T) {
	r := newRig(t)
	r.refuseToken("t1", true)
	r.upsert("A", 1)
	r.start()
	r.blocked(true)
	was, err := r.rows.Blocked(t.Context())
	if err != nil || len(was) != 1 {
		t.Fatalf("blocked %+v, %v", was, err)
	}
	id := was[0].ID
	r.creds.renew("t2")
	r.blocked(false)
	n := &record.Notification{TenantID: "envoy", SourceApp: "shop", Audience: record.AudienceSupport, Stage: "delivery", Class: "auth", Target: "Shop", Fingerprint: "f", At: time.Now()}
	if first, err := r.rows.Block(t.Context(), id, 1, "http_401", n); err != nil || first {
		t.Errorf("a late 401 of version 1 blocked the lane again: %v, %v", first, err)
	}
	if first, err := r.rows.Block(t.Context(), id, 2, "http_401", n); err != nil || !first {
		t.Errorf("a 401 of the new credential did not block: %v, %v", first, err)
	}
}

func TestCredentialsOfAnotherAccountDoNotOpenALane(t *testing.T) {
	r := newRig(t)
	r.refuseToken("t1", true)
	r.upsert("A", 1)
	r.start()
	r.blocked(true)
	other := "another-company"
	r.dest.account.Store(&other)
	r.creds.renew("t2")
	r.eventually("the lane says why it stays blocked", func() (bool, string) {
		lane := r.blocked(true)
		return lane.BlockedCode == "other_account", fmt.Sprintf("%+v", lane)
	})
	if got := r.shop.of("revenova:A"); len(got) != 0 {
		t.Errorf("it was sent to another company: %+v", got)
	}
	r.dest.account.Store(nil)
	r.creds.renew("t3")
	r.atShop("A", 1)
}

// zoned gives the connection a time zone.
func (r *rig) zoned(zone string) {
	c, _ := r.snap.Current().Connection("envoy", "Shop")
	z := *c
	z.Settings = map[string]any{"time_zone": zone}
	r.snap.set(controlplane.NewSnapshot(2, time.Now(), []controlplane.Tenant{{ID: "envoy", Slug: "envoy"}}, []controlplane.Connection{z}, nil, nil))
}

// dailyDeliverer answers 429 for a quota of the day.
type dailyDeliverer struct{ *shopDeliverer }

func (d dailyDeliverer) Classify(a integration.Answer) error {
	if a.Status == http.StatusTooManyRequests {
		return &fault.Error{Class: fault.Retryable, Code: "daily", Scope: fault.ScopeAccount, After: time.Hour, Daily: true}
	}
	return d.shopDeliverer.Classify(a)
}

func TestADailyQuotaLastsUntilTheAccountsMidnight(t *testing.T) {
	r := newRig(t)
	const zone = "America/Chicago"
	r.zoned(zone)
	r.tune = func(_ *Config, d *Deps) {
		d.Integrations = func(app string) (*integration.Integration, bool) {
			return &integration.Integration{App: "shop", Deliver: dailyDeliverer{r.dest}}, app == "shop"
		}
	}
	waits := command("envoy", "I", 1, record.VerbUpsert)
	waits.References = []record.Reference{{Path: "Ref", RecordID: "revenova:C", Object: "Object"}}
	r.start()
	r.consume(waits)
	before := r.status("envoy", "I", postgres.StatusWaiting)
	r.shop.fault = func(shopEntry) shopFault { return shopFault{status: http.StatusTooManyRequests} }
	for i := range 20 {
		r.upsert(fmt.Sprint("R", i), 1)
	}
	r.eventually("support is told once", func() (bool, string) {
		n := r.notifications()
		return len(n) == 1 && n[0].Audience == record.AudienceSupport && n[0].Code == "quota" && n[0].Class == "retryable" && n[0].RecordID == "", fmt.Sprintf("%+v", n)
	})
	lanes, err := r.rows.Lanes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	until := lanes[0].PausedUntil.In(location)
	// Midnight by the database's clock, so up to a moment beside it.
	if until.Add(time.Minute).Day() == until.Add(-time.Minute).Day() {
		t.Errorf("paused until %s, want midnight there", until)
	}
	after := r.status("envoy", "I", postgres.StatusWaiting)
	if moved := after.WaitingSince.Sub(before.WaitingSince); moved < time.Until(until)-time.Minute {
		t.Errorf("the waiting row's clock stands for %s, the pause lasts %s", moved, time.Until(until))
	}
}

// TestATenantThatIsDisabledMeanwhileIsNotSentFor: after the claim, before the
// call.
func TestATenantThatIsDisabledMeanwhileIsNotSentFor(t *testing.T) {
	r := newRig(t)
	enabled := r.snap.Current()
	c, _ := enabled.Connection("envoy", "Shop")
	disabled := controlplane.NewSnapshot(2, time.Now(), []controlplane.Tenant{{ID: "envoy", Slug: "envoy", Disabled: true}}, []controlplane.Connection{*c}, nil, nil)
	prepared := make(chan struct{})
	once := sync.OnceFunc(func() {
		r.snap.set(disabled)
		close(prepared)
	})
	r.tune = func(_ *Config, d *Deps) {
		d.Failpoint = func(point string) error {
			if point == pointPrepared {
				once()
			}
			return nil
		}
	}
	r.upsert("A", 1)
	r.start()
	<-prepared
	r.eventually("the row is given back, or was sent", func() (bool, string) {
		rows, err := r.rows.Of(context.Background(), "envoy", "revenova:A")
		return err == nil && len(rows) == 1 && (rows[0].Status == postgres.StatusReady || rows[0].Status == postgres.StatusDone), fmt.Sprintf("%+v, %v", rows, err)
	})
	if got := r.shop.entries(); len(got) != 0 {
		t.Errorf("sent for a disabled tenant: %+v", got)
	}
	r.snap.set(enabled)
	r.atShop("A", 1)
}
