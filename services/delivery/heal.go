package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// heal tries to get past a refusal by itself: a stale version by fetching and
// merging, a business refusal by asking the integration. nil: prepare anew,
// under a new request id.
func (a *attempt) heal(ctx context.Context, refusal error) error {
	if a.doubt {
		return refusal
	}
	switch fault.Of(refusal).Class {
	case fault.Conflict:
		return a.rebase(ctx, refusal)
	case fault.Business:
		return a.recoverRefusal(ctx, refusal)
	case fault.Retryable, fault.Auth, fault.Outdated, fault.Poison, fault.Unclassified:
	}
	return refusal
}

func (a *attempt) rebase(ctx context.Context, refusal error) error {
	if a.rebases++; a.rebases > maxRebases {
		return refusal
	}
	theirs, err := a.deliver.Latest(ctx, a.caller(), a.op)
	if err != nil {
		return a.lookFailed(err)
	}
	if theirs == nil {
		a.op.Applied = nil // gone: create it anew
		return nil
	}
	a.found = theirs
	if a.row.Verb == record.VerbDelete {
		a.op.Applied = theirs // it has no fields of its own: there is nothing to merge
		return nil
	}
	// Merged is what the row wants, never what an earlier look made of it: a read
	// may be behind, and what it showed would come back as ours.
	if a.unmerged == nil {
		a.unmerged = a.op.Payload
	}
	wanted := a.op
	wanted.Payload = a.unmerged
	payload, overwritten, err := a.deliver.Merge(wanted, *theirs)
	if err != nil {
		return err
	}
	for _, field := range overwritten {
		if !slices.Contains(a.overwritten, field) {
			a.overwritten = append(a.overwritten, field)
		}
	}
	a.op.Payload, a.op.Applied = payload, theirs
	return nil
}

// tell adds what a look at the destination showed: the record as it was there,
// and, once they are, which of somebody's edits were written over.
func (a *attempt) tell(f *postgres.Finished) {
	if a.found == nil {
		return
	}
	if app, ok := a.s.deps.Integrations(a.row.App); ok && app.Replicate != nil && a.s.deps.Inbox != nil && a.found.Body != nil {
		f.Found = &record.GatewayEvent{
			TenantID: a.row.Tenant, SourceApp: a.row.App, RecordID: record.NewID(a.row.App, a.found.Type+":"+a.found.ID),
			GatewayID: "gw-" + uuid.NewString(), Origin: record.OriginDestination, ReceivedAt: a.s.deps.Clock(),
			Format: "rest", ContentType: "application/json", Outcome: record.OutcomePayload, Payload: a.found.Body,
		}
	}
	if f.Ending != postgres.EndApplied || len(a.overwritten) == 0 {
		return
	}
	slices.Sort(a.overwritten)
	f.Notice = a.notification(record.AudienceCustomer, &fault.Error{
		Class: fault.Conflict, Code: "fields_overwritten",
		Remedy: "Nothing need be done. Where the destination's value is right, correct the source record, or take the field out of the mapping.",
		Err: fmt.Errorf("somebody had changed %s of %s %s at %s; the newer values from %s were written over that",
			strings.Join(a.overwritten, ", "), a.found.Type, a.found.ID, a.row.TargetName, a.row.SourceApp),
	})
}

func (a *attempt) recoverRefusal(ctx context.Context, refusal error) error {
	remote, err := a.recovered(ctx, refusal)
	if err != nil {
		return a.lookFailed(err)
	}
	if remote == nil {
		return refusal
	}
	a.op.Applied = remote
	return nil
}

// recovered asks the integration, once in an attempt for each kind of refusal,
// what can be done about it; nil if nothing.
func (a *attempt) recovered(ctx context.Context, refusal error) (*integration.Remote, error) {
	recoverer, ok := a.deliver.(integration.Recoverer)
	code := fault.Of(refusal).Code
	if !ok || a.healed[code] {
		return nil, nil
	}
	if a.healed == nil {
		a.healed = map[string]bool{}
	}
	a.healed[code] = true
	return recoverer.Recover(ctx, a.caller(), a.op, refusal)
}

// lookFailed marks a failure of a read: it had no effect, whatever became of it.
func (a *attempt) lookFailed(err error) error {
	if errors.Is(err, errLeaseOver) {
		return err
	}
	f := *fault.Of(err)
	f.Unknown = false
	return &f
}
