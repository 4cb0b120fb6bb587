package delivery

import (
	"context"
	"errors"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

// heal tries to get past a refusal by itself: a stale version by fetching and
// merging, a business refusal by asking the integration. again: prepare anew,
// under a new request id.
func (a *attempt) heal(ctx context.Context, refusal error) (again bool, err error) {
	if a.doubt {
		return false, refusal
	}
	switch fault.Of(refusal).Class {
	case fault.Conflict:
		return a.rebase(ctx, refusal)
	case fault.Business:
		return a.recoverRefusal(ctx, refusal)
	case fault.Retryable, fault.Auth, fault.Outdated, fault.Poison, fault.Unclassified:
	}
	return false, refusal
}

func (a *attempt) rebase(ctx context.Context, refusal error) (bool, error) {
	if a.rebases++; a.rebases > maxRebases {
		return false, refusal
	}
	theirs, err := a.deliver.Latest(ctx, a.caller(), a.op)
	if err != nil {
		return false, a.lookFailed(err)
	}
	if theirs == nil {
		a.op.Applied = nil // gone: create it anew
		return true, nil
	}
	payload, overwritten, err := a.deliver.Merge(a.op, *theirs)
	if err != nil {
		return false, err
	}
	if len(overwritten) > 0 {
		a.s.log.Info("destination edits overwritten", "tenant", a.row.Tenant, "record", a.row.RecordID, "target", a.row.TargetName, "fields", overwritten)
	}
	a.op.Payload, a.op.Applied = payload, theirs
	return true, nil
}

func (a *attempt) recoverRefusal(ctx context.Context, refusal error) (bool, error) {
	remote, err := a.recovered(ctx, refusal)
	if err != nil {
		return false, a.lookFailed(err)
	}
	if remote == nil {
		return false, refusal
	}
	a.op.Applied = remote
	return true, nil
}

// recovered asks the integration, once in an attempt, what can be done about a
// refusal; nil if nothing.
func (a *attempt) recovered(ctx context.Context, refusal error) (*integration.Remote, error) {
	recoverer, ok := a.deliver.(integration.Recoverer)
	if !ok || a.healed {
		return nil, nil
	}
	a.healed = true
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
