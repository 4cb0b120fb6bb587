package sandbox_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/sandbox"
)

// TestAPaymentSettlesItsInvoiceAndFixesItsCustomer until it is deleted.
func TestAPaymentSettlesItsInvoiceAndFixesItsCustomer(t *testing.T) {
	b := start(t, sandbox.Config{})
	payer, other := b.create("Customer", object{"DisplayName": "Shipper One"}), b.create("Customer", object{"DisplayName": "Shipper Two"})
	ref := func(party object) object { return object{"value": party["Id"]} }
	lines := []object{{"Amount": 100.0, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": object{"ItemRef": object{"value": "1"}}}}
	invoice := b.create("Invoice", object{"CustomerRef": ref(payer), "DocNumber": "INV-1", "Line": lines})
	pay := func(customer object, total, applied float64) object {
		return object{"CustomerRef": ref(customer), "TotalAmt": total, "Line": []object{{"Amount": applied, "LinkedTxn": []object{{"TxnId": invoice["Id"], "TxnType": "Invoice"}}}}}
	}
	b.refused("6000", http.MethodPost, "payment", pay(other, 10, 10))
	b.refused("6000", http.MethodPost, "payment", pay(payer, 100, 100.01))
	b.refused("6000", http.MethodPost, "payment", pay(payer, 10, 20))
	b.refused("2020", http.MethodPost, "payment", object{"CustomerRef": ref(payer)})

	payment := b.create("Payment", pay(payer, 70, 60))
	if got := fmt.Sprintf("%v %v", payment["TotalAmt"], payment["UnappliedAmt"]); got != "70.00 10.00" {
		t.Errorf("total and unapplied: %s", got)
	}
	read := func() object {
		return b.qb(200, http.MethodGet, "invoice/"+invoice["Id"].(string), nil)["Invoice"].(object)
	}
	now := read()
	if got := fmt.Sprintf("%v %v %v %d", now["TotalAmt"], now["Balance"], now["SyncToken"], len(now["LinkedTxn"].([]any))); got != "100.00 40.00 1 1" {
		t.Errorf("total, balance, SyncToken and links of the invoice: %s", got)
	}
	update := func(token any, customer object, note string) object {
		return object{"Id": invoice["Id"], "SyncToken": token, "sparse": true, "CustomerRef": ref(customer), "PrivateNote": note}
	}
	b.refused("5010", http.MethodPost, "invoice", update("0", payer, "of before the payment"))
	if detail := b.refused("6000", http.MethodPost, "invoice", update("1", other, "another customer")); !strings.Contains(detail, "customer") {
		t.Errorf("refused with %q", detail)
	}
	if got := b.create("Invoice", update("1", payer, "a note")); fmt.Sprint(got["Balance"]) != "40.00" || got["SyncToken"] != "2" {
		t.Errorf("another field: %v", got)
	}
	b.refused("500", http.MethodPost, "payment", object{"Id": payment["Id"], "SyncToken": "0", "sparse": true, "PrivateNote": "x"})

	b.qb(200, http.MethodPost, "payment?operation=delete", object{"Id": payment["Id"], "SyncToken": "0"})
	if now = read(); fmt.Sprintf("%v %d", now["Balance"], len(now["LinkedTxn"].([]any))) != "100.00 0" {
		t.Errorf("after the payment was deleted: %v", now)
	}
	b.create("Invoice", update(now["SyncToken"], other, "free again"))
	// Versions have no gaps: what a payment does to its invoice has a line.
	var versions []string
	for _, l := range b.ledger("object=Invoice") {
		if l.Applied {
			versions = append(versions, l.Op+" "+l.Before+">"+l.After)
		}
	}
	if got := strings.Join(versions, ", "); got != "create >0, payment 0>1, update 1>2, payment 2>3, update 3>4" {
		t.Errorf("the invoice's versions: %s", got)
	}
}
