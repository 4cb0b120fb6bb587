package integrationtest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// SourceCase is one body as the app sends it.
type SourceCase struct {
	Name        string
	ContentType string
	Body        []byte
	// Records are the local ids that the body must be split into, in order; nil
	// for a body that cannot be split.
	Records []string
	// Secrets are texts inside Body that may never be stored.
	Secrets []string
}

// Source checks what every source has to keep, whatever its app. The cases must
// hold at least one body of every format and one record of every entity type
// the app normalises.
func Source(t *testing.T, i *integration.Integration, cases []SourceCase) {
	t.Helper()
	if i.Webhook == nil || i.Replicate == nil || i.Normalize == nil {
		t.Fatalf("%s does not split, read and normalise", i.App)
	}
	var replicas []*record.Replica
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) { replicas = append(replicas, sourceCase(t, i, c)...) })
	}
	t.Run("broken bodies are refused, not fatal", func(t *testing.T) { brokenBodies(t, i, cases) })
	t.Run("dependencies are acyclic and named", func(t *testing.T) { dependencies(t, i, replicas) })
	t.Run("normalises purely", func(t *testing.T) { normalisesPurely(t, i, replicas) })
	if i.Fetch != nil {
		t.Run("classifies every answer of its API", func(t *testing.T) { classifiesAnswers(t, i.Fetch) })
	}
}

func sourceCase(t *testing.T, i *integration.Integration, c SourceCase) []*record.Replica {
	t.Helper()
	format, auth := i.Webhook.Detect(c.ContentType, c.Body)
	if format == "" || auth == "" {
		t.Fatalf("format %q, authentication %q: neither may be empty, whatever comes", format, auth)
	}
	if r := i.Webhook.Accepted(format, []string{"gw-1"}); len(r.Body) == 0 || r.ContentType == "" {
		t.Errorf("an accepted body is answered with %+v", r)
	}
	if r := i.Webhook.Failed(format, `<"&\`); len(r.Body) == 0 || r.ContentType == "" {
		t.Errorf("a failure is answered with %+v", r)
	}
	before := slices.Clone(c.Body)
	d, err := i.Webhook.Split(format, c.Body)
	if !slices.Equal(before, c.Body) {
		t.Fatal("splitting changed the body")
	}
	noSecrets(t, c, "the stored body", d.Sanitized)
	if c.Records == nil {
		if err == nil {
			t.Fatalf("split into %d events", len(d.Events))
		}
		if len(d.Sanitized) == 0 {
			t.Error("a body that cannot be split must be stored whole")
		}
		return nil
	}
	if err != nil {
		t.Fatalf("split: %v", err)
	}
	var ids []string
	var out []*record.Replica
	for _, e := range d.Events {
		ids = append(ids, e.LocalID)
		noSecrets(t, c, "the payload of "+e.LocalID, e.Payload)
		if e.Format == "" {
			t.Errorf("the event of %s names no format", e.LocalID)
		}
		if e.LocalID == "" {
			continue
		}
		o, err := i.Replicate.Observe(e.Format, e.ContentType, e.Payload, nil)
		if err != nil {
			t.Errorf("observe %s: %v", e.LocalID, err)
			continue
		}
		again, err := i.Replicate.Observe(e.Format, e.ContentType, e.Payload, nil)
		if err != nil || !reflect.DeepEqual(o, again) {
			t.Errorf("observing %s twice differs: %+v and %+v, %v", e.LocalID, o, again, err)
		}
		names := map[string]bool{}
		for _, f := range o.Fields {
			if f.Name == "" || f.Version != "" || names[f.Name] || f.Kind == record.KindNull && f.Value != "" {
				t.Errorf("field %+v of %s: a field has a name of its own, no version, and no value if it is null", f, e.LocalID)
			}
			names[f.Name] = true
		}
		r := &record.Replica{
			TenantID: "envoy", SourceApp: i.App, RecordID: record.NewID(i.App, e.LocalID), EntityType: o.EntityType,
			Presence: record.PresenceLive, Version: o.Version, Fields: o.Fields,
		}
		slices.SortFunc(r.Fields, func(a, b record.Field) int { return strings.Compare(a.Name, b.Name) })
		if !o.Deleted {
			out = append(out, r)
		}
	}
	if !slices.Equal(ids, c.Records) {
		t.Errorf("records %q, want %q", ids, c.Records)
	}
	return out
}

func noSecrets(t *testing.T, c SourceCase, where string, b []byte) {
	t.Helper()
	for _, s := range c.Secrets {
		if strings.Contains(string(b), s) {
			t.Errorf("%s holds a secret: %s", where, b)
		}
	}
}

// brokenBodies cuts and scrambles the cases: nothing may panic, and an error of
// Observe must be final.
func brokenBodies(t *testing.T, i *integration.Integration, cases []SourceCase) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2)) // the same bodies in every run
	for _, c := range cases {
		for n := range 200 {
			b := slices.Clone(c.Body)
			if n%2 == 0 {
				b = b[:rng.IntN(len(b)+1)]
			} else {
				for range 1 + rng.IntN(4) {
					b[rng.IntN(len(b))] = byte(rng.Uint32())
				}
			}
			format, _ := i.Webhook.Detect(c.ContentType, b)
			d, err := i.Webhook.Split(format, b)
			if err != nil && len(d.Events) > 0 {
				t.Fatalf("%s: an error beside %d events", c.Name, len(d.Events))
			}
			for _, e := range d.Events {
				if _, err := i.Replicate.Observe(e.Format, e.ContentType, e.Payload, nil); err != nil && fault.Of(err).Class != fault.Poison {
					t.Fatalf("%s: bytes that cannot be read are poison for good, not %v", c.Name, err)
				}
			}
		}
	}
}

func dependencies(t *testing.T, i *integration.Integration, replicas []*record.Replica) {
	t.Helper()
	edges := map[string][]string{}
	for _, r := range replicas {
		for _, p := range i.Normalize.Parents(r) {
			edges[r.EntityType] = append(edges[r.EntityType], p.EntityType)
			if p.RecordID.App() != i.App || p.RecordID.Local() == "" {
				t.Errorf("%s names the parent %q", r.RecordID, p.RecordID)
			}
			if len(i.Normalize.Used(p.EntityType)) == 0 {
				t.Errorf("%s uses fields of %s, which names none as used: its changes would wake nobody", r.EntityType, p.EntityType)
			}
			if _, ok := i.Normalize.Fetchable(p.EntityType); p.Required && !ok {
				t.Errorf("%s cannot do without %s, which cannot be fetched", r.EntityType, p.EntityType)
			}
		}
	}
	for from := range edges {
		if path := cycle(edges, from, nil); path != nil {
			t.Errorf("records could wait for each other for ever: %s", strings.Join(path, " → "))
		}
	}
}

func cycle(edges map[string][]string, at string, path []string) []string {
	path = append(path, at)
	for _, next := range edges[at] {
		if slices.Contains(path, next) {
			return append(path, next)
		}
		if found := cycle(edges, next, path); found != nil {
			return found
		}
	}
	return nil
}

func normalisesPurely(t *testing.T, i *integration.Integration, replicas []*record.Replica) {
	t.Helper()
	byID := map[record.ID]*record.Replica{}
	for _, r := range replicas {
		byID[r.RecordID] = r
	}
	for _, r := range replicas {
		parents := map[record.ID]*record.Replica{}
		for _, p := range i.Normalize.Parents(r) {
			if known := byID[p.RecordID]; known != nil {
				parents[p.RecordID] = known
			}
		}
		before := fmt.Sprintf("%+v", *r)
		n := i.Normalize.Normalize(r, parents, nil)
		if again := i.Normalize.Normalize(r, parents, nil); !reflect.DeepEqual(n, again) {
			t.Errorf("%s: two runs differ: %+v and %+v", r.RecordID, n, again)
		}
		if after := fmt.Sprintf("%+v", *r); after != before {
			t.Errorf("%s: the replica was changed to %s", r.RecordID, after)
		}
		i.Normalize.Normalize(r, nil, nil) // without its parents: must not panic
		if len(n.Entities) == 0 && n.Failure == nil && n.Ignored == "" {
			t.Errorf("%s (%s) is nothing, and nobody says why", r.RecordID, r.EntityType)
		}
		if f := n.Failure; f != nil && (f.Code == "" || f.Message == "" || f.Remedy == "") {
			t.Errorf("%s fails without code, message or remedy: %+v", r.RecordID, f)
		}
		seen := map[canonical.Entity]bool{}
		for _, c := range n.Entities {
			if seen[c.Entity] {
				t.Errorf("%s is %s twice", r.RecordID, c.Entity)
			}
			seen[c.Entity] = true
			if c.Value == nil {
				continue
			}
			body, err := json.Marshal(c.Value)
			if err != nil {
				t.Errorf("%s of %s: %v", c.Entity, r.RecordID, err)
				continue
			}
			decoded, err := canonical.Decode(c.Entity, body)
			if err != nil {
				t.Errorf("%s of %s: %v", c.Entity, r.RecordID, err)
				continue
			}
			if second, _ := json.Marshal(decoded); string(second) != string(body) {
				t.Errorf("%s of %s does not survive its own JSON:\n%s\n%s", c.Entity, r.RecordID, body, second)
			}
			linesAddUp(t, r.RecordID, decoded)
		}
		for _, ref := range n.References {
			if ref.RecordID.App() != i.App || ref.RecordID.Local() == "" {
				t.Errorf("%s refers to %q", r.RecordID, ref.RecordID)
			}
		}
	}
}

func linesAddUp(t *testing.T, id record.ID, v any) {
	t.Helper()
	var lines []canonical.Line
	var total canonical.Money
	switch d := v.(type) {
	case *canonical.Invoice:
		lines, total = d.Lines, d.Total
	case *canonical.Bill:
		lines, total = d.Lines, d.Total
	default:
		return
	}
	var sum canonical.Money
	for _, l := range lines {
		sum = sum.Add(l.Amount)
	}
	if sum.Cmp(total) != 0 || len(lines) == 0 {
		t.Errorf("%s: %d lines of %s, the total is %s", id, len(lines), sum, total)
	}
}

func classifiesAnswers(t *testing.T, f integration.Fetcher) {
	t.Helper()
	for status := 100; status < 600; status++ {
		for _, body := range []string{"", "null", "[]", "{}", "<html>", `[{"errorCode":"x"}]`, `{"error":"y"}`} {
			err := f.Classify(integration.Answer{Status: status, Body: []byte(body)})
			if ok := status >= 200 && status < 300; ok != (err == nil) {
				t.Errorf("HTTP %d %q: %v", status, body, err)
			} else if !ok && fault.Of(err).Class == fault.Unclassified {
				t.Errorf("HTTP %d %q has no class", status, body)
			}
		}
	}
}
