package stage

import (
	"testing"
)

func TestEveryRecordIsFoldedOnceAndInOrder(t *testing.T) {
	b := newBed(t, 4)
	b.feed(50, 5)
	b.start(nil)
	b.check()
	b.feed(50, 5)
	b.check()
}
