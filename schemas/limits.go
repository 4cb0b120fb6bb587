package schemas

import (
	"errors"

	"github.com/hamba/avro/v2"
)

// The limits of everything that is decoded, in one place. The library's
// defaults let a value of five bytes ask for 137 GB.
const (
	// MaxValueSize bounds a value on any topic but the dead letters, before
	// decoding and before producing.
	MaxValueSize = 4 << 20
	// MaxDeadLetterSize leaves room for a value of the full size and its headers.
	MaxDeadLetterSize = MaxValueSize + 1<<20
	// maxElements bounds one array; the largest real one is a record's fields.
	maxElements = 1 << 16
)

// newLibrary is the Avro library with its limits set.
func newLibrary() avro.API {
	return avro.Config{
		MaxByteSliceSize:     MaxDeadLetterSize,
		MaxSliceAllocSize:    maxElements,
		UnionResolutionError: true,
	}.Freeze()
}

var errTooMany = errors.New("array of too many elements")
