package main

import (
	"fmt"
	"strings"
)

// plotWaits draws, for each measure with -brokers, every turn's seconds as a
// bar, and the goal as a line.
func plotWaits(results []*result) string {
	const left, width, bar, top = 480, 380, 16, 56
	longest, rows := 1.0, 0
	for _, r := range results {
		rows += len(r.Samples)
		for _, s := range r.Samples {
			longest = max(longest, s.Subject)
		}
		if len(r.Goals) > 0 {
			longest = max(longest, r.Goals[0].Want)
		}
	}
	x := func(seconds float64) float64 { return left + width*seconds/longest }
	height := top + bar*rows + 14*len(results) + 16
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", left+width+60, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#ffffff"/><text x="12" y="24" font-size="15" fill="#1a2733">Seconds: bar = one turn, line = goal</text>`+"\n")
	y := top
	for _, r := range results {
		fmt.Fprintf(&b, `<text x="12" y="%d" fill="#1a2733">%s</text>`, y+11, escape(r.Name))
		from := y
		for _, s := range r.Samples {
			color := "#2f7d5b"
			if len(r.Goals) > 0 && s.Subject > r.Goals[0].Want {
				color = "#b4552d"
			}
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s" opacity="0.7"/><text x="%.1f" y="%d" fill="#5b6b78" font-size="10">%s</text>`,
				left, y, x(s.Subject)-left, bar-3, color, x(s.Subject)+4, y+10, number(s.Subject))
			y += bar
		}
		if len(r.Goals) > 0 {
			goal := x(r.Goals[0].Want)
			fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#b3202a" stroke-width="2"/>`, goal, from-3, goal, y)
		}
		b.WriteString("\n")
		y += 14
	}
	b.WriteString("</svg>\n")
	return b.String()
}
