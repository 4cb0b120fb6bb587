package embedded

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ghosts removes members that died while they waited to join a group. The
// library starts a member's session timer only when the answer to its join
// could be written, so one that was killed meanwhile stays for ever, with its
// share of the partitions, and nobody reads them (seen under SIGKILL; a real
// broker times such a member out). A process with a name takes its predecessor's
// place whatever became of it; this is for those without, and for those that
// nobody starts again.
type ghosts struct {
	cluster *kfake.Cluster
	age     time.Duration

	mu   sync.Mutex
	seen map[string]time.Time // member → its last request
}

const (
	ghostLook = 3 * time.Second
	// ghostAge is well above every session timeout in use: whoever is in a
	// settled group and silent for so long is dead.
	ghostAge = 25 * time.Second
)

// watchGhosts runs until the context ends.
func watchGhosts(ctx context.Context, c *kfake.Cluster, age time.Duration) {
	g := &ghosts{cluster: c, age: age, seen: map[string]time.Time{}}
	for _, key := range []kmsg.Key{kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat} {
		c.ControlKey(key.Int16(), g.note)
	}
	tick := time.NewTicker(min(ghostLook, age/4))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// What fails now is looked at again soon.
			_ = g.look(ctx)
		}
	}
}

// note remembers who was heard; the broker then answers as ever.
func (g *ghosts) note(req kmsg.Request) (kmsg.Response, error, bool) {
	member := ""
	switch r := req.(type) {
	case *kmsg.JoinGroupRequest:
		member = r.MemberID
	case *kmsg.SyncGroupRequest:
		member = r.MemberID
	case *kmsg.HeartbeatRequest:
		member = r.MemberID
	}
	if member != "" {
		g.mu.Lock()
		g.seen[member] = time.Now()
		g.mu.Unlock()
	}
	return nil, nil, false
}

// look removes the silent members of settled groups. In a group that is not
// settled a live member is silent too, while it waits for the others.
func (g *ghosts) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ghostLook)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(g.cluster.ListenAddrs()...))
	if err != nil {
		return err
	}
	defer cl.Close()
	list, err := kmsg.NewPtrListGroupsRequest().RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	describe := kmsg.NewPtrDescribeGroupsRequest()
	for _, group := range list.Groups {
		describe.Groups = append(describe.Groups, group.Group)
	}
	if len(describe.Groups) == 0 {
		return nil
	}
	described, err := describe.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for i := range described.Groups {
		group := &described.Groups[i]
		dead := g.silent(group, known)
		if len(dead) == 0 {
			continue
		}
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Group = group.Group
		for _, id := range dead {
			member := kmsg.NewLeaveGroupRequestMember()
			member.MemberID = id
			leave.Members = append(leave.Members, member)
		}
		if _, err := leave.RequestWith(ctx, cl); err != nil {
			return err
		}
	}
	g.forget(known)
	return nil
}

func (g *ghosts) silent(group *kmsg.DescribeGroupsResponseGroup, known map[string]bool) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var dead []string
	for _, m := range group.Members {
		known[m.MemberID] = true
		last, heard := g.seen[m.MemberID]
		switch {
		case !heard || group.State != "Stable":
			// From here on it has its time.
			g.seen[m.MemberID] = time.Now()
		case time.Since(last) > g.age:
			dead = append(dead, m.MemberID)
		}
	}
	return dead
}

// forget keeps the memory of members that exist.
func (g *ghosts) forget(known map[string]bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id := range g.seen {
		if !known[id] {
			delete(g.seen, id)
		}
	}
}
