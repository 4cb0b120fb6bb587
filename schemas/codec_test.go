package schemas_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/schemas"
)

func open(t testing.TB) (*schemas.Codecs, *schemas.MemoryRegistry) {
	t.Helper()
	reg := schemas.NewMemoryRegistry()
	c, err := schemas.Open(t.Context(), reg, record.Topics{}, []string{"quickbooks", "hubspot"})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return c, reg
}

// fill sets every field below v to a random value; what a schema drops or
// swaps then shows.
func fill(r *rand.Rand, v reflect.Value) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.UnixMicro(r.Int64N(4e15) - 2e15).UTC()))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(strings.Repeat(string(rune('a'+r.IntN(26))), r.IntN(40)) + "é\x00")
	case reflect.Int32, reflect.Int64:
		v.SetInt(int64(int32(r.Uint32())))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 1)
	case reflect.Slice:
		n := r.IntN(4)
		if n == 0 {
			return // nil, as decoded
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			b := make([]byte, 1+r.IntN(3000))
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			v.SetBytes(b)
			return
		}
		if r.IntN(5) == 0 {
			n = 150 // more than one block of the library
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(r, v.Index(i))
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(r, field)
		}
	default:
		panic("a field of kind " + v.Kind().String() + " has no random value")
	}
}

// library encodes and decodes as any user of the library would, by reflection.
var library = avro.Config{MaxByteSliceSize: 1 << 24}.Freeze()

func checkAgainstLibrary[T any](t *testing.T, name string, c *schemas.Codec[T]) {
	t.Run(name, func(t *testing.T) {
		text, err := schemas.Text(name)
		if err != nil {
			t.Fatal(err)
		}
		schema, err := avro.ParseWithCache(text, "", &avro.SchemaCache{})
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, uint64(len(name))))
		var room schemas.Room
		for range 200 {
			var in T
			fill(r, reflect.ValueOf(&in).Elem())
			ours, err := c.Append([]byte("kept"), &in)
			if err != nil {
				t.Fatalf("append: %v", err)
			}
			if !bytes.HasPrefix(ours, []byte("kept\x00")) {
				t.Fatalf("what dst held is gone: %q", ours[:10])
			}
			ours = ours[4:]
			back, err := c.Decode(t.Context(), ours)
			if err != nil {
				t.Fatalf("decode: %v", err)
			}
			if !reflect.DeepEqual(*back, in) {
				t.Fatalf("decoded\n%+v\nwant\n%+v", *back, in)
			}
			if back, err = c.Borrow(t.Context(), ours, &room); err != nil || !reflect.DeepEqual(*back, in) {
				t.Fatalf("borrowed\n%+v (%v)\nwant\n%+v", back, err, in)
			}
			var theirs T
			if err := library.Unmarshal(schema, ours[5:], &theirs); err != nil {
				t.Fatalf("the library cannot read ours: %v", err)
			}
			reencoded, err := c.Append(nil, &theirs)
			if err != nil || !bytes.Equal(reencoded, ours) {
				t.Fatalf("the library read\n%+v\nfrom\n%+v (%v)", theirs, in, err)
			}
			body, err := library.Marshal(schema, &in)
			if err != nil {
				t.Fatal(err)
			}
			back, err = c.Decode(t.Context(), append(bytes.Clone(ours[:5]), body...))
			if err != nil || !reflect.DeepEqual(*back, in) {
				t.Fatalf("from the library's bytes\n%+v (%v)\nwant\n%+v", back, err, in)
			}
		}
	})
}

func TestLayoutsAgreeWithTheLibrary(t *testing.T) {
	c, _ := open(t)
	checkAgainstLibrary(t, "gateway-event", c.Gateway)
	checkAgainstLibrary(t, "replica-record", c.Replica)
	checkAgainstLibrary(t, "canonical-record", c.Canonical)
	checkAgainstLibrary(t, "fetch-request", c.FetchRequest)
	checkAgainstLibrary(t, "outbound-command", c.Outbound)
	checkAgainstLibrary(t, "delivery-result", c.Delivery)
	checkAgainstLibrary(t, "notification", c.Notification)
	checkAgainstLibrary(t, "dead-letter", c.DeadLetter)
}

func TestBorrowedRecordsDoNotShareTheirRoom(t *testing.T) {
	c, _ := open(t)
	var room schemas.Room
	for range 3 { // batches
		room.Reset()
		borrowAll(t, c, &room)
	}
}

func borrowAll(t *testing.T, c *schemas.Codecs, room *schemas.Room) {
	t.Helper()
	var want []record.Replica
	var got []*record.Replica
	r := rand.New(rand.NewPCG(7, 7))
	for i := range 300 {
		var in record.Replica
		fill(r, reflect.ValueOf(&in).Elem())
		in.Fields = make([]record.Field, []int{0, 3, 40, 64, 65, 900, 1500}[i%7])
		for k := range in.Fields {
			in.Fields[k] = record.Field{Name: strconv.Itoa(k), Kind: record.KindText, Value: strconv.Itoa(i)}
		}
		if len(in.Fields) == 0 {
			in.Fields = nil
		}
		value, err := c.Replica.Append(nil, &in)
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.Replica.Borrow(t.Context(), value, room)
		if err != nil {
			t.Fatal(err)
		}
		want, got = append(want, in), append(got, out)
		merged := *out
		merged.Fields = append(room.Fields(len(in.Fields)), out.Fields...)
		if len(in.Fields) == 0 {
			merged.Fields = nil
		}
		want, got = append(want, in), append(got, &merged)
	}
	for i := range got {
		if !reflect.DeepEqual(*got[i], want[i]) {
			t.Fatalf("record %d with %d fields became\n%+v\nwant\n%+v", i, len(want[i].Fields), *got[i], want[i])
		}
		if cap(got[i].Fields) != len(got[i].Fields) {
			t.Fatalf("appending to the %d fields of record %d would write over its neighbour's", len(got[i].Fields), i)
		}
		if l := &got[i].Lineage; cap(l.Hops) != len(l.Hops) || cap(l.Recent) != len(l.Recent) {
			t.Fatalf("appending to the lineage of record %d would write over its neighbour's: %+v", i, l)
		}
	}
}

func TestHeadAndStateLeaveOutWhatTheySay(t *testing.T) {
	c, _ := open(t)
	text, err := schemas.Text("canonical-record")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := avro.ParseWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		var in record.Canonical
		fill(r, reflect.ValueOf(&in).Elem())
		ours, err := c.Canonical.Append(nil, &in)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := library.Marshal(schema, &in)
		if err != nil {
			t.Fatal(err)
		}
		in.SourceFields = nil
		for _, value := range [][]byte{ours, append(bytes.Clone(ours[:5]), theirs...)} {
			got, err := c.CanonicalHead.Decode(t.Context(), value)
			if err != nil || !reflect.DeepEqual(*got, in) {
				t.Fatalf("the head is\n%+v (%v)\nwant\n%+v", got, err, in)
			}
			state := in
			state.Revision, state.ConfigVersion, state.Lineage = record.Revision{}, 0, record.Lineage{}
			if got, err = c.CanonicalState.Decode(t.Context(), value); err != nil || !reflect.DeepEqual(*got, state) {
				t.Fatalf("the state is\n%+v (%v)\nwant\n%+v", got, err, state)
			}
		}
	}
}

func TestZeroTimeStaysZero(t *testing.T) {
	c, _ := open(t)
	b, err := c.Canonical.Append(nil, &record.Canonical{TenantID: "envoy"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Canonical.Decode(t.Context(), b)
	if err != nil || !got.WaitingSince.IsZero() {
		t.Errorf("WaitingSince is %v (%v), want the zero time", got.WaitingSince, err)
	}
}

func TestReadsWhatOtherVersionsWrote(t *testing.T) {
	c, reg := open(t)
	text, err := schemas.Text("gateway-event")
	if err != nil {
		t.Fatal(err)
	}
	// A newer version: one field more, one (with a default) fewer.
	newer := strings.Replace(text, `{"name": "detail", "type": "string", "default": ""},`, `{"name": "weather", "type": {"type": "array", "items": "string"}, "default": []},`, 1)
	// The same inside the headers' records.
	newer = strings.Replace(newer, `{"name": "value", "type": "string", "default": ""}`, `{"name": "sent", "type": ["null", "long"], "default": null}`, 1)
	if !strings.Contains(newer, "weather") || !strings.Contains(newer, "sent") {
		t.Fatal("the schema no longer has the fields that this test takes away")
	}
	id, err := reg.Register(t.Context(), "fluxnex.gateway-value", newer)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := avro.ParseWithCache(newer, "", &avro.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 24, 10, 0, 0, 123456000, time.UTC)
	body, err := library.Marshal(schema, map[string]any{
		"tenant_id": "envoy", "source_app": "revenova", "record_id": "revenova:1", "gateway_id": "gw-1", "origin": "webhook",
		"received_at": at, "format": "f", "content_type": "text/xml", "headers": []any{map[string]any{"name": "a", "sent": int64(3)}, map[string]any{"name": "b", "sent": nil}},
		"outcome": "payload", "weather": []any{"rain"}, "version": "7", "payload": []byte("<x/>"), "config_version": int64(9),
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Gateway.Decode(t.Context(), append(header(id), body...))
	if err != nil {
		t.Fatal(err)
	}
	want := record.GatewayEvent{
		TenantID: "envoy", SourceApp: "revenova", RecordID: "revenova:1", GatewayID: "gw-1", Origin: record.OriginWebhook, ReceivedAt: at,
		Format: "f", ContentType: "text/xml", Headers: []record.Header{{Name: "a"}, {Name: "b"}}, Outcome: record.OutcomePayload, Version: "7", Payload: []byte("<x/>"), ConfigVersion: 9,
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("read\n%+v\nwant\n%+v", *got, want)
	}
}

// TestDefaultsStandInForEveryField reads what a version wrote that had only the
// fields without a default.
func TestDefaultsStandInForEveryField(t *testing.T) {
	c, reg := open(t)
	for _, text := range []string{
		`{"type":"record","name":"DeadLetter","namespace":"com.fluxnex","fields":[{"name":"offset","type":"long"},{"name":"topic","type":"string"},{"name":"partition","type":"int"}]}`,
	} {
		id, err := reg.Register(t.Context(), "fluxnex.dead-letter-value", text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.DeadLetter.Decode(t.Context(), append(header(id), 4, 2, 't', 6))
		if err != nil {
			t.Fatal(err)
		}
		if want := (record.DeadLetter{Topic: "t", Partition: 3, Offset: 2}); !reflect.DeepEqual(*got, want) {
			t.Errorf("read\n%+v\nwant\n%+v", *got, want)
		}
	}
}

func header(id int) []byte {
	b := make([]byte, 5)
	binary.BigEndian.PutUint32(b[1:], uint32(id))
	return b
}

// away is a registry that opens and is then gone.
type away struct {
	*schemas.MemoryRegistry
	err error
}

func (a *away) SchemaByID(ctx context.Context, id int) (string, error) {
	if a.err != nil {
		return "", a.err
	}
	return a.MemoryRegistry.SchemaByID(ctx, id)
}

func TestUnknownSchemaIsNotBadBytes(t *testing.T) {
	reg := &away{MemoryRegistry: schemas.NewMemoryRegistry()}
	c, err := schemas.Open(t.Context(), reg, record.Topics{}, []string{"quickbooks"})
	if err != nil {
		t.Fatal(err)
	}
	value := append(header(77), "anything"...)
	expect := func(class fault.Class, code string) {
		t.Helper()
		_, err := c.Gateway.Decode(t.Context(), value)
		if f := fault.Of(err); f == nil || f.Class != class || f.Code != code {
			t.Errorf("decode says %v, want %s %s", err, class, code)
		}
	}
	expect(fault.Retryable, schemas.CodeUnknownSchema)
	reg.err = errors.New("connection refused")
	expect(fault.Retryable, schemas.CodeUnavailable)
	reg.err = nil
	for range 76 { // the registry catches up
		if _, err := reg.Register(t.Context(), "s"+time.Now().String(), `{"type":"record","name":"Other","fields":[{"name":"x","type":"string"}]}`); err != nil {
			t.Fatal(err)
		}
	}
	value = append(header(9), "anything"...)
	expect(fault.Poison, schemas.CodeIncompatible)
}

func TestBadBytesArePoison(t *testing.T) {
	c, _ := open(t)
	good, err := c.Gateway.Append(nil, &record.GatewayEvent{TenantID: "envoy", Payload: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	prefix := good[:5:5]
	headersAt := func(count ...byte) []byte {
		// tenant, app, record, gateway id, origin, received_at, format, content type
		return append(append(bytes.Clone(prefix), 0, 0, 0, 0, 0, 0, 0, 0), count...)
	}
	for name, tc := range map[string]struct {
		value []byte
		code  string
	}{
		"empty":                     {nil, schemas.CodeHeader},
		"json":                      {[]byte(`{"tenant_id":"envoy"}`), schemas.CodeHeader},
		"only a header":             {prefix, schemas.CodeBytes},
		"truncated":                 {good[:len(good)-1], schemas.CodeBytes},
		"bytes after the end":       {append(bytes.Clone(good), 0), schemas.CodeBytes},
		"a count of 2^40":           {headersAt(0x80, 0x80, 0x80, 0x80, 0x80, 0x40), schemas.CodeBytes},
		"the smallest int64 count":  {headersAt(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x02), schemas.CodeBytes},
		"a string of 2^40":          {append(bytes.Clone(prefix), 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40), schemas.CodeBytes},
		"a string of negative size": {append(bytes.Clone(prefix), 0x03), schemas.CodeBytes},
		"larger than the limit":     {make([]byte, schemas.MaxValueSize+1), schemas.CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := c.Gateway.Decode(t.Context(), tc.value)
			if f := fault.Of(err); f == nil || f.Class != fault.Poison || f.Code != tc.code {
				t.Errorf("decode says %+v, %v; want poison %s", v, err, tc.code)
			}
		})
	}
}

func TestTooLargeIsRefusedBeforeProducing(t *testing.T) {
	c, _ := open(t)
	_, err := c.Gateway.Append(nil, &record.GatewayEvent{Payload: make([]byte, schemas.MaxValueSize)})
	if f := fault.Of(err); f == nil || f.Code != schemas.CodeTooLarge {
		t.Errorf("append says %v, want %s", err, schemas.CodeTooLarge)
	}
	if _, err := c.DeadLetter.Append(nil, &record.DeadLetter{Value: make([]byte, schemas.MaxValueSize)}); err != nil {
		t.Errorf("a dead letter cannot hold the largest value: %v", err)
	}
}

func TestIncompatibleRegistryContentStopsTheStart(t *testing.T) {
	reg := schemas.NewMemoryRegistry()
	if _, err := reg.Register(t.Context(), "fluxnex.gateway-value", `{"type":"record","name":"GatewayEvent","namespace":"com.fluxnex","fields":[{"name":"tenant_id","type":"long"}]}`); err != nil {
		t.Fatal(err)
	}
	_, err := schemas.Open(t.Context(), reg, record.Topics{}, nil)
	if !errors.Is(err, schemas.ErrIncompatible) || !strings.Contains(err.Error(), "tenant_id") {
		t.Errorf("open says %v, want an incompatibility that names tenant_id", err)
	}
}
