package postgres

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// TestNoticesOpenOnceAndCloseThemselves: the topic is read at least once, so
// what was read before changes nothing, and what was closed stays closed.
func TestNoticesOpenOnceAndCloseThemselves(t *testing.T) {
	d := open(t).Deliveries()
	ctx := t.Context()
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	notice := func(offset int64, resolved bool) record.Notification {
		return record.Notification{
			TenantID: "envoy", SourceApp: "revenova", RecordID: "revenova:001", Audience: record.AudienceCustomer, Stage: "router",
			Class: "business", Code: "missing_field", Message: "no phone", Remedy: "fill it", Target: "QB Logistics US", Object: "Vendor",
			Fingerprint: "f", Resolved: resolved, Revision: record.Revision{Generation: 1, Offset: offset}, At: at.Add(time.Duration(offset) * time.Second),
		}
	}
	delivery := notice(9, false)
	delivery.Stage = "delivery" // written with its row, not from the topic
	for _, step := range []struct {
		name string
		list []record.Notification
		want string
	}{
		{"first sight", []record.Notification{notice(1, false)}, "open seen 1 revision 1.1"},
		{"read again", []record.Notification{notice(1, false)}, "open seen 1 revision 1.1"},
		{"the same problem later", []record.Notification{notice(3, false), delivery}, "open seen 2 revision 1.3"},
		{"an older state passed", []record.Notification{notice(2, true)}, "open seen 2 revision 1.3"},
		{"a newer state passed", []record.Notification{notice(4, true)}, "resolved seen 2 revision 1.3"},
		{"everything read again", []record.Notification{notice(1, false), notice(3, false), notice(4, true)}, "resolved seen 2 revision 1.3"},
		{"the problem is back", []record.Notification{notice(5, false)}, "open seen 3 revision 1.5"},
	} {
		if err := d.KeepNotices(ctx, step.list); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		all, err := d.Notices(ctx, NoticeFilter{Tenant: "envoy", Resolved: true})
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != 1 {
			t.Fatalf("%s: %d notifications, want 1: %+v", step.name, len(all), all)
		}
		state := "open"
		if !all[0].Resolved.IsZero() {
			state = "resolved"
		}
		if got := fmt.Sprintf("%s seen %d revision %s", state, all[0].Seen, all[0].Revision); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
}

// TestARecordHasOneProblemAtATime above the targets: when it fails for another
// reason, what was said before is closed. At a target several can stand.
func TestARecordHasOneProblemAtATime(t *testing.T) {
	d := open(t).Deliveries()
	notice := func(offset int64, problem, target string) record.Notification {
		return record.Notification{
			TenantID: "envoy", SourceApp: "revenova", RecordID: "revenova:a1I", Audience: record.AudienceCustomer, Stage: "normalizer", Class: "business",
			Code: problem, Fingerprint: problem, Target: target, Revision: record.Revision{Generation: 1, Offset: offset}, At: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC),
		}
	}
	former, now := notice(1, "missing_customer", ""), notice(2, "parent_absent", "")
	for _, step := range []struct {
		name string
		list []record.Notification
		want string
	}{
		{"the first problem, and two at a target", []record.Notification{former, notice(1, "no_phone", "QB"), notice(2, "no_name", "QB")}, "[missing_customer no_name no_phone]"},
		{"another one", []record.Notification{now}, "[no_name no_phone parent_absent]"},
		{"all read again", []record.Notification{former, now}, "[no_name no_phone parent_absent]"},
	} {
		if err := d.KeepNotices(t.Context(), step.list); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		open, err := d.Notices(t.Context(), NoticeFilter{Tenant: "envoy"})
		if err != nil {
			t.Fatal(err)
		}
		var codes []string
		for _, n := range open {
			codes = append(codes, n.Code)
		}
		slices.Sort(codes)
		if got := fmt.Sprint(codes); got != step.want {
			t.Errorf("%s: open are %s, want %s", step.name, got, step.want)
		}
	}
}

// TestFindIsOfOneTenant: a name is looked up in one tenant, whatever its case.
func TestFindIsOfOneTenant(t *testing.T) {
	d := open(t).Deliveries()
	for _, tenant := range []record.TenantID{"envoy", "other"} {
		_, err := d.Consume(t.Context(), "fluxnex.outbound.quickbooks", nil, []Desired{{
			RemoteAccount: "9130",
			Command: &record.OutboundCommand{
				TenantID: tenant, SourceApp: "revenova", RecordID: record.ID("revenova:" + tenant), App: "quickbooks", TargetName: "QB",
				Object: "Vendor", Type: "Vendor", Verb: record.VerbUpsert, Payload: []byte(`{}`), Name: "Acme Trucking", DocumentNumber: "A-1",
			},
		}}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"acme trucking", "ACME TRUCKING", "a-1"} {
		ids, err := d.Find(t.Context(), "envoy", text)
		if err != nil || len(ids) != 1 || ids[0] != "revenova:envoy" {
			t.Errorf("%q found %v, %v; want revenova:envoy", text, ids, err)
		}
	}
	rows, err := d.Of(t.Context(), "envoy", "revenova:envoy")
	if err != nil || len(rows) != 1 || rows[0].Status != StatusReady || rows[0].Name != "Acme Trucking" {
		t.Errorf("rows %+v, %v", rows, err)
	}
}
