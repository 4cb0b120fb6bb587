package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// inboxLog is the gateway topic; it can be away.
type inboxLog struct {
	mu     sync.Mutex
	away   bool
	events []record.GatewayEvent
}

func (l *inboxLog) Send(_ context.Context, events []record.GatewayEvent, _ []kafka.Header) ([]kafka.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return nil, context.DeadlineExceeded
	}
	l.events = append(l.events, events...)
	return nil, nil
}

func TestWhatAStaleVersionShowedIsTold(t *testing.T) {
	r := newRig(t)
	inbox := &inboxLog{away: true}
	r.dest.overwritten = []string{"Phone"}
	r.tune = func(_ *Config, d *Deps) {
		d.Inbox = inbox
		d.Integrations = func(app string) (*integration.Integration, bool) {
			return &integration.Integration{App: "shop", Deliver: r.dest, Replicate: struct{ integration.Replicator }{}}, app == "shop"
		}
	}
	r.start()
	r.upsert("A", 1)
	r.atShop("A", 1)
	r.status("envoy", "A", postgres.StatusDone)
	r.shop.mu.Lock()
	for _, o := range r.shop.objects {
		o.Version = 41 // a person edited it there
	}
	r.shop.mu.Unlock()
	r.upsert("A", 2)
	r.status("envoy", "A", postgres.StatusDone) // although the gateway topic is away
	r.atShop("A", 2)
	inbox.mu.Lock()
	inbox.away = false
	inbox.mu.Unlock()
	id := r.shop.of("revenova:A")[0].ID
	r.eventually("the record as it was found is on the gateway topic", func() (bool, string) {
		inbox.mu.Lock()
		defer inbox.mu.Unlock()
		if len(inbox.events) == 0 {
			return false, "nothing"
		}
		e := inbox.events[0]
		var found shopObject
		err := json.Unmarshal(e.Payload, &found)
		good := err == nil && found.Version == 41 && e.RecordID == record.ID("shop:Object:"+id) && e.Origin == record.OriginDestination && e.Format == "rest" && e.TenantID == "envoy"
		return good, fmt.Sprintf("%+v %s", e, e.Payload)
	})
	r.eventually("the overwritten field is reported and stays reported", func() (bool, string) {
		got := r.notifications()
		return len(got) == 1 && !got[0].Resolved && got[0].Code == "fields_overwritten" && got[0].Audience == record.AudienceCustomer && strings.Contains(got[0].Message, "Phone"), fmt.Sprintf("%+v", got)
	})
	r.upsert("A", 3)
	r.eventually("it closes itself when the next state passes", func() (bool, string) {
		got := r.notifications()
		return len(got) == 2 && got[1].Resolved && got[1].Fingerprint == got[0].Fingerprint, fmt.Sprintf("%+v", got)
	})
}
