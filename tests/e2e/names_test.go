package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/tests/parts"
)

// TestOfTwoProcessesWithOneNameTheOlderEnds, with one line that says what to do,
// and the newer one does the work.
func TestOfTwoProcessesWithOneNameTheOlderEnds(t *testing.T) {
	parts.EachKafka(t, func(t *testing.T, cluster parts.Cluster) {
		p := install(t, cluster, shape{})
		acked(t, p, account(p, recordID(0), at, vendor("Carrier 0", "555-0100")...))
		arrived(t, p, "quickbooks", "Carrier 0")
		for i, service := range []string{"replica", "normalizer", "router", "delivery", "fetcher", "console"} {
			older, newer := p.all[service][0], p.add(t, service, 1)
			newer.env = append(newer.env, "FLUXNEX_INSTANCE="+service+"0")
			if err := newer.start(); err != nil {
				t.Fatal(err)
			}
			await(t, "the older "+service+" ends", func() (bool, string) {
				select {
				case <-older.gone():
					return true, ""
				default:
					return false, tail(older.log, 3)
				}
			})
			p.all[service] = slices.Delete(p.all[service], 0, 1) // it is not there any more
			last := tail(older.log, 1)
			if code := older.cmd.ProcessState.ExitCode(); code != 1 || !strings.HasPrefix(last, "fluxnex: ") || !strings.Contains(last, "FLUXNEX_INSTANCE") {
				t.Errorf("the older %s ended with exit code %d and %q, want 1 and what to do", service, code, last)
			}
			newer.ready(t)
			name := fmt.Sprintf("Carrier %d", i+1)
			acked(t, p, account(p, recordID(i+1), at, vendor(name, "555-0100")...))
			arrived(t, p, "quickbooks", name)
			arrived(t, p, "hubspot", name)
		}
		if objects := p.objects(t, p.tenants[0]); len(objects) != 2*7 {
			t.Errorf("%d objects are at the destinations, want one of each account at both: %v", len(objects), objects)
		}
	})
}
