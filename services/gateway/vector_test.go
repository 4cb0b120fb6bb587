package gateway

import (
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/secret"
)

// The specification's own vector, at the moment it was signed.
func TestStandardWebhooksVector(t *testing.T) {
	const file = "../../../shared/samples/standard-webhooks/sign_vector_v1.json"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Skip("the samples are not beside the repository: " + file)
	}
	var vector struct {
		Secret  string            `json:"secret"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
		Tests   struct {
			Wrong    []string `json:"wrong_signatures"`
			Multiple string   `json:"multi_signature_header"`
		} `json:"also_named_in_the_tests"`
	}
	if err := json.Unmarshal(text, &vector); err != nil {
		t.Fatal(err)
	}
	seconds, err := strconv.ParseInt(vector.Headers["webhook-timestamp"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	b := newBed(t)
	b.now = time.Unix(seconds, 0)
	b.vault["webhook_signing_1"] = secret.Secret(vector.Secret)
	valid := vector.Headers["webhook-signature"]
	codes := map[string]int{valid: 202, strings.ReplaceAll(vector.Tests.Multiple, "<the valid one>", valid): 202}
	for _, wrong := range vector.Tests.Wrong {
		codes[wrong] = 401
	}
	for signature, want := range codes {
		got := b.post(hookPath, vector.Body, func(r *http.Request) {
			r.Header.Set("Content-Type", "application/json")
			for name, value := range vector.Headers {
				r.Header.Set(name, value)
			}
			r.Header.Set("webhook-signature", signature)
		})
		if got.code != want {
			t.Errorf("%s: answered %d %s, want %d", signature, got.code, got.body, want)
		}
	}
}
