package quickbooks

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
)

// paid says what can be done where QuickBooks refused to change an invoice that
// is paid: its own message does not. nil where the invoice is not.
func (d deliverer) paid(ctx context.Context, c integration.Caller, op integration.Operation, refusal error) error {
	now, err := d.Latest(ctx, c, op)
	if err != nil || now == nil {
		return err
	}
	var o struct {
		Balance, TotalAmt json.Number
		LinkedTxn         []struct{ TxnID, TxnType string }
	}
	if err := json.Unmarshal(now.Body, &o); err != nil {
		return fault.Retry("qbo_unreadable_answer", 0, err)
	}
	for _, l := range o.LinkedTxn {
		if l.TxnType != "Payment" {
			continue
		}
		f := fault.Of(refusal)
		return fault.Refused(f.Code, fmt.Sprintf("Payment %s is applied to invoice %s in QuickBooks (%s of %s is open), so it stays as it was. Take the change back in the source, or take the payment off the invoice there and save the source record again, or correct it in QuickBooks by hand (a credit memo and a new invoice).",
			l.TxnID, now.ID, o.Balance, o.TotalAmt), f.Err)
	}
	return nil
}
