package hubspot

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/fluxnex/fluxnex/sandbox/call"
	"github.com/fluxnex/fluxnex/sandbox/ledger"
)

const mostInputs = 100

type batchBody struct {
	Inputs     []body   `json:"inputs"`
	Properties []string `json:"properties"`
	IDProperty string   `json:"idProperty"`
}

// outcome is what became of one input.
type outcome struct {
	object  *object
	fresh   bool
	refused *refusal
}

// batch runs create, read, update, upsert and archive over up to 100 inputs.
// Without trace ids one bad input refuses the batch and nothing is done; with
// one on every input the others go on and the answer is 207.
func (a *App) batch(c *call.Call, p *portal, k *kind, op string) {
	var in batchBody
	if err := call.Decode(c.Body, &in); err != nil {
		invalid("Invalid input JSON on line 1, column 1: " + err.Error()).on(c)
		return
	}
	switch {
	case !slices.Contains([]string{"create", "read", "update", "upsert", "archive"}, op):
		notFound().on(c)
		return
	case len(in.Inputs) == 0:
		invalid("inputs must not be empty").on(c)
		return
	case len(in.Inputs) > mostInputs:
		invalid("The number of inputs exceeds the limit of 100").on(c)
		return
	}
	traced := !slices.ContainsFunc(in.Inputs, func(b body) bool { return b.TraceID == "" })
	if op == "read" {
		p.mu.RLock()
		defer p.mu.RUnlock()
	} else {
		p.mu.Lock()
		defer p.mu.Unlock()
	}
	by := strings.ToLower(in.IDProperty)
	for i := range in.Inputs {
		b := &in.Inputs[i]
		if b.IDProperty == "" {
			b.IDProperty = by
		}
		b.IDProperty = strings.ToLower(b.IDProperty)
		if bad := p.unusable(k, b.IDProperty); bad != nil {
			bad.on(c)
			return
		}
	}
	if bad := p.doubled(k, op, in.Inputs); bad != nil {
		bad.on(c)
		return
	}
	switch op {
	case "read":
		a.batchRead(c, p, k, in)
		return
	case "archive":
		c.Reserve(len(in.Inputs))
		for _, b := range in.Inputs {
			line := c.Part(k.plural, b.ID, "archive", b.TraceID)
			line.Status = http.StatusNoContent
			if o := p.byValue(k, b.IDProperty, b.ID); o != nil && !o.archived {
				p.archive(c, line, k, o)
			}
		}
		c.Reply(http.StatusNoContent, nil)
		return
	}
	if !traced {
		if bad := p.rehearse(k, op, in.Inputs); bad != nil {
			bad.on(c)
			return
		}
	}
	c.Reserve(len(in.Inputs))
	outcomes := make([]outcome, len(in.Inputs))
	for i := range in.Inputs {
		b := &in.Inputs[i]
		line := c.Part(k.plural, b.ID, op, b.TraceID)
		c.Marker(line, b.Properties)
		outcomes[i] = p.batchWrite(c, line, k, op, b)
		line.Status = http.StatusOK
		if r := outcomes[i].refused; r != nil {
			line.Status, line.Code = r.http, r.code
		}
	}
	p.answer(c, k, op, in.Inputs, outcomes, traced)
}

// doubled refuses the same object named twice.
func (p *portal) doubled(k *kind, op string, inputs []body) *refusal {
	seen := map[string]bool{}
	for _, b := range inputs {
		names := []string{}
		if op != "create" {
			names = append(names, b.IDProperty+"="+strings.ToLower(b.ID))
		} else {
			for n, v := range b.Properties {
				if d := p.properties[k][strings.ToLower(n)]; d != nil && d.HasUniqueValue && text(v) != "" {
					names = append(names, d.Name+"="+strings.ToLower(text(v)))
				}
			}
		}
		for _, n := range names {
			if seen[n] {
				_, id, _ := strings.Cut(n, "=")
				return invalid("Duplicate IDs found in batch input: [" + id + "]. IDs must be unique")
			}
			seen[n] = true
		}
	}
	return nil
}

// rehearse finds what would refuse the batch as a whole.
func (p *portal) rehearse(k *kind, op string, inputs []body) *refusal {
	for i := range inputs {
		b := &inputs[i]
		props, bad := p.clean(k, b.Properties)
		if bad != nil {
			return bad
		}
		var self int64
		if op != "create" {
			if o := p.byValue(k, b.IDProperty, b.ID); o != nil && !o.archived {
				self = o.id
			}
		}
		if op == "upsert" && b.IDProperty == "" {
			return invalid("idProperty is required for an upsert")
		}
		if op == "create" && !slices.ContainsFunc(k.oneOf, func(n string) bool { return props[n] != "" }) {
			return invalid("At least one of these properties is needed to create a " + k.singular + ": " + strings.Join(k.oneOf, ", "))
		}
		if id, _ := p.holder(k, self, props); id != 0 {
			bad := conflict(k, id)
			bad.Message, _, _ = strings.Cut(bad.Message, ".") // a batch does not say who holds it
			bad.Context = nil
			return bad
		}
	}
	return nil
}

func (p *portal) batchWrite(c *call.Call, line *ledger.Entry, k *kind, op string, b *body) outcome {
	props, bad := p.clean(k, b.Properties)
	if bad != nil {
		return outcome{refused: bad}
	}
	if op == "create" {
		o, bad := p.create(c, line, k, props)
		return outcome{object: o, fresh: true, refused: bad}
	}
	if op == "upsert" && b.IDProperty == "" {
		return outcome{refused: invalid("idProperty is required for an upsert")}
	}
	old := p.byValue(k, b.IDProperty, b.ID)
	if old == nil || old.archived {
		if op == "update" || b.IDProperty == "hs_object_id" {
			return outcome{refused: missingIDs(k, []string{b.ID})}
		}
		value, problem := p.properties[k][b.IDProperty].accept(k, b.ID)
		if problem != nil {
			problem.Name = b.IDProperty
			return outcome{refused: invalidValues([]badValue{*problem})}
		}
		props[b.IDProperty] = value
		o, bad := p.create(c, line, k, props)
		return outcome{object: o, fresh: true, refused: bad}
	}
	o, bad := p.update(c, line, k, old, props)
	return outcome{object: o, refused: bad}
}

func (p *portal) answer(c *call.Call, k *kind, op string, inputs []body, outcomes []outcome, traced bool) {
	results, errs := []*shown{}, []*refusal{}
	for i, out := range outcomes {
		b := inputs[i]
		if out.refused != nil {
			r := out.refused
			if r.Context == nil {
				r.Context = map[string]any{}
			}
			if traced {
				r.Context["objectWriteTraceId"] = []string{b.TraceID}
				r.Message, _, _ = strings.Cut(r.Message, ". Existing ID")
			}
			errs = append(errs, r)
			continue
		}
		asked := []string(nil)
		if op != "create" && !out.fresh {
			asked = append(slices.Collect(maps.Keys(b.Properties)), "hs_object_id", "createdate", k.modified)
			for i := range asked {
				asked[i] = strings.ToLower(asked[i])
			}
		}
		s := p.show(k, out.object, asked)
		s.TraceID = b.TraceID
		if op == "upsert" {
			s.New = &out.fresh
		}
		results = append(results, s)
	}
	status := http.StatusOK
	if op == "create" {
		status = http.StatusCreated
	}
	p.complete(c, status, results, errs)
}

// complete answers in another order than that of the inputs.
func (p *portal) complete(c *call.Call, status int, results []*shown, errs []*refusal) {
	slices.Reverse(results)
	answer := map[string]any{"status": "COMPLETE", "startedAt": wire(c.Now), "completedAt": wire(c.Now), "results": results}
	if len(errs) > 0 {
		status = http.StatusMultiStatus
		answer["errors"], answer["numErrors"] = errs, len(errs)
	}
	c.Reply(status, answer)
}

func (a *App) batchRead(c *call.Call, p *portal, k *kind, in batchBody) {
	var results []*shown
	var missing []string
	asked := askedFor(k, in.Properties)
	if len(in.Properties) > 0 {
		asked = append(asked[len(k.defaults):], "hs_object_id", "createdate", k.modified)
	}
	for _, b := range in.Inputs {
		c.Line.IDs = append(c.Line.IDs, b.ID)
		o := p.byValue(k, b.IDProperty, b.ID)
		if o == nil || o.archived {
			missing = append(missing, b.ID)
			continue
		}
		if c.Stale && o.prev != nil {
			o = o.prev
		}
		// Two old ids may lead to one merged object; it is answered once.
		if !slices.ContainsFunc(results, func(s *shown) bool { return s.ID == strconv.FormatInt(o.id, 10) }) {
			results = append(results, p.show(k, o, asked))
		}
	}
	var errs []*refusal
	if missing != nil {
		errs = append(errs, missingIDs(k, missing))
	}
	if results == nil {
		results = []*shown{}
	}
	p.complete(c, http.StatusOK, results, errs)
}
