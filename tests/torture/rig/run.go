package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// editsPerRecord is what an average record of a plan is sent as: three edits,
// each twice and some a third time.
const editsPerRecord = 6

// Result is what came of a run.
type Result struct {
	Config    Config
	Started   time.Time
	Summary   torture.Summary
	Report    torture.Report
	Deeds     []torture.Deed
	Exits     map[string]int // processes that ended by themselves
	Timeline  Timeline
	Latency   string            // percentiles over time, a table
	Beside    torture.Invariant // I10
	Drained   time.Duration     // after the last fault and the last message; 0: not within the limit
	Kills     map[string]int
	Lag       int64 // left in the groups in the end
	Injected  int   // poison
	Letters   int
	Repeats   int // writes applied again as the same request
	Complaint []string
	Saw       []string  // of faults with promises of their own
	Expired   time.Time // when all access tokens at QuickBooks ended, after the drain
	// Wrong are violations beside the checker's.
	Wrong []string
}

// Right reports whether every invariant held.
func (r *Result) Right() bool { return r.Report.Right() && len(r.Wrong) == 0 }

// Run installs the platform, loads it while it is hurt, waits until all is
// quiet, and judges. An error means that the run itself failed: it proves
// nothing.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	r, err := install(ctx, cfg)
	if err != nil {
		return nil, err
	}
	res, err := r.torture(ctx)
	wrong := err != nil || !res.Right()
	// What cannot be stopped after a judgement is said, not judged.
	if end := r.stop(wrong); end != nil && res != nil {
		res.Complaint = append(res.Complaint, end.Error())
	}
	return res, err
}

func (r *Rig) torture(ctx context.Context) (*Result, error) {
	records := max(r.cfg.Events/editsPerRecord, r.cfg.Tenants)
	plan := torture.NewPlan(r.cfg.Seed, r.tenants, torture.Size{
		Records: records, DeleteShare: 0.05, TieShare: 0.02, PartialShare: 0.1, Documents: true, Probes: true,
	})
	acts := schedule(&r.cfg)
	load := torture.Load{
		Plan: plan, Gateways: r.gateways(), Senders: 8, Spread: r.cfg.Duration, Timeout: 5 * time.Second, Pause: 200 * time.Millisecond, Hold: r.hold,
	}
	if err := r.prepareFlood(acts, &load); err != nil {
		return nil, err
	}
	for _, h := range plan.Held() {
		if err := r.hold(ctx, h); err != nil {
			return nil, err
		}
	}
	file, err := os.Create(filepath.Join(r.dir, "intents.ndjson"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	load.Log = file
	if r.burst != nil {
		r.burst.Log = file
	}
	res := &Result{Config: r.cfg, Started: time.Now(), Kills: map[string]int{}}
	r.cfg.Log.Info("load and faults begin", slog.Int("records", records), slog.Int("faults", len(acts)), slog.Uint64("seed", r.cfg.Seed))

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	hurt := make(chan error, 1)
	go func() {
		err := r.inflict(ctx, acts, cancel)
		if r.extra != nil && err == nil {
			err = r.extra(ctx)
		}
		if err != nil {
			cancel(err) // a load without its faults proves nothing
		}
		hurt <- err
	}()
	if r.traffic != nil {
		res.Summary, err = r.slowly(ctx, load)
	} else {
		res.Summary, err = load.Run(ctx)
	}
	if err := errors.Join(err, <-hurt); err != nil {
		return nil, errors.Join(err, context.Cause(ctx))
	}
	if r.burst != nil {
		sum := r.burstSum
		res.Summary.Messages, res.Summary.Acked, res.Summary.Attempts = res.Summary.Messages+sum.Messages, res.Summary.Acked+sum.Acked, res.Summary.Attempts+sum.Attempts
		res.Summary.Notifications += sum.Notifications
	}
	if err := file.Sync(); err != nil {
		return nil, err
	}
	r.cfg.Log.Info("faults are over, all messages are acknowledged", slog.Int("messages", res.Summary.Messages), slog.Int("attempts", res.Summary.Attempts), slog.Duration("took", res.Summary.Took))
	if _, err := r.drain(ctx, plan, res, r.cfg.Drain); err != nil {
		return nil, err
	}
	ev, err := r.probe(ctx, &load, res)
	if err != nil {
		return nil, err
	}
	if err := r.judge(ctx, ev, res); err != nil {
		return nil, err
	}
	return res, nil
}

// drain waits until every record is in its last state and the destinations are
// quiet, or until nothing moves any more, or the limit.
func (r *Rig) drain(ctx context.Context, plan *torture.Plan, res *Result, limit time.Duration) (torture.Evidence, error) {
	const quiet = 3 * time.Second
	stuck := r.cfg.Settle * 4 / 3 // what a call waits for takes longer than a view
	ev := torture.Evidence{Plan: plan}
	intents, err := readIntents(filepath.Join(r.dir, "intents.ndjson"))
	if err != nil {
		return ev, err
	}
	ev.Intents = intents
	began, moved, judged := time.Now(), time.Now(), -1
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		more, err := r.ledgerSince(ctx, ev.Ledger)
		if err != nil {
			return ev, err
		}
		if len(more) > 0 {
			ev.Ledger, moved = append(ev.Ledger, more...), time.Now()
		}
		still := time.Since(moved)
		over := time.Since(began) > limit || still > stuck
		if over || still > quiet && judged != len(ev.Ledger) {
			judged = len(ev.Ledger)
			if ev.Objects, err = r.objects(ctx); err != nil {
				return ev, err
			}
			res.Report = torture.Check(ev, torture.Tolerance{Inversions: true})
			if res.Report.Right() {
				res.Drained = max(moved.Sub(began), time.Millisecond)
				return ev, nil
			}
			r.cfg.Log.Info("not yet right", slog.Int("violations", len(res.Report.Violations)), slog.Duration("after", time.Since(began)), slog.String("first", first(&res.Report)))
		}
		if over {
			return ev, nil
		}
		select {
		case <-ctx.Done():
			return ev, ctx.Err()
		case <-tick.C:
		}
	}
}

// first is one violation of a report, in a few words.
func first(r *torture.Report) string {
	v := r.Violations[0]
	return fmt.Sprintf("%s, record %d at %s: %s", v.Kind, v.Record, v.App, v.What)
}

// judge adds what is not the checker's.
func (r *Rig) judge(ctx context.Context, ev torture.Evidence, res *Result) error {
	r.mu.Lock()
	res.Deeds, res.Exits, res.Injected, res.Complaint = r.deeds, r.exits, len(r.injected), r.complaints
	r.mu.Unlock()
	for _, d := range res.Deeds {
		if d.What == "F1 SIGKILL" {
			res.Kills[strings.TrimRight(d.Victim, "0123456789")]++
		}
	}
	res.Timeline = newTimeline(ev, res.Started)
	res.Latency = torture.NewLatencies(&ev).Table(res.Started, res.Summary.Took)
	beside, held := ev.Neighbourly(r.neighbours(res.Deeds), r.cfg.alone())
	if res.Beside = beside; !held {
		res.Wrong = append(res.Wrong, "I10: "+beside.Seen)
	}
	res.Repeats = repeats(ev.Ledger)
	// C6: what a crash or a lost answer may send twice.
	ambiguous := 0
	for _, l := range ev.Ledger {
		if !l.Replied || l.Status >= 500 || l.Status == 0 {
			ambiguous++
		}
	}
	if bound := ambiguous + inFlight*(res.Kills["delivery"]+len(res.Deeds)); res.Repeats > bound {
		res.Wrong = append(res.Wrong, fmt.Sprintf("I4: %d writes were repeated, the bound is %d", res.Repeats, bound))
	}
	r.judgeOutages(ev.Ledger, res)
	if res.Drained == 0 {
		res.Wrong = append(res.Wrong, fmt.Sprintf("I1: not right within %s after the last fault", r.cfg.Drain))
	}
	settle := r.cfg.Settle
	if res.Drained == 0 {
		settle = time.Second // the verdict stands
	}
	if err := r.look(ctx, &ev, res, settle); err != nil {
		return err
	}
	if err := awaitFor(ctx, settle, "no group is behind", func() (bool, string) {
		lag, behind, err := r.lag(ctx)
		res.Lag = lag
		return err == nil && lag == 0, fmt.Sprint(behind, " ", err)
	}); err != nil {
		res.Wrong = append(res.Wrong, "I8: "+err.Error())
	}
	letters, wrong, err := r.letters(ctx)
	if err != nil {
		return err
	}
	res.Letters = letters
	for _, w := range wrong {
		res.Wrong = append(res.Wrong, "I9: "+w)
	}
	if len(wrong) > 0 || !res.Right() {
		return r.keepLedger(ev.Ledger)
	}
	return nil
}

// inFlight is the default of FLUXNEX_DELIVERY_IN_FLIGHT.
const inFlight = 256

// repeats counts writes that were applied again as the same request, with
// nothing in between: two edits that share a stamp may show each other again.
// Nobody but the rig writes to Salesforce.
func repeats(ledger []torture.Line) int {
	type object struct{ app, account, kind, id string }
	type request struct{ request, digest string }
	last := map[object]request{}
	n := 0
	for _, l := range ledger {
		if !l.Applied || l.ID == "" || l.App == "salesforce" {
			continue
		}
		at, now := object{l.App, l.Account, l.Object, l.ID}, request{l.RequestID, l.Digest}
		if before, known := last[at]; known && before == now {
			n++
		}
		last[at] = now
	}
	return n
}

// lag sums what `fluxnex lag` shows, and says who is behind.
func (r *Rig) lag(ctx context.Context) (sum int64, behind string, err error) {
	out, err := r.run(ctx, "lag", "-o", "json")
	if err != nil {
		return 0, "", err
	}
	var lines []struct {
		Service, Topic string
		Lag            int64
	}
	if err := json.Unmarshal([]byte(out), &lines); err != nil {
		return 0, "", fmt.Errorf("lag: %w: %s", err, out)
	}
	for _, l := range lines {
		sum += l.Lag
		if l.Lag > 0 {
			behind += fmt.Sprintf("%s is %d records behind on %s; ", l.Service, l.Lag, l.Topic)
		}
	}
	return sum, behind, nil
}

func readIntents(path string) ([]torture.Intent, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return torture.ReadIntents(file)
}

func (r *Rig) ledgerSince(ctx context.Context, have []torture.Line) ([]torture.Line, error) {
	last := uint64(0)
	if n := len(have); n > 0 {
		last = have[n-1].Seq
	}
	text, err := r.ask(ctx, http.MethodGet, fmt.Sprintf("/_sandbox/ledger?since=%d", last), nil)
	if err != nil {
		return nil, err
	}
	return torture.ReadLedger(strings.NewReader(text))
}

// objects are what is in all destinations, what is out of use included.
func (r *Rig) objects(ctx context.Context) ([]torture.Object, error) {
	var out []torture.Object
	for _, t := range r.tenants {
		for _, d := range t.Destinations() {
			text, err := r.ask(ctx, http.MethodGet, "/_sandbox/"+d.App+"/"+d.Account+"/"+d.Object, nil)
			if err != nil {
				return nil, err
			}
			list, err := torture.ReadObjects(d.App, d.Account, d.Object, strings.NewReader(text))
			if err != nil {
				return nil, err
			}
			out = append(out, list...)
		}
	}
	return out, nil
}

func (r *Rig) keepLedger(ledger []torture.Line) error {
	file, err := os.Create(filepath.Join(r.dir, "ledger.ndjson"))
	if err != nil {
		return err
	}
	return errors.Join(writeLines(file, ledger), file.Close())
}

func writeLines(w io.Writer, ledger []torture.Line) error {
	enc := json.NewEncoder(w)
	for i := range ledger {
		if err := enc.Encode(&ledger[i]); err != nil {
			return err
		}
	}
	return nil
}

// hold gives a tenant's Salesforce org a record, of which it tells nobody.
func (r *Rig) hold(ctx context.Context, h torture.Held) error {
	_, err := r.ask(ctx, http.MethodPut, "/_sandbox/salesforce/"+h.Organization+"/"+h.Object+"/"+h.ID, h.Fields)
	return err
}
