package gateway_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/fluxnex/fluxnex/tests/parts"
)

// What one request needs is used again by another one: what is stored must not
// be.
func TestRequestsAtOnceStoreWhatEachOfThemSent(t *testing.T) {
	const senders, each = 8, 20
	parts.EachKafka(t, func(t *testing.T, c parts.Cluster) {
		const organization = "00D5g000004XyZzEAK"
		r := newReal(t, c, organization)
		sent := map[string]string{}
		var wg sync.WaitGroup
		for s := range senders {
			bodies := make([][]byte, each)
			for n := range bodies {
				id, name := fmt.Sprintf("ext-%d-%d", s, n), fmt.Sprintf("Carrier %d of %d", n, s)
				sent["revenova:"+id] = name
				body := bytes.ReplaceAll(message(organization), []byte("0015g00000AbCdEAAV"), []byte(id))
				bodies[n] = bytes.ReplaceAll(body, []byte("Acme Trucking"), []byte(name))
			}
			wg.Go(func() {
				for _, body := range bodies {
					if code, answer := r.post(t, body); code != 200 {
						t.Errorf("answered %d %s", code, answer)
					}
				}
			})
		}
		wg.Wait()
		stored := r.stored(t)
		if len(stored) != senders*each {
			t.Errorf("%d events stored of %d", len(stored), senders*each)
		}
		for _, e := range stored {
			name := sent[string(e.RecordID)]
			if name == "" || !bytes.Contains(e.Payload, []byte("<sf:Name>"+name+"<")) || !bytes.Contains(e.Payload, []byte(e.RecordID.Local())) {
				t.Errorf("%s, whose name is %q, is stored as\n%s", e.RecordID, name, e.Payload)
			}
			delete(sent, string(e.RecordID))
		}
		if len(sent) > 0 {
			t.Errorf("not stored: %v", sent)
		}
	})
}
