package dump_test

import (
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/kafka/kafkatest"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/pkg/redis"
	"github.com/fluxnex/fluxnex/pkg/secret"
	"github.com/fluxnex/fluxnex/schemas"
	"github.com/fluxnex/fluxnex/tests/parts"
	"github.com/fluxnex/fluxnex/tests/torture"
	"github.com/fluxnex/fluxnex/tests/torture/dump"
)

func message(key, value string) kafka.Message {
	return kafka.Message{Key: []byte(key), Value: []byte(value)}
}

// TestTopicsCountEveryOffset: markers and aborted records are there too.
func TestTopicsCountEveryOffset(t *testing.T) {
	c := kafkatest.New(t, 1)
	topic := c.Config.Topics().Gateway()
	c.Produce(topic, message("a", "1"), message("b", "2"))
	c.OpenTransaction("one", 10*time.Second, topic, message("a", "3"))(true)
	c.OpenTransaction("two", 10*time.Second, topic, message("a", "4"))(false)
	got, err := dump.Topics(t.Context(), c.Config.Brokers, []string{topic}, []string{c.Config.Topics().Replica()})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 {
		t.Fatalf("partitions: %+v", got)
	}
	if g := got[0]; g.End != 6 || g.Records != 4 || g.Markers != 2 || len(g.Gaps) != 0 || g.Compacted {
		t.Errorf("gateway: %+v; want 6 offsets, 4 records, 2 markers, no gap", g)
	}
	if r := got[1]; r.End != 0 || !r.Compacted {
		t.Errorf("replica: %+v; want nothing, compacted", r)
	}
}

// TestTopicsShowWhatIsGone: what compaction removed is a gap.
func TestTopicsShowWhatIsGone(t *testing.T) {
	c := kafkatest.New(t, 1)
	topic := c.Config.Topics().Replica()
	for _, key := range []string{"b", "a", "c", "a", "d"} {
		c.Produce(topic, message(key, "value"))
	}
	c.Fake.Compact()
	got, err := dump.Topics(t.Context(), c.Config.Brokers, nil, []string{topic})
	if err != nil {
		t.Fatal(err)
	}
	if want := []torture.Span{{From: 1, To: 2}}; !slices.Equal(got[0].Gaps, want) || got[0].Records != 4 {
		t.Errorf("%+v; want the gap %v and 4 records", got[0], want)
	}
}

// TestViewsBesideTheirTopics: the newest committed value of each key, and what
// Redis has.
func TestViewsBesideTheirTopics(t *testing.T) {
	c := kafkatest.New(t, 2, "quickbooks")
	address, _ := parts.RedisAlone(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	topics := c.Config.Topics()
	codecs, err := schemas.Open(t.Context(), schemas.NewMemoryRegistry(), topics, []string{"quickbooks"})
	if err != nil {
		t.Fatal(err)
	}
	child := record.Canonical{TenantID: "envoy", RecordID: "revenova:a1I", Dependencies: []record.Dependency{{RecordID: "revenova:a0L"}}}
	value, err := codecs.Canonical.Append(nil, &child)
	if err != nil {
		t.Fatal(err)
	}
	c.Produce(topics.Canonical(), kafka.Message{Key: []byte(child.Key()), Value: value})
	// Of the record a, revision 5 is written twice, and 4 after it, which a
	// transaction that was aborted had written before.
	state := func(id string, offset int64) kafka.Message {
		r := record.Replica{TenantID: "envoy", RecordID: record.ID("revenova:" + id), Revision: record.Revision{Generation: 1, Offset: offset}}
		value, err := codecs.Replica.Append(nil, &r)
		if err != nil {
			t.Fatal(err)
		}
		return kafka.Message{Key: []byte(r.Key()), Value: value}
	}
	newest := state("a", 6)
	c.Produce(topics.Replica(), state("a", 3))
	c.OpenTransaction("one", 10*time.Second, topics.Replica(), state("a", 4))(false)
	c.Produce(topics.Replica(), state("a", 5), state("a", 5), state("a", 4), newest, state("b", 6))

	db, err := redis.Open(redis.Config{URL: secret.Secret(address), Prefix: c.Config.Prefix}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	key := "envoy/revenova:a"
	partition := kafka.Partition([]byte(key), 2)
	if _, err := db.Views().Apply(t.Context(), []redis.Batch{{
		ID: redis.ViewID{View: "replica", TopicID: "id", Partition: partition}, From: redis.NoCheckpoint, To: 2,
		Entries: []redis.Entry{{Key: key, Value: newest.Value, Offset: 1}},
	}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Dependents().Add(t.Context(), []redis.Use{{Parent: "envoy/revenova:a0L", Child: child.Key(), Digest: "d"}}); err != nil {
		t.Fatal(err)
	}

	views, err := dump.Installation{Brokers: c.Config.Brokers, Topics: topics, Redis: u.Host, Codecs: codecs}.Views(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same, lacking, ready, states := 0, 0, 0, 0
	var astray []string
	for _, v := range views {
		states += v.States
		for _, a := range v.Astray {
			astray = append(astray, fmt.Sprint(a.Key, " ", a.Says, " ", a.Twice))
		}
		if v.Ready && v.Name == "replica" {
			ready++
		}
		for k, want := range v.Want {
			switch have, ok := v.Have[k]; {
			case !ok:
				lacking++
			case have == want:
				same++
			default:
				t.Errorf("%s %s: have %s, want %s", v.Name, k, have, want)
			}
		}
	}
	// The replica a and the dependent are there; the replica b and the canonical
	// record were never applied.
	if same != 2 || lacking != 2 || ready != 1 {
		t.Errorf("%d agree, %d are lacking, %d replica views are ready; want 2, 2, 1: %+v", same, lacking, ready, views)
	}
	if want := []string{key + " revision 1.5 after 1.5 true", key + " revision 1.4 after 1.5 false"}; !slices.Equal(astray, want) || states != 7 {
		t.Errorf("%d states, astray are %q; want 7, and %q", states, astray, want)
	}
}
