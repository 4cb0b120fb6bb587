package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/google/uuid"

	"github.com/fluxnex/fluxnex/pkg/controlplane"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

const (
	maxSteps   = 8 // of one operation; more is an integration that never says Final
	maxRebases = 3 // on a stale version, in one attempt

	finishGrace = 30 * time.Second
)

// The failpoints, in the order in which an attempt passes them: one between
// every two writes, ours or the destination's.
const (
	pointClaimed  = "claimed"
	pointPrepared = "prepared"
	pointStored   = "stored"
	pointAnswered = "answered"
	pointRead     = "read"
	pointFinished = "finished"
)

// errTakenBack: the request had no effect and is not to have one.
var errTakenBack = errors.New("the request was withdrawn before it had an effect")

var errCrash = errors.New("crashed at a failpoint")

// attempt is one claimed row on its way.
type attempt struct {
	s          *Service
	row        *postgres.Row
	snapshot   *controlplane.Snapshot
	connection *controlplane.Connection
	deliver    integration.Deliverer
	known      map[postgres.Reference]postgres.Referenced
	unheard    map[record.Key]*record.Replica // what references name and no target has heard of
	deadline   time.Time                      // by the monotonic clock; nothing is sent after it
	began      time.Time
	openedFor  time.Duration // how long before began the lane was opened; negative: it never was blocked
	trial      time.Time     // the half-open lane's one call, until it is made; zero: none
	probing    bool          // asks about the connection, whatever its breaker says

	op       integration.Operation
	wanted   []byte              // digest of the state, with references, before any merge
	progress *integration.Remote // outcome of the step before, not stored yet
	found    *integration.Remote // what the destination was seen to hold
	step     int
	rebases  int
	unmerged []byte          // the payload with its references, before any merge
	healed   map[string]bool // codes that Recover was asked about
	sent     bool            // a call may have reached the destination
	doubt    bool            // a stored request has no known outcome
	noRoute  bool            // its newest state was made a withdrawal for want of a route

	overwritten []string           // fields that somebody had changed there
	without     []record.Reference // left out; the row is sent again once they are there
}

func (s *Service) newAttempt(row *postgres.Row, snapshot *controlplane.Snapshot, fallback *controlplane.Connection, deadline time.Time) *attempt {
	a := &attempt{s: s, row: row, snapshot: snapshot, connection: fallback, deadline: deadline, began: s.deps.Clock(), openedFor: -1}
	// The connection the command named, where it still leads to this account.
	if named, ok := snapshot.Connection(row.Tenant, row.TargetName); ok && named.App == row.App && named.RemoteAccount == row.RemoteAccount {
		a.connection = named
	}
	if app, ok := s.deps.Integrations(row.App); ok {
		a.deliver = app.Deliver
	}
	a.op = integration.Operation{
		Account:  integration.Account{Remote: row.RemoteAccount, Settings: a.connection.Settings},
		RecordID: row.RecordID, Object: row.Object, Type: row.Type, Verb: row.Verb,
		Payload: row.Payload, Applied: row.Applied, AppliedPayload: row.AppliedPayload,
	}
	a.wanted = a.digest()
	return a
}

// opened is how long ago the lane was opened again; negative where it never was
// blocked.
func (a *attempt) opened() time.Duration {
	if a.openedFor < 0 {
		return -1
	}
	return a.openedFor + a.s.deps.Clock().Sub(a.began)
}

func (a *attempt) lane() postgres.LaneKey {
	return postgres.LaneKey{Tenant: a.row.Tenant, App: a.row.App, RemoteAccount: a.row.RemoteAccount}
}

func (a *attempt) account() account { return account{a.row.App, a.row.RemoteAccount} }

// run makes the attempt and finishes the row. ctx ends when no more calls are
// to be started, work when the process has to go.
func (a *attempt) run(ctx, work context.Context) {
	calls, cancel := context.WithDeadline(work, a.deadline)
	defer cancel()
	f, err := a.guarded(ctx, calls)
	if err != nil {
		// Only a crash, or a database that is gone for good, ends here: the lease
		// will end, and the next holder finds what was stored.
		a.s.log.Warn("attempt abandoned", slog.Int64("row", a.row.ID), slog.String("error", err.Error()))
		return
	}
	a.describe(&f)
	a.tell(&f)
	// A finish past the lease still matters: it asks for a resend.
	finish, cancelFinish := context.WithDeadline(work, a.deadline.Add(a.s.cfg.Margin+finishGrace))
	defer cancelFinish()
	held, err := a.s.finish.do(finish, f, false)
	if err != nil {
		a.s.log.Warn("attempt not finished, the row is resolved when its lease ends", slog.Int64("row", a.row.ID), slog.String("error", err.Error()))
		return
	}
	if err := a.s.failpoint(pointFinished); err != nil {
		return
	}
	a.settled(work, &f, held)
}

// guarded turns a panic of an integration into the end of this row, not of the
// process, which would come back to it for ever.
func (a *attempt) guarded(stop, ctx context.Context) (f postgres.Finished, err error) {
	defer func() {
		if p := recover(); p != nil {
			a.s.log.Error("panic in an attempt", slog.Int64("row", a.row.ID), slog.String("app", a.row.App), slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
			f, err = a.failed(fault.New(fault.Poison, "panic", "the integration panicked: %v", p)), nil
		}
	}()
	return a.attempt(stop, ctx)
}

// attempt takes the row as far as it goes and says how that ended. An error
// means that nothing is known and nothing may be written.
func (a *attempt) attempt(stop, ctx context.Context) (postgres.Finished, error) {
	if err := a.s.failpoint(pointClaimed); err != nil {
		return postgres.Finished{}, errCrash
	}
	if a.deliver == nil {
		return a.failed(fault.New(fault.Poison, "no_integration", "this build cannot deliver to %s", a.row.App)), nil
	}
	if a.row.Doubt != nil {
		a.doubt = true
		done, remote, err := a.resolve(ctx)
		if errors.Is(err, errTakenBack) {
			return a.released(), nil
		}
		if err != nil && !errors.Is(err, errCrash) {
			err = a.heal(ctx, err)
		}
		switch {
		case errors.Is(err, errCrash):
			return postgres.Finished{}, err
		case err != nil:
			return a.refused(ctx, err)
		case done:
			return a.applied(remote), nil
		}
		return a.steps(stop, ctx)
	}
	// In flight is an older state that was never sent: its holder crashed before
	// it stored a request. The newest goes first.
	if a.row.Superseded() || a.row.Verb == record.VerbWithdraw {
		return postgres.Finished{Row: a.row, Ending: postgres.EndReleased}, nil
	}
	if a.unrouted() {
		a.takeBack(ctx)
		return a.released(), nil
	}
	missing, err := a.references()
	if err != nil {
		return a.failed(fault.Unreadable("bad_payload", err)), nil
	}
	if missing != nil {
		return *missing, nil
	}
	a.wanted = a.digest()
	if a.unchanged() {
		return a.applied(nil), nil
	}
	return a.steps(stop, ctx)
}

// resolve settles a request whose outcome is unknown: look for its effect, else
// repeat the same body under the same request id, or give it up where the newest
// state is a withdrawal. done: the operation is
// complete with it.
func (a *attempt) resolve(ctx context.Context) (done bool, remote *integration.Remote, err error) {
	q := a.row.Doubt
	a.step = q.Step
	a.op.RequestID, a.op.Applied = q.ID, q.Base
	if q.Payload != nil {
		a.op.Payload = q.Payload
		a.wanted = a.digest()
	}
	a.s.metrics.doubts.Inc()
	remote, err = a.deliver.Resolve(ctx, a.caller(), a.op, q.Call)
	if err != nil && fault.Of(err).Class == fault.Business {
		// What the look needs may be what the request needed too (a property that
		// is not there yet). With that healed, the same request is repeated.
		if healed, _ := a.recovered(ctx, err); healed != nil {
			err = nil
		}
	}
	if err != nil {
		// The look failed, not the request: whatever class that has, the request
		// stays in doubt.
		return false, nil, a.lookFailed(err)
	}
	if remote == nil && (a.takenBack() || a.unrouted() && a.takeBack(ctx)) {
		// What was not done is not wanted any more.
		a.doubt = false
		return false, nil, errTakenBack
	}
	if remote == nil {
		if remote, err = a.send(ctx, q.Call); err != nil {
			return false, nil, err
		}
	}
	a.doubt = false
	a.took(remote)
	return q.Final, remote, nil
}

// takenBack: the newest state says that nothing is to be sent, or the one in
// flight was made to say so.
func (a *attempt) takenBack() bool {
	return a.row.DesiredVerb == record.VerbWithdraw && (a.row.Superseded() || a.row.Verb == record.VerbWithdraw)
}

// took makes a step's outcome the base of the next one.
func (a *attempt) took(remote *integration.Remote) {
	a.op.Applied, a.progress = remote, remote
	a.step++
}

// steps prepares and sends until the operation is complete.
func (a *attempt) steps(stop, ctx context.Context) (postgres.Finished, error) {
	for a.step < maxSteps {
		a.op.RequestID = a.requestID()
		step, err := a.deliver.Prepare(a.op)
		if err != nil {
			return a.refused(ctx, err)
		}
		if step.Done {
			if step.Remote == nil {
				step.Remote = a.op.Applied
			}
			return a.applied(step.Remote), nil
		}
		if err := a.s.failpoint(pointPrepared); err != nil {
			return postgres.Finished{}, errCrash
		}
		// Nothing of this step is sent yet: on the way out, or with the tenant
		// disabled or the connection taken away since the claim, the row goes back.
		if stop.Err() != nil || laneConnection(a.s.deps.Snapshots.Current(), a.lane()) == nil {
			return a.released(), nil //nolint:nilerr // it was told to stop
		}
		// Not stored is not sent, whatever the reason.
		held, err := a.s.store.do(ctx, a.stored(step), a.s.accounts.quiet(a.account()))
		if err != nil || !held {
			a.s.metrics.leasesLost.Inc()
			return a.released(), nil //nolint:nilerr // the batch writer logged it
		}
		a.progress = nil
		if err := a.s.failpoint(pointStored); err != nil {
			return postgres.Finished{}, errCrash
		}
		remote, err := a.send(ctx, step.Request)
		switch {
		case errors.Is(err, errCrash):
			return postgres.Finished{}, err
		case err != nil:
			err = a.heal(ctx, err)
			if errors.Is(err, errCrash) {
				return postgres.Finished{}, err
			}
			if err != nil {
				return a.refused(ctx, err)
			}
		case step.Final:
			return a.applied(remote), nil
		default:
			a.took(remote)
		}
	}
	return a.failed(fault.New(fault.Poison, "endless_operation", "%s of %s is not complete after %d steps", a.op.Verb, a.op.Type, maxSteps)), nil
}

func (a *attempt) stored(step integration.Step) postgres.Stored {
	q := postgres.Request{ID: a.op.RequestID, Step: a.step, Final: step.Final, Call: step.Request, Base: a.op.Applied}
	if string(a.op.Payload) != string(a.row.Payload) {
		q.Payload = a.op.Payload
	}
	return postgres.Stored{Row: a.row, Request: q, Remote: a.progress}
}

// send makes the stored call and reads its answer. After an error a.doubt says
// whether the call may have had its effect.
func (a *attempt) send(ctx context.Context, req integration.Request) (*integration.Remote, error) {
	answer, err := a.caller().Call(ctx, req)
	if err != nil {
		if !errors.Is(err, errLeaseOver) {
			unknown := fault.Of(err).Unknown
			a.sent = a.sent || unknown
			a.doubt = unknown || (a.doubt && notSent(err))
		}
		return nil, err
	}
	a.sent = true
	if err := a.s.failpoint(pointAnswered); err != nil {
		return nil, errCrash
	}
	remote, err := a.deliver.Read(a.op, req, answer)
	if err != nil {
		// It was done, and we cannot say what: look for it next time.
		a.doubt = true
		return nil, &fault.Error{Class: fault.Unclassified, Code: "unreadable_answer", Unknown: true, Err: err}
	}
	if err := a.s.failpoint(pointRead); err != nil {
		return nil, errCrash
	}
	a.doubt = false
	return &remote, nil
}

// notSent reports failures that say nothing about a call made earlier: the
// repeated request did not arrive either.
func notSent(err error) bool {
	switch fault.Of(err).Class {
	case fault.Retryable, fault.Auth, fault.Unclassified:
		return true
	case fault.Business, fault.Conflict, fault.Outdated, fault.Poison:
		return false
	}
	return true
}

// unchanged: the destination has this already, and nobody asked for a resend.
func (a *attempt) unchanged() bool {
	r := a.row
	if r.Resend != r.ResendDone || r.AppliedDigest == nil || string(r.AppliedDigest) != string(a.wanted) {
		return false
	}
	return r.Verb == record.VerbDelete || (r.Applied != nil && r.Applied.Active)
}

// digest is equal for states that a destination cannot tell apart.
func (a *attempt) digest() []byte {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(a.op.Verb), []byte(a.op.Type), a.op.Payload} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write(part)
	}
	return h.Sum(nil)
}

// requestID is a function of everything that Prepare's answer depends on: the
// same id is only ever used with the same body, and a re-based body has another.
func (a *attempt) requestID() string {
	r := a.row
	name := fmt.Sprintf("%q %q %q %q %q %s %d %d %d", r.Tenant, r.App, r.RemoteAccount, r.RecordID, r.Object, r.Version.Revision, r.Version.Source, r.Resend, a.step)
	if base := a.op.Applied; base != nil {
		name += fmt.Sprintf(" %q %q %q %t", base.Type, base.ID, base.Version, base.Active)
	}
	return uuid.NewSHA1(uuid.NameSpaceOID, append([]byte(name), a.digest()...)).String()
}
