package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/services/console"
)

const (
	demoTenant  = "envoy"
	demoSlug    = "envoylogistics"
	demoTimeout = 60 * time.Second
)

func newDemoCommand(e *environment) *cobra.Command {
	var o devOptions
	var once bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Start everything and follow one account from Salesforce to QuickBooks and HubSpot",
		Args:  withArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			began := time.Now()
			fmt.Fprintln(e.out, "Starting an embedded Kafka broker, schema registry, PostgreSQL, Redis, the sandbox and all services …")
			return e.dev(c.Context(), o, func(ctx context.Context, d *devPlatform) error {
				fmt.Fprintf(e.out, "Up after %s (%s).\n\n", age(time.Since(began)), d.parts.PostgresKind)
				if err := d.demo(ctx, e.out); err != nil {
					return err
				}
				if once {
					return nil
				}
				d.describe(e.out)
				<-ctx.Done()
				fmt.Fprintln(e.out, "\nStopping. Started again, it goes on where it was.")
				return nil
			})
		},
	}
	c.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "log to the terminal instead of FLUXNEX_DATA_DIR/dev.log")
	c.Flags().BoolVar(&once, "once", false, "stop after the journey")
	c.AddCommand(newDemoMissingCommand(e), newDemoEditCommand(e))
	return c
}

// demo loads the example tenant, posts the message, and shows the journey.
func (d *devPlatform) demo(ctx context.Context, out io.Writer) error {
	changed, err := d.loadExample(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Tenant %s: %s\n", demoSlug, changed)
	if err := d.awaitTenant(ctx); err != nil {
		return err
	}
	message := acmeTrucking(exampleOrganization, demoModified)
	id := record.NewID("revenova", message.ID)
	return withTracer(ctx, d.cfg, discardLogger(), func(t *console.Tracer, _ *postgres.DB) error {
		before, err := t.Trace(ctx, demoTenant, id)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\nPOST /webhooks/revenova/%s?key=…   an outbound message: Account \"Acme Trucking\", Type Vendor\n", demoSlug)
		sent := time.Now()
		answer, err := d.post(ctx, message.soap())
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "  %s after %s\n\n", answer, age(time.Since(sent)))
		if before != nil && arrived(before) {
			fmt.Fprintln(out, "Acme Trucking has been here before: the same state again changes nothing anywhere.")
			fmt.Fprintln(out)
			printJourney(out, before)
			fmt.Fprintln(out)
			return d.whatNext(out)
		}
		last, err := follow(ctx, out, t, id, time.Time{}, arrived)
		if err != nil {
			return err
		}
		fmt.Fprintln(out)
		printJourney(out, last)
		fmt.Fprintln(out)
		return d.whatNext(out)
	})
}

// demoModified is the demo account's SystemModstamp: fixed, so that a second
// demo sends the very same state.
var demoModified = time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant of a type that Go has no constants for

func (d *devPlatform) webhookURL() string {
	return d.gateway + "/webhooks/revenova/" + demoSlug + "?key=" + url.QueryEscape(d.secrets.WebhookKey)
}

// post sends the message as Salesforce does and says how it was answered.
func (d *devPlatform) post(ctx context.Context, body []byte) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.webhookURL(), bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	req.Header.Set("SOAPAction", `""`)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK || !bytes.Contains(text, []byte("<Ack>true</Ack>")) {
		return "", fmt.Errorf("the gateway answered %s: %s", res.Status, text)
	}
	return res.Status + ", <Ack>true</Ack>: stored and acknowledged by the broker", nil
}

// awaitTenant waits until the services know the tenant.
func (d *devPlatform) awaitTenant(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		// An empty body of a known tenant is refused, but not with 404.
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.gateway+"/webhooks/revenova/"+demoSlug, http.NoBody)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode != http.StatusNotFound {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the gateway does not know tenant %s yet: %w", demoSlug, ctx.Err())
		}
	}
}

// arrived reports whether every target has the record's newest state.
func arrived(j *console.Journey) bool {
	for _, t := range j.Targets {
		if t.Status != postgres.StatusDone || t.DestinationID == "" {
			return false
		}
	}
	return len(j.Targets) >= 2
}

// follow prints each step of the journey as it happens, of what was received
// after a time.
func follow(ctx context.Context, out io.Writer, t *console.Tracer, id record.ID, after time.Time, done func(*console.Journey) bool) (*console.Journey, error) {
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	shown := map[string]bool{}
	show := func(key, format string, args ...any) {
		if !shown[key] {
			shown[key] = true
			fmt.Fprintf(out, "  "+format+"\n", args...)
		}
	}
	var last *console.Journey
	for {
		j, err := t.Trace(ctx, demoTenant, id)
		if err != nil {
			return last, err
		}
		if j != nil && j.Lineage.ReceivedAt.After(after) {
			last = j
			received := j.Lineage.ReceivedAt
			since := func(at time.Time) string { return "+" + age(at.Sub(received)) }
			show("gateway", "L1 gateway     %-38s %8s  %s", place(&j.Gateway), "+0ms", j.Lineage.GatewayID)
			if r := j.Replica; r != nil {
				show("replica", "L2 replica     %-38s %8s  %s, %d fields", place(r.Place), since(r.At), r.EntityType, r.Fields)
			}
			if c := j.Canonical; c != nil {
				if c.Status == record.StatusWaiting {
					show("waiting"+c.Detail, "L3 normalizer  %-38s %8s  %s", place(c.Place), since(c.At), c.Detail)
				}
				for _, e := range c.Entities {
					show("canonical"+e.Entity, "L3 normalizer  %-38s %8s  %s %s", place(c.Place), since(c.At), e.Entity, e.CanonicalID)
				}
			}
			for _, s := range j.Targets {
				if j.Replica != nil && s.Desired != j.Replica.Revision {
					continue // of an earlier state
				}
				show("router"+s.Target, "L4 router      %-38s %8s  %s %s at %q", place(&s.Place), since(routed(s)), s.Verb, s.Type, s.Target)
			}
			for _, s := range j.Targets {
				if len(s.WaitsFor) > 0 {
					show("reference"+s.Target, "L5 delivery    %-38s %8s  waits for %s", "row "+s.Object+" at "+s.RemoteAccount, since(s.WaitingSince), strings.Join(s.WaitsFor, ", "))
				}
				if s.DestinationID != "" && s.Applied == s.Desired && (j.Replica == nil || s.Desired == j.Replica.Revision) {
					show("delivery"+s.Target, "L5 delivery    %-38s %8s  %s %s %s", "row "+s.Object+" at "+s.RemoteAccount, since(s.AppliedAt), s.App, s.Type, s.DestinationID)
				}
			}
			if done(j) {
				return j, nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if last != nil {
				printJourney(out, last)
			}
			return last, fmt.Errorf("the record did not arrive within %s: see the log", demoTimeout)
		}
	}
}

func (d *devPlatform) whatNext(out io.Writer) error {
	exe, err := os.Executable()
	if err != nil {
		exe = "fluxnex"
	}
	fmt.Fprintf(out, "See it heal, in another terminal:\n\n  make demo-missing   an invoice arrives without its load\n  make demo-edit      a bookkeeper edits the vendor\n\nTry next, with the variables below set:\n\n")
	fmt.Fprintf(out, "  %s trace %s \"Acme Trucking\"\n", exe, demoSlug)
	fmt.Fprintf(out, "  %s trace %s \"Acme Trucking\" --raw\n", exe, demoSlug)
	fmt.Fprintf(out, "  curl %s/_sandbox/quickbooks/%s/Vendor\n", d.sandbox, exampleRealm)
	fmt.Fprintf(out, "  curl %s/_sandbox/ledger\n", d.sandbox)
	fmt.Fprintf(out, "  %s get connections; %s lag; %s notifications\n\n", exe, exe, exe)
	fmt.Fprintf(out, "Change a field in this and post it again (a newer SystemModstamp wins):\n\n  %s trace %s 0015g00000AbCdEAAV --raw\n\nThe webhook is %s\n\n", exe, demoSlug, d.webhookURL())
	return nil
}
