package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/tests/parts"
	"github.com/fluxnex/fluxnex/tests/torture"
)

// pairs are loads and their invoices; a fifth of the loads change their bill-to.
type pairs struct {
	p         *platform
	rng       *rand.Rand
	n         int
	customers int
	saves     []saved
	expected  []int // the customer each invoice ends with
}

// patient keeps the fetcher out of it: a wake that is lost stays lost.
func patient() []string { return []string{"FLUXNEX_FETCH_DELAY=1h"} }

func newPairs(t testing.TB, p *platform, n int) *pairs {
	t.Helper()
	s := seed(t)
	x := &pairs{p: p, rng: rand.New(rand.NewPCG(s, 5)), n: n, customers: 10, expected: make([]int, n)}
	x.plan()
	p.invoicing(t)
	all := map[string]map[string]string{}
	for i := range x.customers {
		all[recordID(i)] = aCustomer(fmt.Sprintf("Shipper %d", i))
	}
	// What is routed before the new routes are known is not routed afterwards.
	tries := 0
	awaitFor(t, patience, "the customers are at QuickBooks", func() (bool, string) {
		if tries++; tries%40 == 1 {
			p.tell(t, accountObject, at.Add(time.Duration(tries)*time.Second), all)
		}
		n := len(p.documents(t, "Customer"))
		return n == x.customers, fmt.Sprint(n)
	})
	return x
}

type saved struct {
	object, id string
	stamp      time.Time
	fields     map[string]string
}

func (x *pairs) plan() {
	for i := range x.n {
		first := x.rng.IntN(x.customers)
		x.expected[i] = first
		x.saves = append(x.saves,
			saved{invoiceObject, invoiceID(i), at, anInvoice(fmt.Sprintf("INV-%d", i), loadID(i))},
			saved{loadObject, loadID(i), at, aLoad(fmt.Sprintf("L-%d", i), recordID(first))})
		if x.rng.IntN(5) == 0 {
			x.expected[i] = x.rng.IntN(x.customers)
			x.saves = append(x.saves, saved{loadObject, loadID(i), at.Add(time.Hour), aLoad(fmt.Sprintf("L-%d", i), recordID(x.expected[i]))})
		}
	}
}

// hold puts every load into the source as it is at last, so that a fetch finds
// it.
func (x *pairs) hold(t testing.TB) {
	t.Helper()
	for _, s := range x.saves {
		if s.object == loadObject {
			fields := maps.Clone(s.fields)
			fields["SystemModstamp"] = s.stamp.Format(torture.StampLayout)
			x.p.hold(t, s.object, s.id, fields)
		}
	}
}

// send sends every save once, in one random order, in messages of random sizes
// after random delays, over the time given.
func (x *pairs) send(t testing.TB, spread time.Duration) {
	t.Helper()
	saves := x.saves
	x.rng.Shuffle(len(saves), func(i, j int) { saves[i], saves[j] = saves[j], saves[i] })
	total, began := len(saves), time.Now()
	for len(saves) > 0 {
		most, object, stamp := 1+x.rng.IntN(30), saves[0].object, saves[0].stamp
		// Twice the message's share of the time at most, and never behind it.
		share := spread * time.Duration(most) / time.Duration(total)
		behind := spread * time.Duration(total-len(saves)) / time.Duration(total)
		due := time.NewTimer(behind + time.Duration(x.rng.Int64N(int64(2*share)+1)) - time.Since(began))
		<-due.C
		message, rest := map[string]map[string]string{}, saves[:0]
		for i, s := range saves {
			if len(message) == most {
				rest = append(rest, saves[i:]...)
				break
			}
			if s.object == object && s.stamp.Equal(stamp) {
				message[s.id] = s.fields
				continue
			}
			rest = append(rest, s)
		}
		saves = rest
		x.p.tell(t, object, stamp, message)
	}
}

// settled waits until every invoice is billed to whom its load says at last.
func (x *pairs) settled(t testing.TB, limit time.Duration) {
	t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	began := time.Now()
	for {
		names := map[string]string{}
		for _, c := range x.p.documents(t, "Customer") {
			names[c.ID] = c.DisplayName
		}
		billed := map[string]string{}
		for _, v := range x.p.documents(t, "Invoice") {
			billed[v.DocNumber] = names[v.CustomerRef.Value]
		}
		var wrong []string
		for i, want := range x.expected {
			if got := billed[fmt.Sprintf("INV-%d", i)]; got != fmt.Sprintf("Shipper %d", want) {
				wrong = append(wrong, fmt.Sprintf("INV-%d to %q, not Shipper %d", i, got, want))
			}
		}
		if len(wrong) == 0 {
			t.Logf("%d pairs right after another %s", x.n, time.Since(began).Round(100*time.Millisecond))
			break
		}
		if time.Since(began) > limit {
			t.Fatalf("%d of %d invoices are wrong: %s\n%s", len(wrong), x.n, strings.Join(wrong[:min(5, len(wrong))], "; "), tailOf(x.p.run(t, "waiting"), 5))
		}
		<-tick.C
	}
	if rows := x.p.rows(t, "waiting"); len(rows) != 0 {
		t.Errorf("%d still wait: %s", len(rows), show(rows[:1]))
	}
}

func tailOf(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// TestParentsAndChildrenInEveryOrder: no wake is lost, and nothing would make
// up for one.
func TestParentsAndChildrenInEveryOrder(t *testing.T) {
	parts.EachKafka(t, func(t *testing.T, cluster parts.Cluster) {
		p := install(t, cluster, shape{env: patient()})
		x := newPairs(t, p, records(t))
		x.send(t, time.Duration(x.n)*2*time.Millisecond)
		x.settled(t, patience+time.Duration(x.n)*20*time.Millisecond)
	})
}

// TestParentsAndChildrenWhileStagesAreKilled every few seconds, with the fetcher
// and the sweeps at work: a stage that is started again goes on in its old
// place, at once.
func TestParentsAndChildrenWhileStagesAreKilled(t *testing.T) {
	parts.EachKafka(t, func(t *testing.T, cluster parts.Cluster) {
		p := install(t, cluster, shape{})
		x := newPairs(t, p, records(t))
		x.hold(t)
		n := torture.NewNemesis(x.rng.Uint64())
		storm, calm := context.WithCancel(t.Context())
		var took []time.Duration
		ended := make(chan error, 1)
		go func() {
			var err error
			took, err = killStages(storm, n, p.all["replica"][0], p.all["normalizer"][0])
			ended <- err
		}()
		x.send(t, 20*time.Second+time.Duration(x.n)*5*time.Millisecond)
		calm()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		judgeResumes(t, took)
		x.settled(t, 2*patience+time.Duration(x.n)*20*time.Millisecond)
	})
}

// TestManyInvoicesOfOneMissingLoadAreOneFetch, whatever their number.
func TestManyInvoicesOfOneMissingLoadAreOneFetch(t *testing.T) {
	p := install(t, parts.Kafka(t), shape{})
	p.invoicing(t)
	n := records(t)
	p.hold(t, accountObject, recordID(1), aCustomer("Shipper One"))
	p.hold(t, loadObject, loadID(1), aLoad("L-1", recordID(1)))
	invoices := map[string]map[string]string{}
	for i := range n {
		invoices[invoiceID(i)] = anInvoice(fmt.Sprintf("INV-%d", i), loadID(1))
	}
	p.tell(t, invoiceObject, at, invoices)
	awaitFor(t, patience+time.Duration(n)*20*time.Millisecond, "all invoices are at QuickBooks", func() (bool, string) {
		have := len(p.documents(t, "Invoice"))
		return have == n, fmt.Sprint(have)
	})
	if ids := p.asked(t, loadObject, "retrieve"); len(ids) != 1 {
		t.Errorf("the load of %d invoices was asked for %d times", n, len(ids))
	}
	if ids := p.asked(t, accountObject, "retrieve"); len(ids) != 1 {
		t.Errorf("their customer was asked for %d times", len(ids))
	}
}
