package interop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/integrations/integrationtest"
	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// TestQuickBooksAPaidInvoiceKeepsItsCustomer: the refusal says which payment is
// in the way, and without it the change passes.
func TestQuickBooksAPaidInvoiceKeepsItsCustomer(t *testing.T) {
	l := quickBooks(t)
	var bought, billed integration.Entity
	for _, e := range integrationtest.Whole() {
		switch e.Value.(type) {
		case *canonical.Customer:
			bought = e
		case *canonical.Invoice:
			billed = e
		}
	}
	known := map[string]string{}
	customers := make([]string, 2)
	for i := range customers {
		bought.Value.(*canonical.Customer).DBAName = fmt.Sprint("Shipper ", i)
		op := l.operation(record.NewID("revenova", fmt.Sprint("customer", i)), record.VerbUpsert, bought, known, nil)
		made, err := l.do(op)
		if err != nil {
			t.Fatal(err)
		}
		customers[i], known[op.Object] = made.ID, made.ID
	}
	object := l.app.Map.Of(canonical.TMSCustomer)
	invoiceFor := func(customer string, applied *integration.Remote, last []byte) integration.Operation {
		known[object] = customer
		op := l.operation("revenova:invoice", record.VerbUpsert, billed, known, applied)
		op.AppliedPayload = last
		return op
	}
	first := invoiceFor(customers[0], nil, nil)
	made, err := l.do(first)
	if err != nil {
		t.Fatal(err)
	}
	var shown struct{ Balance json.Number }
	if err := json.Unmarshal(made.Body, &shown); err != nil {
		t.Fatal(err)
	}
	paid := l.person(http.MethodPost, company+"/payment", fmt.Sprintf(`{"CustomerRef":{"value":%q},"TotalAmt":%[2]s,"Line":[{"Amount":%[2]s,"LinkedTxn":[{"TxnId":%[3]q,"TxnType":"Invoice"}]}]}`,
		customers[0], shown.Balance, made.ID))["Payment"].(map[string]any)

	_, err = l.do(invoiceFor(customers[1], made, first.Payload))
	f := fault.Of(err)
	if f == nil || f.Class != fault.Business || f.Code != "qbo_6000" || !strings.Contains(f.Remedy, "Payment "+paid["Id"].(string)) || !strings.Contains(f.Error(), "customer") {
		t.Fatalf("another customer of a paid invoice: %v, want a refusal in QuickBooks' words that names the payment", err)
	}
	// The same customer: nothing is refused, though the SyncToken went up.
	same, err := l.do(invoiceFor(customers[0], made, first.Payload))
	if err != nil {
		t.Fatalf("an update of a paid invoice: %v", err)
	}
	l.person(http.MethodPost, company+"/payment?operation=delete", fmt.Sprintf(`{"Id":%q,"SyncToken":"0"}`, paid["Id"]))
	now, err := l.do(invoiceFor(customers[1], same, first.Payload))
	if err != nil || now.ID != made.ID {
		t.Errorf("after the payment was taken off: %+v, %v", now, err)
	}
}
