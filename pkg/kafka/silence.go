package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// silentFor is how long a client leaves a broker alone that did not answer.
const silentFor = 2 * time.Second

// silence makes a broker that does not answer look like one that is not there.
//
// The kernel of a frozen broker goes on accepting connections. So the client
// library asks it again, on one new connection after the other, each for the
// whole timeout, and what would tell it where to ask instead waits behind: the
// time of a commit is over before (seen: while a broker was frozen for 20 s, the
// stages stood still). A refused connection has it ask the others.
//
// Only what no broker keeps waiting tells: a fetch, and the first request of a
// connection. What writes, to a partition or to a coordinator, can be late
// because a replica elsewhere is the silent one, and what was sent after it on
// its connection waits behind.
type silence struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex
	until map[string]time.Time // by address
}

// Dial refuses an address that was silent a moment ago.
func (s *silence) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	s.mu.Lock()
	left := time.Until(s.until[address])
	s.mu.Unlock()
	if left > 0 {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%s did not answer and is left alone for %s", address, left.Round(time.Millisecond))}
	}
	return s.dial(ctx, network, address)
}

// OnBrokerRead is called by the client library.
func (s *silence) OnBrokerRead(b kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key != kmsg.Fetch.Int16() && key != kmsg.ApiVersions.Int16() || !errors.Is(err, os.ErrDeadlineExceeded) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until[net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))] = time.Now().Add(silentFor)
}

var _ kgo.HookBrokerRead = (*silence)(nil)
