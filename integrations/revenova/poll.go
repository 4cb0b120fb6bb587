package revenova

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// maxLookBack is how long Salesforce surely remembers what was deleted.
const maxLookBack = 14 * 24 * time.Hour

// poller asks for deletes and merges, of which outbound messages say nothing.
type poller struct{}

func (poller) Polled() []string {
	return []string{"Account", "Contact", "rtms__Load__c", "rtms__CustomerInvoice__c", "rtms__CarrierInvoice__c", "rtms__TransportationProfile__c"}
}

// Gone asks which records were deleted and then what became of them. Seconds
// do not count in Salesforce's window, and it has to be longer than a minute.
func (poller) Gone(ctx context.Context, c integration.Caller, object string, since, until time.Time) (integration.Gone, error) {
	since, until = since.UTC().Truncate(time.Minute), until.UTC().Truncate(time.Minute).Add(time.Minute)
	if oldest := until.Add(-maxLookBack); since.Before(oldest) {
		since = oldest
	}
	if until.Sub(since) < 2*time.Minute {
		since = until.Add(-2 * time.Minute)
	}
	gone := integration.Gone{Covered: until}
	answer, err := c.Call(ctx, integration.Request{
		Method: http.MethodGet, Path: apiPath + "/sobjects/" + object + "/deleted",
		Query: url.Values{"start": {since.Format(time.RFC3339)}, "end": {until.Format(time.RFC3339)}}.Encode(),
	})
	if err == nil {
		err = fetcher{}.Classify(answer)
	}
	if err != nil {
		var refusal *fault.Error
		if errors.As(err, &refusal) && (refusal.Code == codeGone || refusal.Code == codeInvalidType) {
			return gone, nil // an org without the package's object
		}
		return gone, err
	}
	root, err := parseJSON(string(answer.Body))
	if err != nil {
		return gone, fault.Retry("sf_unreadable_answer", 0, fmt.Errorf("the list of deleted records is not JSON: %.100q", answer.Body))
	}
	if t, err := time.Parse(versionLayout, version(root.Get("latestDateCovered").String())); err == nil && t.Before(gone.Covered) {
		gone.Covered = t
	}
	var removed []removal
	for _, r := range root.Get("deletedRecords").Array() {
		if id := normalID(r.Get("id").String()); salesforceID(id) {
			removed = append(removed, removal{id: id, at: version(r.Get("deletedDate").String())})
		}
	}
	for chunk := range slices.Chunk(removed, maxQueried) {
		if err := fates(ctx, c, object, chunk); err != nil {
			return gone, err
		}
		for _, r := range chunk {
			if r.back {
				continue
			}
			f, err := r.fetched(object)
			if err != nil {
				return gone, err
			}
			gone.Records = append(gone.Records, f)
			if r.winner != "" && !slices.Contains(gone.Changed, r.winner) {
				gone.Changed = append(gone.Changed, r.winner)
			}
		}
	}
	return gone, nil
}

// removal is one deleted record.
type removal struct {
	id, at string
	winner string // of the merge that deleted it
	back   bool   // undeleted since
}

// fates asks what became of deleted records. An org that refuses the question
// has told enough already.
func fates(ctx context.Context, c integration.Caller, object string, removed []removal) error {
	quoted := make([]string, len(removed))
	byID := make(map[string]*removal, len(removed))
	for i := range removed {
		quoted[i] = "'" + removed[i].id + "'" // letters and digits only
		byID[removed[i].id] = &removed[i]
	}
	columns := "Id, IsDeleted, SystemModstamp"
	if mergeable(object) {
		columns += ", MasterRecordId"
	}
	answer, err := c.Call(ctx, integration.Request{
		Method: http.MethodGet, Path: apiPath + "/queryAll",
		Query: url.Values{"q": {"SELECT " + columns + " FROM " + object + " WHERE Id IN (" + strings.Join(quoted, ",") + ")"}}.Encode(),
	})
	if err == nil {
		err = fetcher{}.Classify(answer)
	}
	if err != nil {
		if fault.Of(err).Class == fault.Business {
			return nil
		}
		return err
	}
	root, err := parseJSON(string(answer.Body))
	if err != nil {
		return fault.Retry("sf_unreadable_answer", 0, fmt.Errorf("the deleted records are not JSON: %.100q", answer.Body))
	}
	for _, r := range root.Get("records").Array() {
		x := byID[normalID(r.Get("Id").String())]
		if x == nil {
			continue
		}
		if deleted := r.Get("IsDeleted"); deleted.Exists() && !deleted.Bool() {
			x.back = true
			continue
		}
		x.at = max(x.at, version(r.Get("SystemModstamp").String()))
		x.winner = normalID(r.Get("MasterRecordId").String())
	}
	return nil
}

func mergeable(object string) bool { return object == "Account" || object == "Contact" }

// fetched is the record as a read of the recycle bin shows it.
func (r removal) fetched(object string) (integration.Fetched, error) {
	fields := map[string]any{
		"attributes": map[string]string{"type": object}, "Id": r.id, "IsDeleted": true, "SystemModstamp": r.at,
	}
	if r.winner != "" {
		fields["MasterRecordId"] = r.winner
	}
	payload, err := json.Marshal(fields)
	return integration.Fetched{LocalID: r.id, Outcome: record.OutcomePayload, Format: formatREST, Payload: payload}, err
}
