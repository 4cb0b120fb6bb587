package rig

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/tests/torture"
)

// Second is one second of a run.
type Second struct {
	Acked    int           // notifications
	Applied  int           // writes
	Median   time.Duration // from the first sending of a state to its write
	Slowest  time.Duration
	measured []time.Duration
}

// Timeline is a run, second by second.
type Timeline []Second

// newTimeline reads throughput and latency from the logs alone. The latency of
// a write is that of the state it carries: what was overtaken on the way is
// not in it, what waited is.
func newTimeline(ev torture.Evidence, start time.Time) Timeline {
	var out Timeline
	at := func(t time.Time) *Second {
		n := max(int(t.Sub(start)/time.Second), 0)
		for len(out) <= n {
			out = append(out, Second{})
		}
		return &out[n]
	}
	first := map[string]time.Time{}
	for _, in := range ev.Intents {
		if in.Event == torture.Acked {
			at(in.At).Acked += len(in.Edits)
		}
		if in.Event != torture.Sent {
			continue
		}
		for _, e := range in.Edits {
			if _, ok := first[e]; !ok {
				first[e] = in.At
			}
		}
	}
	for _, l := range ev.Ledger {
		if !l.Applied || l.App != "quickbooks" && l.App != "hubspot" {
			continue
		}
		s := at(l.Time)
		s.Applied++
		m, ok := ev.Plan.Wrote(&l)
		if !ok {
			continue
		}
		if sent, ok := first[fmt.Sprintf("%d:%d%s", m.Record, m.Rank, m.Variant)]; ok {
			s.measured = append(s.measured, l.Time.Sub(sent))
		}
	}
	for i := range out {
		s := &out[i]
		if slices.Sort(s.measured); len(s.measured) > 0 {
			s.Median, s.Slowest = s.measured[len(s.measured)/2], s.measured[len(s.measured)-1]
		}
		s.measured = nil
	}
	return out
}

// The picture's measures.
const (
	width, panel, gap, left, right, top = 1000.0, 220.0, 46.0, 64.0, 16.0, 40.0
)

// chart is one panel of the picture.
type chart struct {
	b      *strings.Builder
	n      int
	y      float64
	peak   float64
	scaleX float64
}

// SVG draws throughput and latency over time, with the faults marked.
func (t Timeline) SVG(start time.Time, deeds []torture.Deed) string {
	var b strings.Builder
	height := top + 2*panel + gap + 40
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%.0f" height="%.0f" fill="#ffffff"/>`+"\n", width, height)
	n := max(len(t), 1)
	scale := (width - left - right) / float64(n)
	throughput := chart{&b, n, top, 1, scale}
	latency := chart{&b, n, top + panel + gap, 1, scale}
	for i := range t {
		throughput.peak = max(throughput.peak, float64(t[i].Acked), float64(t[i].Applied))
		latency.peak = max(latency.peak, t[i].Slowest.Seconds())
	}
	for _, d := range deeds {
		x := left + d.At.Sub(start).Seconds()*scale
		color := "#d0d0d0"
		if !strings.HasPrefix(d.What, "F1 ") {
			color = "#e08a3c"
		}
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="%s" stroke-width="1"><title>%s %s</title></line>`+"\n", x, x, top, top+2*panel+gap, color, escape(d.What), escape(d.Victim))
	}
	throughput.frame("throughput a second: notifications acknowledged (blue), writes applied (green)")
	always := func(int) bool { return true }
	written := func(i int) bool { return t[i].Applied > 0 }
	throughput.line("#2f6fb2", always, func(i int) float64 { return float64(t[i].Acked) }, len(t))
	throughput.line("#3a923a", always, func(i int) float64 { return float64(t[i].Applied) }, len(t))
	latency.frame("seconds from the first sending of a state to its write: median (blue), slowest (red); none where nothing was written")
	latency.line("#c03d3e", written, func(i int) float64 { return t[i].Slowest.Seconds() }, len(t))
	latency.line("#2f6fb2", written, func(i int) float64 { return t[i].Median.Seconds() }, len(t))
	fmt.Fprintf(&b, `<text x="%.0f" y="%.0f">faults: SIGKILL of services grey, all others orange (hover for names); time in seconds after the start of the load</text>`+"\n", left, 20.0)
	b.WriteString("</svg>\n")
	return b.String()
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

func (c *chart) frame(title string) {
	fmt.Fprintf(c.b, `<text x="%.1f" y="%.1f" font-weight="bold">%s</text>`+"\n", left, c.y-6, title)
	fmt.Fprintf(c.b, `<path d="M%.1f %.1fV%.1fH%.1f" fill="none" stroke="#333333"/>`+"\n", left, c.y, c.y+panel, width-right)
	for i := range 5 {
		v := c.peak * float64(i) / 4
		y := c.y + panel - panel*float64(i)/4
		fmt.Fprintf(c.b, `<text x="%.1f" y="%.1f" text-anchor="end">%.4g</text>`+"\n", left-6, y+4, v)
	}
	for i := range 6 {
		x := left + (width-left-right)*float64(i)/5
		fmt.Fprintf(c.b, `<text x="%.1f" y="%.1f" text-anchor="middle">%d</text>`+"\n", x, c.y+panel+16, c.n*i/5)
	}
}

// line draws a value a second; it is broken where there is none.
func (c *chart) line(color string, has func(i int) bool, value func(i int) float64, n int) {
	var path strings.Builder
	pen := "M"
	for i := range n {
		if !has(i) {
			pen = "M"
			continue
		}
		x, y := left+(float64(i)+0.5)*c.scaleX, c.y+panel-panel*value(i)/c.peak
		fmt.Fprintf(&path, "%s%.1f %.1f", pen, x, y)
		if pen == "M" {
			fmt.Fprintf(&path, "h0.8") // a second alone is a dot
		}
		pen = "L"
	}
	fmt.Fprintf(c.b, `<path d="%s" fill="none" stroke="%s" stroke-width="1.4"/>`+"\n", path.String(), color)
}
