package quickbooks

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

// Merge compares field by field what we sent last, what they have and what we
// want. A field we did not change keeps what a person wrote there; a field both
// changed is ours, and reported.
func (deliverer) Merge(op integration.Operation, theirs integration.Remote) ([]byte, []string, error) {
	ours, err := tree(op.Payload)
	if err != nil {
		return nil, nil, fault.Unreadable("qbo_payload", err)
	}
	their, err := tree(theirs.Body)
	if err != nil {
		return nil, nil, fault.Retry("qbo_unreadable_answer", 0, err)
	}
	var last map[string]any
	if len(op.AppliedPayload) > 0 {
		if last, err = tree(op.AppliedPayload); err != nil {
			return nil, nil, fault.Unreadable("qbo_payload", err)
		}
	}
	var overwritten []string
	for field, want := range ours {
		sent, before := last[field]
		if !before || holdsField(field, sent, their[field]) || holdsField(field, want, their[field]) {
			continue
		}
		if holds(want, sent) && holds(sent, want) {
			if kept := plain(sent, their[field]); kept != nil {
				ours[field] = kept
			} else {
				delete(ours, field)
			}
			continue
		}
		overwritten = append(overwritten, field)
	}
	slices.Sort(overwritten)
	payload, err := encode(ours)
	if err != nil {
		return nil, nil, fault.Unreadable("qbo_payload", err)
	}
	return payload, overwritten, nil
}

// plain reduces their value to the form we send it in, without the ids and
// read-only parts that QuickBooks adds.
func plain(sent, their any) any {
	if lines, ok := their.([]any); ok {
		return withoutSubTotal(lines)
	}
	s, ok := sent.(map[string]any)
	t, okTheirs := their.(map[string]any)
	if !ok || !okTheirs {
		return their
	}
	out := map[string]any{}
	for k, v := range t {
		switch k {
		case "Id", "Lat", "Long", "name":
			if _, mine := s[k]; !mine {
				continue
			}
		}
		out[k] = v
	}
	return out
}

// holdsField is holds, knowing that QuickBooks masks tax identifiers on read.
func holdsField(field string, want, have any) bool {
	if field == "TaxIdentifier" {
		w, _ := want.(string)
		h, _ := have.(string)
		if i := strings.LastIndexByte(h, 'X'); i >= 0 && strings.Trim(h[:i+1], "X") == "" {
			return strings.HasSuffix(w, h[i+1:])
		}
	}
	return holds(want, have)
}

// holds reports that have contains everything of want. QuickBooks adds parts
// of its own: ids, names of references, a subtotal line.
func holds(want, have any) bool {
	switch w := want.(type) {
	case nil:
		return have == nil
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return len(w) == 0 && have == nil
		}
		for k, v := range w {
			if !holdsField(k, v, h[k]) {
				return false
			}
		}
		return true
	case []any:
		h, ok := have.([]any)
		if !ok {
			return len(w) == 0 && have == nil
		}
		h = withoutSubTotal(h)
		if len(w) != len(h) {
			return false
		}
		for i := range w {
			if !holds(w[i], h[i]) {
				return false
			}
		}
		return true
	case string:
		h, ok := have.(string)
		return ok && h == w || have == nil && w == ""
	case json.Number:
		h, ok := have.(json.Number)
		if !ok {
			return false
		}
		a, errA := canonical.ParseMoney(w.String())
		b, errB := canonical.ParseMoney(h.String())
		return errA == nil && errB == nil && a.Cmp(b) == 0
	}
	return want == have
}

// withoutSubTotal drops the line QuickBooks adds to every invoice.
func withoutSubTotal(lines []any) []any {
	return slices.DeleteFunc(slices.Clone(lines), func(e any) bool {
		m, ok := e.(map[string]any)
		return ok && m["DetailType"] == "SubTotalLineDetail"
	})
}
