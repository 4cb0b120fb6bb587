package replica

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/schemas"
)

// observations turns bytes into observations: for each, which of six fields it
// carries, which are null, and whether it is a deletion. Every one has a version
// of its own.
func observations(data []byte) []integration.Observation {
	var out []integration.Observation
	for i := 0; i+1 < len(data) && i < 24; i += 2 {
		o := integration.Observation{
			EntityType: "sf_account", Version: fmt.Sprintf("%04d", i), Deleted: data[i]&0x80 != 0,
		}
		for f := range 6 {
			if data[i]&(1<<f) == 0 {
				continue
			}
			field := record.Field{Name: fmt.Sprintf("F%d", f), Kind: record.KindText, Value: fmt.Sprintf("%d", data[i+1]%4)}
			if data[i+1]&(1<<f) != 0 {
				field.Kind, field.Value = record.KindNull, ""
			}
			o.Fields = append(o.Fields, field)
		}
		out = append(out, o)
	}
	return out
}

func fold(obs []integration.Observation) *record.Replica {
	var r *record.Replica
	for _, o := range obs {
		m := merge(r, o, false, 1, new(schemas.Room))
		r = &m.next
	}
	return r
}

// model is the state as the contract has it: every field as the newest
// observation that carries it says, presence as the newest of all.
func model(obs []integration.Observation) (fields map[string]string, presence record.Presence) {
	sorted := slices.Clone(obs)
	slices.SortFunc(sorted, func(a, b integration.Observation) int { return strings.Compare(a.Version, b.Version) })
	fields = map[string]string{}
	for _, o := range sorted {
		for _, f := range o.Fields {
			fields[f.Name] = string(f.Kind) + f.Value + "@" + o.Version
		}
		if presence = record.PresenceLive; o.Deleted {
			presence = record.PresenceDeleted
		}
	}
	return fields, presence
}

func checkMerge(t *testing.T, data []byte, seed uint64) {
	t.Helper()
	obs := observations(data)
	if len(obs) == 0 {
		return
	}
	want, presence := model(obs)
	rng := rand.New(rand.NewPCG(seed, 1))
	first := fold(obs)
	for range 4 {
		shuffled := append(slices.Clone(obs), obs[rng.IntN(len(obs))], obs[rng.IntN(len(obs))]) // some twice
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		got := fold(shuffled)
		if !reflect.DeepEqual(got, first) {
			t.Fatalf("the order changed the end:\n%+v\n%+v\nof %+v", first, got, shuffled)
		}
		if again := merge(got, shuffled[len(shuffled)-1], false, 1, new(schemas.Room)); again.changed || again.tie {
			t.Fatalf("the last event again: changed %v, tie %v", again.changed, again.tie)
		}
	}
	if first.Presence != presence {
		t.Fatalf("presence %s, want %s of %+v", first.Presence, presence, obs)
	}
	got := map[string]string{}
	for i, f := range first.Fields {
		if i > 0 && first.Fields[i-1].Name >= f.Name {
			t.Fatalf("fields are not sorted: %+v", first.Fields)
		}
		got[f.Name] = string(f.Kind) + f.Value + "@" + effective(&f, first.Version)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("fields %v, want %v", got, want)
	}
}

func TestTheEndDoesNotDependOnTheOrder(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 3000 {
		data := make([]byte, 2+2*rng.IntN(10))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		checkMerge(t, data, rng.Uint64())
	}
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte{0x3f, 0, 0x81, 1, 0x07, 0xff}, uint64(1))
	f.Fuzz(checkMerge)
}

func TestACompleteRecordRemovesWhatItDoesNotHave(t *testing.T) {
	field := func(name string) record.Field { return record.Field{Name: name, Kind: record.KindText, Value: "x"} }
	first := integration.Observation{EntityType: "q", Version: "1", Complete: true, Fields: []record.Field{field("A"), field("B")}}
	second := integration.Observation{EntityType: "q", Version: "2", Complete: true, Fields: []record.Field{field("A")}}
	for _, order := range [][]integration.Observation{{first, second}, {second, first}} {
		if got := fold(order); len(got.Fields) != 1 || got.Fields[0].Name != "A" {
			t.Errorf("fields %+v", got.Fields)
		}
	}
}

// TestAnOlderPartSaysNothingAboutACompleteRecord: a field that the source no
// longer had at version 2 does not come back with an event of version 1.
func TestAnOlderPartSaysNothingAboutACompleteRecord(t *testing.T) {
	field := func(name string) record.Field { return record.Field{Name: name, Kind: record.KindText, Value: "x"} }
	obs := []integration.Observation{
		{EntityType: "q", Version: "1", Fields: []record.Field{field("A"), field("B")}},
		{EntityType: "q", Version: "2", Complete: true, Fields: []record.Field{field("A")}},
		{EntityType: "q", Version: "3", Fields: []record.Field{field("C")}},
	}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		got := fold([]integration.Observation{obs[order[0]], obs[order[1]], obs[order[2]]})
		if len(got.Fields) != 2 || got.Fields[0].Name != "A" || got.Fields[1].Name != "C" {
			t.Errorf("in the order %v the fields are %+v", order, got.Fields)
		}
	}
}

func TestANewerParserOverwritesAnEqualVersion(t *testing.T) {
	read := func(value string) integration.Observation {
		return integration.Observation{EntityType: "q", Version: "1", Fields: []record.Field{{Name: "A", Kind: record.KindText, Value: value}}}
	}
	m := merge(nil, read("misread"), false, 1, new(schemas.Room))
	if m = merge(&m.next, read("right"), false, 2, new(schemas.Room)); m.tie || m.next.Text("A") != "right" || m.next.ParserVersion != 2 {
		t.Errorf("tie %v, %+v", m.tie, m.next)
	}
}
