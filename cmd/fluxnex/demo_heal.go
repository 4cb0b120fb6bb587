package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/sandbox/salesforce"
	"github.com/fluxnex/fluxnex/services/console"
)

// newDemoMissingCommand shows an invoice that arrives before its load.
func newDemoMissingCommand(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "missing",
		Short: "On the running demo: an invoice arrives without its load",
		Args:  withArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return e.onDemo(c.Context(), (*devPlatform).demoMissing)
		},
	}
}

// newDemoEditCommand shows an edit at the destination.
func newDemoEditCommand(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "edit",
		Short: "On the running demo: a bookkeeper edits the vendor in QuickBooks",
		Args:  withArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return e.onDemo(c.Context(), (*devPlatform).demoEdit)
		},
	}
}

func (e *environment) onDemo(ctx context.Context, show func(*devPlatform, context.Context, io.Writer, *console.Tracer) error) error {
	d, err := e.attach()
	if err != nil {
		return err
	}
	err = withTracer(ctx, d.cfg, discardLogger(), func(t *console.Tracer, _ *postgres.DB) error {
		return show(d, ctx, e.out, t)
	})
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("the demo of %s does not run: start it with `make demo` in another terminal", d.cfg.DataDir)
	}
	return err
}

// sandboxCall makes one call to the sandbox's own pages.
func (d *devPlatform) sandboxCall(ctx context.Context, method, path string, body, answer any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, d.sandbox+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return err
	}
	if res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, text)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}

// demoID makes an id that no earlier run used, 18 characters with its check.
func demoID(prefix string, now time.Time) string {
	return salesforce.ID18(fmt.Sprintf("%s5g00%07d", prefix, now.Unix()%10_000_000))
}

func (d *devPlatform) demoMissing(ctx context.Context, out io.Writer, t *console.Tracer) error {
	now := time.Now()
	number := fmt.Sprintf("INV-%d", now.Unix()%100_000)
	account, load, invoice := demoID("0015", now), demoID("a0L5", now), demoID("a1I5", now)
	stamp := now.UTC().Format("2006-01-02T15:04:05.000Z")
	customer := "Blue Mesa Foods " + number[len("INV-"):]
	for _, o := range []struct {
		object, id string
		fields     map[string]string
	}{
		{"Account", account, map[string]string{"Name": customer, "rtms__TMS_Type__c": "Customer", "BillingCity": "Santa Fe", "SystemModstamp": stamp}},
		{"rtms__Load__c", load, map[string]string{"Name": "L-" + number, "rtms__Bill_To__c": account, "rtms__Customer__c": account, "rtms__Load_Status__c": "Delivered", "SystemModstamp": stamp}},
	} {
		if err := d.sandboxCall(ctx, http.MethodPut, "/_sandbox/salesforce/"+exampleOrganization+"/"+o.object+"/"+o.id, o.fields, nil); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "In Salesforce there are load L-%s and its bill-to account %q. FluxNex has heard of neither.\n", number, customer)
	message := outboundMessage{
		Object: "rtms__CustomerInvoice__c", Organization: exampleOrganization, Notification: demoID("04l5", now), ID: invoice,
		Fields: [][2]string{
			{"Name", number},
			{"SystemModstamp", stamp},
			{"rtms__Invoice_Date__c", now.Format(time.DateOnly)},
			{"rtms__Invoice_Status__c", "Approved"},
			{"rtms__Invoice_Total__c", "1250.0"},
			{"rtms__Load__c", load},
			{"rtms__Net_Line_Haul__c", "1250.0"},
		},
	}
	fmt.Fprintf(out, "\nPOST /webhooks/revenova/%s?key=…   an outbound message: customer invoice %s of that load\n", demoSlug, number)
	answer, err := d.post(ctx, message.soap())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  %s\n\nThe invoice:\n", answer)
	last, err := follow(ctx, out, t, record.NewID("revenova", invoice), time.Time{}, delivered)
	if err != nil {
		return err
	}
	for _, parent := range []struct{ what, id string }{{"The load, fetched because the invoice needs it", load}, {"Its bill-to account, fetched because QuickBooks needs the customer", account}} {
		fmt.Fprintf(out, "\n%s:\n\n", parent.what)
		j, err := t.Trace(ctx, demoTenant, record.NewID("revenova", parent.id))
		if err != nil {
			return err
		}
		if j != nil {
			printJourney(out, j)
		}
	}
	fmt.Fprintf(out, "\nThe invoice, in the end:\n\n")
	printJourney(out, last)
	return nil
}

// delivered reports whether every target that wants the record has it.
func delivered(j *console.Journey) bool {
	if len(j.Targets) == 0 {
		return false
	}
	for _, t := range j.Targets {
		if t.Status != postgres.StatusDone {
			return false
		}
	}
	return true
}

func (d *devPlatform) demoEdit(ctx context.Context, out io.Writer, t *console.Tracer) error {
	now := time.Now()
	id := record.NewID("revenova", acmeTrucking(exampleOrganization, now).ID)
	before, err := t.Trace(ctx, demoTenant, id)
	if err != nil {
		return err
	}
	if before == nil || !arrived(before) {
		return errors.New("Acme Trucking has not arrived yet: wait for the first journey of `make demo`") //nolint:staticcheck // a name
	}
	vendor, version := "", ""
	for _, s := range before.Targets {
		if s.App == "quickbooks" {
			vendor, version = s.DestinationID, s.DestinationVersion
		}
	}
	phone := fmt.Sprintf("(775) 555-%04d", now.Unix()%10_000)
	fmt.Fprintf(out, "Acme Trucking is vendor %s in QuickBooks, at SyncToken %s.\n\nA bookkeeper opens it and sets the mobile number, which nobody syncs, and the phone, which Salesforce owns.\n", vendor, version)
	edit := map[string]any{
		"Mobile": map[string]any{"FreeFormNumber": "(775) 555-7777"}, "PrimaryPhone": map[string]any{"FreeFormNumber": "typed by hand"},
	}
	path := "/_sandbox/quickbooks/" + exampleRealm + "/Vendor/" + vendor
	if err := d.sandboxCall(ctx, http.MethodPost, path+"/edit", edit, nil); err != nil {
		return err
	}
	message := acmeTrucking(exampleOrganization, now)
	for i, f := range message.Fields {
		if f[0] == "Phone" {
			message.Fields[i][1] = phone
		}
	}
	fmt.Fprintf(out, "Then somebody changes the phone in Salesforce to %s.\n\nPOST /webhooks/revenova/%s?key=…   an outbound message\n", phone, demoSlug)
	answer, err := d.post(ctx, message.soap())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  %s\n\n", answer)
	last, err := follow(ctx, out, t, id, before.Lineage.ReceivedAt, func(j *console.Journey) bool { return arrived(j) && allApplied(j) })
	if err != nil {
		return err
	}
	var now2 struct {
		SyncToken    string
		Mobile       struct{ FreeFormNumber string }
		PrimaryPhone struct{ FreeFormNumber string }
	}
	if err := d.sandboxCall(ctx, http.MethodGet, path, nil, &now2); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nQuickBooks refused the update as stale; it was fetched, merged and sent again. The vendor is at SyncToken %s now:\n  mobile %s (the bookkeeper's, kept)\n  phone  %s (Salesforce's)\n\n", now2.SyncToken, now2.Mobile.FreeFormNumber, now2.PrimaryPhone.FreeFormNumber)
	printJourney(out, last)
	fmt.Fprintf(out, "\nThe vendor as it was found is a record of its own: `fluxnex trace %s quickbooks:Vendor:%s`\n", demoSlug, vendor)
	return nil
}

// allApplied reports whether every target has the newest state.
func allApplied(j *console.Journey) bool {
	for _, t := range j.Targets {
		if j.Replica == nil || t.Applied != j.Replica.Revision {
			return false
		}
	}
	return true
}
