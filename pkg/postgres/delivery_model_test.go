package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/integration"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// The row's machine against a model, under any order of events. A destination
// that keeps what arrives last stands in for one that checks no version.
func TestRowMachineUnderRandomEvents(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			b, _ := newBench(t)
			m := &rowModel{b: b, rnd: rand.New(rand.NewPCG(seed, 7))}
			for n := range 120 {
				m.step()
				if n%20 == 19 {
					m.settle()
				}
				if t.Failed() {
					t.Fatalf("after:\n%s", strings.Join(m.log, "\n"))
				}
			}
		})
	}
}

const modelLease = 40 * time.Millisecond

type rowModel struct {
	b        *bench
	rnd      *rand.Rand
	log      []string
	revision int64
	newest   *record.OutboundCommand // by revision, whatever order they came in
	holders  []*modelHolder          // whoever claimed and did not finish, frozen ones included
	doubt    string                  // request id whose outcome nobody knows
	remote   string                  // what the destination has
}

type modelHolder struct {
	row    *postgres.Row
	until  time.Time // its lease surely holds before
	stored bool
}

func (m *rowModel) say(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

func (m *rowModel) step() {
	switch n := m.rnd.IntN(10); {
	case n < 3:
		m.consume()
	case n < 6:
		m.claim()
	default:
		m.act()
	}
}

func (m *rowModel) consume() {
	m.revision++
	revision := m.revision
	if m.rnd.IntN(4) == 0 && revision > 3 {
		revision -= int64(m.rnd.IntN(3)) // late
	}
	verb := record.VerbUpsert
	if m.rnd.IntN(5) == 0 {
		verb = record.VerbWithdraw
	}
	c := command("A", revision, verb, fmt.Sprintf("%d at %d", revision, m.b.next))
	m.b.consume(c)
	// An equal revision with a greater offset wins, and this is always greater.
	if m.newest == nil || revision >= m.newest.Revision.Offset {
		m.newest = c
	}
	m.say("consume %s %d", verb, revision)
}

func (m *rowModel) claim() {
	lanes, err := m.b.d.DueLanes(m.b.t.Context())
	if err != nil {
		m.b.t.Fatal(err)
	}
	if len(lanes) == 0 {
		return
	}
	began := time.Now()
	rows, err := m.b.d.Claim(m.b.t.Context(), []postgres.Quota{{Lane: lanes[0].ID, Limit: 5}}, modelLease)
	if err != nil {
		m.b.t.Fatal(err)
	}
	for _, r := range rows {
		for _, h := range m.holders {
			if time.Now().Before(h.until) {
				m.b.t.Errorf("claimed as epoch %d while epoch %d holds the lease", r.Epoch, h.row.Epoch)
			}
		}
		if m.doubt != "" && (r.Doubt == nil || r.Doubt.ID != m.doubt) {
			m.b.t.Errorf("claimed with doubt %+v, though the outcome of %s is unknown", r.Doubt, m.doubt)
		}
		if m.doubt == "" && r.Doubt != nil {
			m.b.t.Errorf("claimed with doubt %s, though nothing is in doubt", r.Doubt.ID)
		}
		m.holders = append(m.holders, &modelHolder{row: r, until: began.Add(modelLease)})
		m.say("claim epoch %d %s %q doubt %v", r.Epoch, r.Verb, r.Payload, r.Doubt != nil)
	}
}

// act lets any holder go on, also one whose lease ended long ago.
func (m *rowModel) act() {
	if len(m.holders) == 0 {
		return
	}
	i := m.rnd.IntN(len(m.holders))
	h := m.holders[i]
	if !h.stored && h.row.Doubt == nil {
		if h.row.Superseded() || h.row.Verb == record.VerbWithdraw {
			m.finish(i, postgres.Finished{Row: h.row, Ending: postgres.EndReleased})
			return
		}
		id := fmt.Sprintf("epoch %d", h.row.Epoch)
		h.stored = m.b.store(h.row, id)
		m.say("store epoch %d: %v", h.row.Epoch, h.stored)
		if !h.stored {
			m.holders = append(m.holders[:i], m.holders[i+1:]...)
			return
		}
		m.doubt = id
		return
	}
	switch m.rnd.IntN(5) {
	case 0: // crash: nobody ever finishes it
		m.say("crash of epoch %d", h.row.Epoch)
		m.holders = append(m.holders[:i], m.holders[i+1:]...)
	case 1: // a timeout
		m.finish(i, postgres.Finished{Row: h.row, Ending: postgres.EndRetry, Doubt: true, Sent: true})
	case 2: // a clear refusal
		m.finish(i, postgres.Finished{Row: h.row, Ending: postgres.EndRetry, Sent: true})
	default:
		m.remote = string(h.row.Payload)
		m.finish(i, m.applied(h))
	}
}

func (m *rowModel) finish(i int, f postgres.Finished) {
	h := m.holders[i]
	m.holders = append(m.holders[:i], m.holders[i+1:]...)
	held := m.b.finish(f)
	m.say("finish epoch %d %s doubt %v: held %v", h.row.Epoch, f.Ending, f.Doubt, held)
	if !held && time.Now().Before(h.until) {
		m.b.t.Errorf("the finish of epoch %d was refused within its lease", h.row.Epoch)
	}
	if held && !f.Doubt && f.Ending != postgres.EndReleased {
		m.doubt = ""
	}
}

// settle lets everything come to rest while whoever holds a claim is frozen;
// then their calls land late, one after the other, and it has to come to rest
// again with the newest state.
func (m *rowModel) settle() {
	m.say("settle")
	frozen := m.holders
	m.drive(frozen)
	for _, h := range frozen {
		if h.stored || h.row.Doubt != nil {
			m.say("the call of epoch %d lands late", h.row.Epoch)
			m.remote = string(h.row.Payload)
			m.holders = []*modelHolder{h}
			m.finish(0, m.applied(h))
		}
	}
	m.drive(nil)
	m.check()
	m.holders = nil
}

func (m *rowModel) applied(h *modelHolder) postgres.Finished {
	return postgres.Finished{
		Row: h.row, Ending: postgres.EndApplied, Sent: true, Digest: h.row.Payload,
		Remote: &integration.Remote{Type: "Vendor", ID: "56", Active: true},
	}
}

// drive delivers without faults until nothing is due any more.
func (m *rowModel) drive(frozen []*modelHolder) {
	ticker := time.NewTicker(modelLease / 4)
	defer ticker.Stop()
	for quiet := 0; quiet < 6; quiet++ {
		m.holders = slices.Clone(frozen)
		m.claim()
		for _, h := range m.holders[len(frozen):] {
			quiet = 0
			m.holders = []*modelHolder{h}
			if h.row.Doubt == nil && (h.row.Superseded() || h.row.Verb == record.VerbWithdraw) {
				m.finish(0, postgres.Finished{Row: h.row, Ending: postgres.EndReleased})
				continue
			}
			if h.row.Doubt == nil && !m.b.store(h.row, "drive") {
				continue // the lease ended on a slow machine
			}
			m.doubt = ""
			m.remote = string(h.row.Payload)
			m.finish(0, m.applied(h))
		}
		<-ticker.C
	}
}

// check looks at the end.
func (m *rowModel) check() {
	if m.newest == nil {
		return
	}
	rows, err := m.b.d.Of(m.b.t.Context(), "envoy", "revenova:A")
	if err != nil || len(rows) != 1 {
		m.b.t.Fatalf("%d rows, %v", len(rows), err)
	}
	got := rows[0]
	if m.newest.Verb == record.VerbWithdraw {
		if got.Status != postgres.StatusWithdrawn {
			m.b.t.Errorf("the row is %s, the newest state is a withdrawal", got.Status)
		}
		return
	}
	if got.Status != postgres.StatusDone || got.Applied != m.newest.Revision || m.remote != string(m.newest.Payload) {
		m.b.t.Errorf("the row is %s with %s applied, the destination has %q; want done with %s, %q", got.Status, got.Applied, m.remote, m.newest.Revision, m.newest.Payload)
	}
}
