package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// devSecrets are made once for a data directory: the webhook secrets of the
// example tenant. The destinations' own credentials are the sandbox's, which
// are public.
type devSecrets struct {
	WebhookKey     string `json:"webhook_key"`     // ?key= of outbound messages
	WebhookSigning string `json:"webhook_signing"` // whsec_… of signed JSON
}

func openDevSecrets(path string) (devSecrets, error) {
	var s devSecrets
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		s = devSecrets{WebhookKey: hex.EncodeToString(random(32)), WebhookSigning: "whsec_" + base64.StdEncoding.EncodeToString(random(32))}
		if b, err = json.Marshal(s); err != nil {
			return s, err
		}
		return s, os.WriteFile(path, b, 0o600)
	case err != nil:
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil || s.WebhookKey == "" {
		return s, fmt.Errorf("%s cannot be read: remove it to have new secrets made", path)
	}
	return s, nil
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, by its documentation
	return b
}
