package revenova

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/integration"
)

// bin is an org's recycle bin: the answers to what is asked of it.
type bin struct {
	deleted, records string
	asked            []string
}

func (b *bin) Call(_ context.Context, req integration.Request) (integration.Answer, error) {
	q, err := url.ParseQuery(req.Query)
	if err != nil {
		return integration.Answer{}, err
	}
	if req.Path == apiPath+"/queryAll" {
		b.asked = append(b.asked, q.Get("q"))
		return integration.Answer{Status: 200, Body: []byte(`{"done":true,"records":[` + b.records + "]}")}, nil
	}
	b.asked = append(b.asked, q.Get("start")+" "+q.Get("end"))
	if strings.Contains(req.Path, "rtms__") {
		return integration.Answer{Status: 404, Body: []byte(`[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]`)}, nil
	}
	return integration.Answer{Status: 200, Body: []byte(`{"deletedRecords":[` + b.deleted + `],"earliestDateAvailable":"2026-03-01T00:00:00.000+0000","latestDateCovered":"2026-03-02T09:30:00.000+0000"}`)}, nil
}

func TestDeletedMergedAndRestoredRecordsAreToldApart(t *testing.T) {
	const deleted, loser, winner, restored = "0015g00000AbCdEAAV", "0015g00000BbCdEAAV", "0015g00000CbCdEAAV", "0015g00000DbCdEAAV"
	at := func(id string) string {
		return `{"id":"` + normalID(id[:15]) + `","deletedDate":"2026-03-02T09:20:00.000+0000"}`
	}
	b := &bin{
		deleted: strings.Join([]string{at(deleted), at(loser), at(restored)}, ","),
		records: `{"Id":"` + normalID(loser[:15]) + `","IsDeleted":true,"SystemModstamp":"2026-03-02T09:20:03.000+0000","MasterRecordId":"` + winner[:15] + `"},` +
			`{"Id":"` + normalID(restored[:15]) + `","IsDeleted":false,"SystemModstamp":"2026-03-02T09:25:00.000+0000","MasterRecordId":null}`,
	}
	now := time.Date(2026, 3, 2, 9, 29, 31, 0, time.UTC)
	gone, err := poller{}.Gone(t.Context(), b, "Account", now.Add(-15*time.Minute), now)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, r := range gone.Records {
		o, err := replicator{}.Observe(r.Format, "", r.Payload, nil)
		if err != nil || !o.Deleted || o.EntityType != typeAccount {
			t.Fatalf("%s is observed as %+v, %v", r.Payload, o, err)
		}
		versions[r.LocalID] = o.Version
	}
	if len(versions) != 2 || versions[normalID(deleted[:15])] != "2026-03-02T09:20:00.000Z" || versions[normalID(loser[:15])] != "2026-03-02T09:20:03.000Z" {
		t.Errorf("removed %v", versions)
	}
	if len(gone.Changed) != 1 || gone.Changed[0] != normalID(winner[:15]) {
		t.Errorf("changed %v, want the winner", gone.Changed)
	}
	if want := time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC); !gone.Covered.Equal(want) {
		t.Errorf("covered until %s, want %s", gone.Covered, want)
	}
	if b.asked[0] != "2026-03-02T09:14:00Z 2026-03-02T09:30:00Z" || !strings.Contains(b.asked[1], "MasterRecordId FROM Account") {
		t.Errorf("asked %q", b.asked)
	}
}

func TestAnOrgWithoutThePackagesObjectHasNoRemovals(t *testing.T) {
	b := &bin{}
	now := time.Date(2026, 3, 2, 9, 29, 31, 0, time.UTC)
	gone, err := poller{}.Gone(t.Context(), b, "rtms__Load__c", now.Add(-90*24*time.Hour), now)
	if err != nil || len(gone.Records) != 0 || gone.Covered.Before(now) {
		t.Errorf("gone %+v, %v", gone, err)
	}
	if !strings.HasPrefix(b.asked[0], "2026-02-16T") {
		t.Errorf("asked further back than Salesforce remembers: %q", b.asked)
	}
}
