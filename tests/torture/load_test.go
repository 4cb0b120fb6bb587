package torture_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture"
)

const ack = `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse></soapenv:Body></soapenv:Envelope>`

// parsed is an outbound message as any XML reader sees it.
type parsed struct {
	Organization string `xml:"Body>notifications>OrganizationId"`
	Notification []struct {
		ID      string `xml:"Id"`
		SObject struct {
			Type   string `xml:"type,attr"`
			ID     string `xml:"Id"`
			Name   string `xml:"Name"`
			Stamp  string `xml:"SystemModstamp"`
			Fields []struct {
				XMLName xml.Name
			} `xml:",any"`
		} `xml:"sObject"`
	} `xml:"Body>notifications>Notification"`
}

// TestLoadSendsEveryEditTwiceAndRepeatsUntilAcked posts to a gateway that
// answers badly in every way before it acks.
func TestLoadSendsEveryEditTwiceAndRepeatsUntilAcked(t *testing.T) {
	plan := torture.NewPlan(3, tenants(), torture.Size{Records: 300, DeleteShare: 0.2, TieShare: 0.2})
	var (
		mu     sync.Mutex
		tries  = map[string]int{}
		events = map[string]int{} // acked, by record and stamp
		most   int
	)
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read a message: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		tries[string(body)]++
		switch tries[string(body)] {
		case 1:
			http.Error(w, "no broker", http.StatusInternalServerError)
			return
		case 2:
			w.Header().Set("Content-Type", "application/json")
			if strings.Contains(r.Header.Get("Content-Type"), "xml") {
				_, _ = io.WriteString(w, `{"ok":true}`) // what a careless listener answers
				return
			}
		}
		slug := strings.TrimPrefix(r.URL.Path, "/webhooks/revenova/")
		if strings.Contains(r.Header.Get("Content-Type"), "json") {
			var change struct {
				ChangeEventHeader struct {
					RecordIDs       []string `json:"recordIds"`
					ChangeType      string   `json:"changeType"`
					CommitTimestamp int64    `json:"commitTimestamp"`
				}
			}
			if err := json.Unmarshal(body, &change); err != nil || change.ChangeEventHeader.ChangeType != "DELETE" {
				t.Errorf("change event %s: %v", body, err)
			}
			if r.Header.Get("webhook-signature") == "" {
				t.Error("a change event without signature")
			}
			events[slug+change.ChangeEventHeader.RecordIDs[0]+time.UnixMilli(change.ChangeEventHeader.CommitTimestamp).UTC().Format(torture.StampLayout)]++
			return
		}
		if r.URL.Query().Get("key") == "" {
			t.Error("an outbound message without its key")
		}
		var m parsed
		if err := xml.Unmarshal(body, &m); err != nil {
			t.Errorf("outbound message: %v", err)
		}
		most = max(most, len(m.Notification))
		for _, n := range m.Notification {
			if n.SObject.Type != "sf:Account" || len(n.ID) != 18 || len(n.SObject.ID) != 18 {
				t.Errorf("notification %+v", n)
			}
			events[slug+n.SObject.ID+n.SObject.Stamp]++
		}
		_, _ = io.WriteString(w, ack)
	}))
	defer gateway.Close()
	var log bytes.Buffer
	load := torture.Load{Plan: plan, Gateways: []string{gateway.URL}, Senders: 8, Pause: time.Millisecond, Log: &log}
	summary, err := load.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if summary.Acked != summary.Messages || summary.Messages == 0 {
		t.Errorf("%d of %d messages acked", summary.Acked, summary.Messages)
	}
	if most > 100 {
		t.Errorf("a message with %d notifications", most)
	}
	for _, r := range plan.Records {
		for _, e := range r.Edits {
			k := plan.Tenants[r.Tenant].Slug + r.ID + e.Stamp.Format(torture.StampLayout)
			if events[k] < 2 {
				t.Errorf("edit %s (%s) was acked %d times, want twice or more", e.Name(), k, events[k])
			}
		}
	}
	intents, err := torture.ReadIntents(&log)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, i := range intents {
		counts[i.Event]++
	}
	if counts[torture.Acked] != summary.Messages || counts[torture.Sent] != summary.Attempts {
		t.Errorf("intent log %v, summary %+v", counts, summary)
	}
}

func TestOnlyASoapAckIsAnAck(t *testing.T) {
	for body, want := range map[string]bool{
		ack:                                     true,
		strings.ReplaceAll(ack, "soapenv", "S"): true,
		strings.Replace(ack, ">true<", ">false<", 1):                          false,
		strings.Replace(ack, "soap.sforce.com/2005/09/outbound", "x.test", 1): false,
		`{"ok":true}`: false,
		"":            false,
	} {
		if got := torture.Acknowledged(200, []byte(body)); got != want {
			t.Errorf("Acknowledged(%q) = %t", body, got)
		}
	}
	if torture.Acknowledged(500, []byte(ack)) {
		t.Error("an Ack under HTTP 500 counts")
	}
}

func TestLongIDsCarrySalesforcesChecksum(t *testing.T) {
	if got := torture.LongID("70130000001tcyI"); got != "70130000001tcyIAAQ" {
		t.Errorf("70130000001tcyI became %s", got)
	}
}

func TestOnePlanPerSeed(t *testing.T) {
	size := torture.Size{Records: 50, DeleteShare: 0.2, TieShare: 0.3}
	messages := func(seed uint64) []torture.Message {
		m, err := torture.NewPlan(seed, tenants(), size).Messages()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	a, b, c := messages(1), messages(1), messages(2)
	if len(a) != len(b) {
		t.Fatalf("one seed gave %d and %d messages", len(a), len(b))
	}
	same := len(a) == len(c)
	for i := range a {
		if !bytes.Equal(a[i].Body, b[i].Body) {
			t.Fatalf("message %d differs under one seed", i)
		}
		same = same && bytes.Equal(a[i].Body, c[i].Body)
	}
	if same {
		t.Error("two seeds gave the same load")
	}
}

func TestRecordsOfATenantHaveDifferentIDs(t *testing.T) {
	plan := torture.NewPlan(1, tenants(), torture.Size{Records: 10_000})
	seen := map[string]int{}
	for i, r := range plan.Records {
		k := plan.Tenants[r.Tenant].ID + r.ID
		if first, ok := seen[k]; ok {
			t.Fatalf("records %d and %d share %s", first, i, k)
		}
		seen[k] = i
	}
}

func TestSignatureAsTheStandardHasIt(t *testing.T) {
	h := http.Header{}
	if err := torture.Sign(h, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`)); err != nil {
		t.Fatal(err)
	}
	if got := h.Get("webhook-signature"); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("signature %s", got)
	}
}
