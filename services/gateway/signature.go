package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"hash"
	"strconv"
	"strings"
	"sync"
)

// signingKey checks signatures of the Standard Webhooks specification. Safe for
// concurrent use.
type signingKey struct{ signers sync.Pool }

// signer is what one signature needs. A hash that is reset keeps what it has
// made of the key, which is half the work of signing a small body.
type signer struct {
	mac  hash.Hash
	text []byte
}

func newSigningKey(key []byte) *signingKey {
	k := &signingKey{}
	k.signers.New = func() any { return &signer{mac: hmac.New(sha256.New, key)} }
	return k
}

// matches reports whether one of the presented signatures, which blanks
// separate, is this key's. All are compared, however early one fits.
func (k *signingKey) matches(presented, id string, at int64, body []byte) bool {
	s := k.signers.Get().(*signer) //nolint:forcetypeassert // the pool holds nothing else
	defer k.signers.Put(s)
	s.mac.Reset()
	s.text = append(append(s.text[:0], id...), '.')
	s.text = append(strconv.AppendInt(s.text, at, 10), '.')
	s.mac.Write(s.text)
	s.mac.Write(body)
	sum := s.mac.Sum(s.text[:0])
	s.text = base64.StdEncoding.AppendEncode(append(sum, "v1,"...), sum)
	expected := s.text[len(sum):]
	found := 0
	for signature := range strings.SplitSeq(presented, " ") {
		found |= subtle.ConstantTimeCompare([]byte(signature), expected)
	}
	return found == 1
}
