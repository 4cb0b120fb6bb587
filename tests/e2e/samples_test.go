package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fluxnex/fluxnex/tests/parts"
	"github.com/fluxnex/fluxnex/tests/torture"
)

// TestRealOutboundMessagesAreAcked posts what real orgs sent, the malformed one
// too. The tenants' organizations are those of the messages.
func TestRealOutboundMessagesAreAcked(t *testing.T) {
	const folder = "../../../shared/samples/salesforce-outbound-message"
	files, err := filepath.Glob(filepath.Join(folder, "*.xml"))
	if err != nil {
		t.Fatal(err)
	}
	// Answers and service descriptions are no messages.
	files = slices.DeleteFunc(files, func(f string) bool {
		name := filepath.Base(f)
		return strings.HasPrefix(name, "ack_") || strings.HasPrefix(name, "wsdl_")
	})
	if len(files) == 0 {
		t.Skipf("no recorded messages in %s", folder)
	}
	organization := regexp.MustCompile(`<OrganizationId>\s*(\w+)\s*</OrganizationId>`)
	bodies := make([][]byte, len(files))
	for i, f := range files {
		if bodies[i], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	p := install(t, parts.Kafka(t), shape{tenants: len(files), as: func(tenants []torture.Tenant) {
		for i, body := range bodies {
			if m := organization.FindSubmatch(body); m != nil {
				tenants[i].Organization = torture.LongID(string(m[1]))
			}
		}
	}})
	malformed := 0
	for i, body := range bodies {
		name := filepath.Base(files[i])
		status, header, answer := p.post(t, posting{"revenova", p.tenants[i].Slug, p.tenants[i].WebhookKey, nil, body})
		if !torture.Acknowledged(status, []byte(answer)) {
			t.Errorf("%s: answered %d %s: %s", name, status, header.Get("Content-Type"), answer)
		}
		if strings.HasPrefix(name, "malformed") {
			malformed++
		}
	}
	await(t, "the malformed one is a dead letter", func() (bool, string) {
		letters := p.rows(t, "dead-letter", "list")
		return len(letters) == malformed, show(letters)
	})
}
