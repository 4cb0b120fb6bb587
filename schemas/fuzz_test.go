package schemas_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/schemas"
)

// fuzzCodec: any bytes are a value or poison, never a panic; what was read is
// written and read again as the same; memory stays within a multiple of the
// input.
func fuzzCodec[T any](f *testing.F, codec func(*schemas.Codecs) *schemas.Codec[T]) {
	all, _ := open(f)
	c := codec(all)
	r := rand.New(rand.NewPCG(3, 4))
	for range 4 {
		var v T
		fill(r, reflect.ValueOf(&v).Elem())
		b, err := c.Append(nil, &v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[5:])
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Add(bytes.Repeat([]byte{0}, 200))
	var zero T
	b, err := c.Append(nil, &zero)
	if err != nil {
		f.Fatal(err)
	}
	prefix := b[:5:5]
	f.Fuzz(func(t *testing.T, body []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		v, err := c.Decode(t.Context(), append(bytes.Clone(prefix), body...))
		runtime.ReadMemStats(&after)
		// The largest string may be promised in a few bytes, once.
		if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(schemas.MaxDeadLetterSize+1<<20+200*len(body)); got > limit {
			t.Errorf("%d bytes made the decoder allocate %d", len(body), got)
		}
		if err != nil {
			if fault.Of(err).Class != fault.Poison {
				t.Errorf("bad bytes are %v, want poison", err)
			}
			return
		}
		again, err := c.Append(nil, v)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		back, err := c.Decode(t.Context(), again)
		if err != nil || !reflect.DeepEqual(back, v) {
			t.Errorf("read %+v, wrote and read %+v (%v)", v, back, err)
		}
	})
}

func FuzzGatewayEvent(f *testing.F) {
	fuzzCodec(f, func(c *schemas.Codecs) *schemas.Codec[record.GatewayEvent] { return c.Gateway })
}

func FuzzReplicaRecord(f *testing.F) {
	fuzzCodec(f, func(c *schemas.Codecs) *schemas.Codec[record.Replica] { return c.Replica })
}

func FuzzCanonicalRecord(f *testing.F) {
	fuzzCodec(f, func(c *schemas.Codecs) *schemas.Codec[record.Canonical] { return c.Canonical })
}

func FuzzFetchRequest(f *testing.F) {
	fuzzCodec(f, func(c *schemas.Codecs) *schemas.Codec[record.FetchRequest] { return c.FetchRequest })
}

func FuzzOutboundCommand(f *testing.F) {
	fuzzCodec(f, func(c *schemas.Codecs) *schemas.Codec[record.OutboundCommand] { return c.Outbound })
}

func FuzzDeliveryResult(f *testing.F) {
	fuzzCodec(f, func(c *schemas.Codecs) *schemas.Codec[record.DeliveryResult] { return c.Delivery })
}

func FuzzNotification(f *testing.F) {
	fuzzCodec(f, func(c *schemas.Codecs) *schemas.Codec[record.Notification] { return c.Notification })
}

func FuzzDeadLetter(f *testing.F) {
	fuzzCodec(f, func(c *schemas.Codecs) *schemas.Codec[record.DeadLetter] { return c.DeadLetter })
}

// FuzzOtherVersion drives the library's own decoder, which reads what another
// version of the schema wrote.
func FuzzOtherVersion(f *testing.F) {
	all, reg := open(f)
	text, err := schemas.Text("replica-record")
	if err != nil {
		f.Fatal(err)
	}
	id, err := reg.Register(f.Context(), "fluxnex.replica-value", strings.Replace(text, `{"name": "detail", "type": "string", "default": ""},`, `{"name": "weather", "type": {"type": "array", "items": "string"}, "default": []},`, 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Add(append(bytes.Repeat([]byte{0}, 5), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x02))
	f.Add(append(bytes.Repeat([]byte{0}, 5), 0x80, 0x80, 0x80, 0x80, 0x80, 0x40))
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := all.Replica.Decode(t.Context(), append(header(id), body...)); err != nil && fault.Of(err).Class != fault.Poison {
			t.Errorf("bad bytes are %v, want poison", err)
		}
	})
}
