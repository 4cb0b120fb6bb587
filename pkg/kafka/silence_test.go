package kafka

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestASilentBrokerIsLeftAloneForAMoment, and no other, and only where it was
// silent: an answer that breaks off has another reason, and what writes may wait
// for another broker.
func TestASilentBrokerIsLeftAloneForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dialled := 0
		s := &silence{until: map[string]time.Time{}, dial: func(context.Context, string, string) (net.Conn, error) {
			dialled++
			return nil, nil
		}}
		refused := func(address string) bool {
			before := dialled
			_, err := s.Dial(t.Context(), "tcp", address)
			if err == nil {
				return dialled == before
			}
			// What the library takes for a refused connection.
			op := (*net.OpError)(nil)
			if !errors.As(err, &op) || op.Op != "dial" || op.Timeout() || dialled != before {
				t.Errorf("%s: %v", address, err)
			}
			return true
		}
		frozen := kgo.BrokerMetadata{NodeID: 2, Host: "::1", Port: 9093}
		late := &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
		s.OnBrokerRead(frozen, kmsg.Fetch.Int16(), 0, 0, 0, nil)
		s.OnBrokerRead(frozen, kmsg.Fetch.Int16(), 0, 0, 0, net.ErrClosed)
		s.OnBrokerRead(frozen, kmsg.Produce.Int16(), 0, 0, 0, late)
		s.OnBrokerRead(frozen, kmsg.TxnOffsetCommit.Int16(), 0, 0, 0, late)
		if refused("[::1]:9093") {
			t.Error("refused although it was not silent")
		}
		s.OnBrokerRead(frozen, kmsg.Fetch.Int16(), 0, 0, 0, late)
		if !refused("[::1]:9093") || refused("[::1]:9092") {
			t.Error("want the silent broker refused, and not the other one")
		}
		<-time.After(silentFor)
		if refused("[::1]:9093") {
			t.Error("refused for ever")
		}
	})
}
