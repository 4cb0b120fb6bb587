package revenova

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// cents rounds half away from zero to two places what has more; formula fields
// come with up to 29. Everything else keeps its digits.
func cents(m canonical.Money) canonical.Money {
	if _, decimals, _ := strings.Cut(m.String(), "."); len(decimals) > 2 {
		return m.Round(2)
	}
	return m
}

// amount reads a field that holds money; ok is false where it has no value.
func amount(r *record.Replica, name string) (m canonical.Money, ok bool, problem *integration.Problem) {
	v := filled(r, name)
	if v == "" {
		return m, false, nil
	}
	m, err := canonical.ParseMoney(v)
	if err != nil {
		return m, false, badAmount(name, v)
	}
	return cents(m), true, nil
}

func badAmount(field, value string) *integration.Problem {
	return &integration.Problem{
		Code: "bad_amount", Field: field,
		Message: fmt.Sprintf("%s is not an amount: %.40q", field, value),
		Remedy:  "Correct the field in Revenova.",
	}
}

// component is an amount field of a document and the line it becomes.
type component struct{ field, kind, description string }

// charges reads the lines and the total of an invoice or a bill, from an
// event's list of charges or from the totals of the record. Lines always add
// up: a difference to the total becomes a line of its own.
func charges(r *record.Replica, components []component, totals ...string) (lines []canonical.Line, total canonical.Money, problem *integration.Problem) {
	known := false
	for _, name := range totals {
		m, ok, p := amount(r, name)
		if p != nil {
			return nil, total, p
		}
		if ok {
			total, known = m, true
			break
		}
	}
	if lines, problem = componentLines(r, components); problem != nil {
		return nil, total, problem
	}
	if lines == nil {
		if lines, problem = eventLines(r); problem != nil {
			return nil, total, problem
		}
	}
	var sum canonical.Money
	for _, l := range lines {
		sum = sum.Add(l.Amount)
	}
	switch {
	case !known && len(lines) == 0:
		return nil, total, &integration.Problem{
			Code: "missing_total", Field: totals[0],
			Message: "The document has neither a total nor charges.",
			Remedy:  "Add " + totals[0] + " to the fields of the outbound message, or fill it in Revenova.",
		}
	case !known:
		total = sum
	case len(lines) == 0:
		lines = []canonical.Line{{Kind: "Freight", Description: "Transportation", Amount: total}}
	case sum.Cmp(total) != 0:
		lines = append(lines, canonical.Line{
			Kind: "Adjustment", Description: "Difference to the document's total", Amount: total.Sub(sum),
		})
	}
	return lines, total, nil
}

// componentLines is nil where the record has none of the amounts.
func componentLines(r *record.Replica, components []component) ([]canonical.Line, *integration.Problem) {
	var lines []canonical.Line
	for _, c := range components {
		m, ok, problem := amount(r, c.field)
		if problem != nil {
			return nil, problem
		}
		if ok && !m.IsZero() {
			lines = append(lines, canonical.Line{Kind: c.kind, Description: c.description, Amount: m})
		}
	}
	return lines, nil
}

func eventLines(r *record.Replica) ([]canonical.Line, *integration.Problem) {
	f, ok := r.Field("charges")
	if !ok || f.Kind != record.KindJSON {
		return nil, nil
	}
	var lines []canonical.Line
	for _, c := range gjson.Parse(f.Value).Array() {
		l := canonical.Line{
			Kind:        c.Get("chargeType").String(),
			Description: c.Get("description").String(),
			Quantity:    literal(c.Get("unitQuantity")),
		}
		raw := literal(c.Get("chargeAmount"))
		if raw == "" {
			continue
		}
		m, err := canonical.ParseMoney(raw)
		if err != nil {
			return nil, badAmount("charges.chargeAmount", raw)
		}
		l.Amount = cents(m)
		if price := literal(c.Get("unitPrice")); price != "" {
			if m, err := canonical.ParseMoney(price); err == nil {
				l.UnitPrice = &m
			}
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// literal is a number's or a text's own characters.
func literal(v gjson.Result) string {
	switch v.Type {
	case gjson.Number:
		return v.Raw
	case gjson.String:
		if s := strings.TrimSpace(v.String()); s != "null" {
			return s
		}
	case gjson.Null, gjson.False, gjson.True, gjson.JSON:
	}
	return ""
}
