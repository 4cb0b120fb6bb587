package gateway

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

var (
	errTooLarge = errors.New("body too large")
	errTooSlow  = errors.New("body too slow")
	errBadBody  = errors.New("body unreadable")
	errEncoding = errors.New("content encoding not supported")
)

// maxGzipRatio: what inflates more is made to harm. Real XML reaches about 20.
const maxGzipRatio = 100

// readBody returns the inflated body of at most limit bytes, in room if it has
// enough. An announced length over the limit is refused without reading a byte.
func readBody(w http.ResponseWriter, r *http.Request, room []byte, limit int64, within time.Duration) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	// The wall clock, not the injected one: it is a socket's deadline. A
	// recorder in a test has none to set.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(within))
	encoding := strings.ToLower(strings.TrimSpace(first(r.Header, headerEncoding)))
	switch encoding {
	case "", "identity":
		return readAtMost(r.Body, room, limit, r.ContentLength)
	case "gzip", "x-gzip":
	default:
		return nil, errEncoding
	}
	packed := &countingReader{r: r.Body, limit: limit}
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		return nil, classifyRead(err)
	}
	body, err := readAtMost(unpacked, room, limit, 0)
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > maxGzipRatio*packed.n {
		return nil, errTooLarge
	}
	return body, nil
}

// readAtMost allocates at most once where the length is announced.
func readAtMost(r io.Reader, room []byte, limit, announced int64) ([]byte, error) {
	body := slices.Grow(room[:0], int(announced)+1) // one more, to meet the end without growing
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if int64(len(body)) > limit {
			return nil, errTooLarge
		}
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return body, nil
		}
		if err != nil {
			return nil, classifyRead(err)
		}
	}
}

func classifyRead(err error) error {
	switch {
	case errors.Is(err, errTooLarge):
		return errTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errTooSlow
	}
	return errBadBody
}

type countingReader struct {
	r     io.Reader
	n     int64
	limit int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.n > c.limit {
		return n, errTooLarge
	}
	return n, err
}
