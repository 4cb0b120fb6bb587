package schemas_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/schemas"
)

// account is a replica as real orgs have them: 50 fields, 1.5 KB.
func account() *record.Replica {
	r := &record.Replica{
		TenantID: "envoy", SourceApp: "revenova", RecordID: "revenova:0015g00000AbCdEAAV", EntityType: "sf_account", Presence: record.PresenceLive,
		Version: "2017-05-02T11:53:53.000Z", ParserVersion: 1, Revision: record.Revision{Generation: 1, Offset: 123456},
		Lineage: record.Lineage{GatewayTopic: "fluxnex.gateway", Partition: 7, Offset: 123456, GatewayID: "gw-0123456789", Origin: record.OriginWebhook, ReceivedAt: time.Now(), Hops: []record.Hop{{Stage: "gateway", At: time.Now()}, {Stage: "replica", At: time.Now()}}, Recent: []int64{1, 2, 3}},
	}
	for i := range 50 {
		r.Fields = append(r.Fields, record.Field{Name: fmt.Sprintf("rtms__Field_%02d__c", i), Kind: record.KindText, Value: "some value"})
	}
	return r
}

func BenchmarkReplicaAppend(b *testing.B) {
	c, _ := open(b)
	v, dst := account(), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = c.Replica.Append(dst[:0], v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReplicaDecode(b *testing.B) {
	c, _ := open(b)
	value, err := c.Replica.Append(nil, account())
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Replica.Decode(b.Context(), value); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReplicaLibrary is what the layouts save: the same by reflection.
func BenchmarkReplicaLibrary(b *testing.B) {
	c, _ := open(b)
	value, err := c.Replica.Append(nil, account())
	if err != nil {
		b.Fatal(err)
	}
	text, err := schemas.Text("replica-record")
	if err != nil {
		b.Fatal(err)
	}
	schema := avro.MustParse(text)
	b.Run("encode", func(b *testing.B) {
		v := account()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := library.Marshal(schema, v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var v record.Replica
			if err := library.Unmarshal(schema, value[5:], &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkGatewayDecode(b *testing.B) {
	c, _ := open(b)
	value, err := c.Gateway.Append(nil, &record.GatewayEvent{TenantID: "envoy", SourceApp: "revenova", RecordID: "revenova:0015g00000AbCdEAAV", GatewayID: "gw-1", Origin: record.OriginWebhook, ReceivedAt: time.Now(), Format: "outbound-message", Payload: make([]byte, 3000)})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Gateway.Decode(b.Context(), value); err != nil {
			b.Fatal(err)
		}
	}
}
