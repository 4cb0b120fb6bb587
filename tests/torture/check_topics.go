package torture

import "fmt"

// The ways in which a topic can lack something (I14).
const (
	Gap     Kind = "offset gap"
	Trimmed Kind = "beginning of a topic lost"
)

// Topic is one partition of a topic, read uncommitted and with control records
// from its first offset to its end.
type Topic struct {
	Name      string
	Partition int32
	Compacted bool // a gap can be a record that a newer one has replaced
	Start     int64
	End       int64
	Records   int
	Markers   int
	Gaps      []Span
}

// Span is a range of offsets, the last one not included.
type Span struct{ From, To int64 }

// topics judges I14. Aborted records and markers have offsets of their own, so
// where nothing is compacted every offset is there.
func (c *checker) topics() {
	for i := range c.ev.Topics {
		t := &c.ev.Topics[i]
		place := fmt.Sprintf("%s partition %d", t.Name, t.Partition)
		c.report.Offsets += t.End - t.Start
		c.report.Markers += t.Markers
		switch {
		case t.Compacted: // its beginning can be replaced too
			c.report.Compacted += t.Start
		case t.Start > 0:
			c.fail(Trimmed, key{}, fmt.Sprintf("%s begins at %d", place, t.Start))
		}
		for _, g := range t.Gaps {
			if t.Compacted {
				c.report.Compacted += g.To - g.From
				continue
			}
			c.fail(Gap, key{}, fmt.Sprintf("%s has nothing from %d up to %d of %d", place, g.From, g.To, t.End))
		}
	}
	if c.ev.Topics != nil && c.report.Offsets == 0 {
		c.nothing("I14", "the topics are empty")
	}
}
