package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ErrSuperseded ends a member whose name another process has taken. It must not
// join again: the two would take the place from each other for ever.
var ErrSuperseded = errors.New("another process took this one's place")

const (
	// leavePatience bounds how long a member waits to leave its group.
	leavePatience = 5 * time.Second

	// fencePatience is how long a fenced producer asks its group whether a
	// process of the same name is the reason: that one joins and takes the
	// transactional id over at the same time, in no certain order.
	fencePatience = 2 * time.Second
	fenceLook     = 100 * time.Millisecond
)

// membership is one client's place in a consumer group.
type membership struct {
	cl      *kgo.Client
	cfg     Config
	group   string             // with the installation's prefix
	abandon context.CancelFunc // ends the client without leaving the group
}

// member are the options of every group member.
func (c Config) member(group string, sessionTimeout time.Duration) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ConsumerGroup(GroupName(c, group)),
		// Eager: with cooperative-sticky, the fence of KIP-447 and an abort can
		// turn into a cascade of restarts.
		kgo.Balancers(kgo.RangeBalancer()),
		kgo.SessionTimeout(sessionTimeout),
		kgo.HeartbeatInterval(min(heartbeatInterval, sessionTimeout/3)),
		kgo.RebalanceTimeout(rebalanceTimeout),
	}
	if c.Instance != "" {
		opts = append(opts, kgo.InstanceID(c.Instance))
	}
	return opts
}

// leave closes the client and gives its place up. While a rebalance waits for
// other members, as long as a session timeout and more, a client cannot leave:
// then it is abandoned, and the group forgets it by its session timeout. It
// leaves after ctx has ended too.
func (m *membership) leave(ctx context.Context) {
	timer := time.AfterFunc(leavePatience, m.abandon)
	defer m.abandon()
	defer timer.Stop()
	if m.cfg.Instance != "" {
		// The library keeps a static member's place for its restart. Its heartbeats
		// end first: one after the leave would have it join again.
		m.cl.AllowRebalance()
		m.cl.LeaveGroup()
		m.requestLeave(ctx)
	}
	m.cl.CloseAllowingRebalance()
}

// requestLeave names the member by its id alone: a process of the same name that
// has taken its place has another one, and stays.
func (m *membership) requestLeave(ctx context.Context) {
	id, _ := m.cl.GroupMetadata()
	if id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leavePatience)
	defer cancel()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = m.group
	member := kmsg.NewLeaveGroupRequestMember()
	member.MemberID = id
	req.Members = append(req.Members, member)
	// Where it fails, the session timeout makes up for it.
	_, _ = req.RequestWith(ctx, m.cl)
}

// close closes the client. A member with a name keeps its place for whoever
// joins under it next; one without leaves.
func (m *membership) close() {
	timer := time.AfterFunc(leavePatience, m.abandon)
	defer m.abandon()
	defer timer.Stop()
	m.cl.CloseAllowingRebalance()
}

// judge turns an error into ErrSuperseded if another process of the same name is
// its cause.
func (m *membership) judge(ctx context.Context, err error) error {
	if err == nil || m.cfg.Instance == "" {
		return err
	}
	if errors.Is(err, kerr.FencedInstanceID) {
		return m.superseded()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fencePatience)
	defer cancel()
	for {
		if m.fenced(ctx) {
			return m.superseded()
		}
		// A transaction that timed out fences its producer too.
		if !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) || ctx.Err() != nil {
			return err
		}
		Wait(ctx, fenceLook)
	}
}

// fenced asks the group whether the place is another's by now.
func (m *membership) fenced(ctx context.Context) bool {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group = m.group
	req.MemberID, req.Generation = m.cl.GroupMetadata()
	req.InstanceID = &m.cfg.Instance
	if req.MemberID == "" {
		return false
	}
	resp, err := req.RequestWith(ctx, m.cl)
	return err == nil && errors.Is(kerr.ErrorForCode(resp.ErrorCode), kerr.FencedInstanceID)
}

func (m *membership) superseded() error {
	return fmt.Errorf("%w: one named %q joined the group %s; give each process of a service a FLUXNEX_INSTANCE of its own, or none", ErrSuperseded, m.cfg.Instance, m.group)
}
