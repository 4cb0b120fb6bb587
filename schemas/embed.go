package schemas

import (
	"embed"
	"fmt"
	"strings"

	"github.com/fluxnex/fluxnex/pkg/record"
)

//go:embed *.avsc
var current embed.FS

// Text is the current schema of a file name without its extension
// ("gateway-event"), as it is registered: byte for byte.
func Text(name string) (string, error) {
	b, err := current.ReadFile(name + ".avsc")
	if err != nil {
		return "", fmt.Errorf("schema %s: %w", name, err)
	}
	return string(b), nil
}

// Names lists the schemas, sorted.
func Names() []string {
	entries, _ := current.ReadDir(".") // of an embedded folder, which cannot fail
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".avsc"))
	}
	return names
}

// Subject is one subject of the registry and the schema that belongs there.
type Subject struct{ Name, Schema string }

// Subjects lists what must be registered for an installation with these
// destination apps.
func Subjects(topics record.Topics, apps []string) ([]Subject, error) {
	files := []struct{ topic, name string }{
		{topics.Gateway(), gatewayEvent},
		{topics.Replica(), replicaRecord},
		{topics.Canonical(), canonicalRecord},
		{topics.FetchRequest(), fetchRequest},
		{topics.Delivery(), deliveryResult},
		{topics.Notification(), notification},
		{topics.DeadLetter(), deadLetter},
	}
	for _, app := range apps {
		files = append(files, struct{ topic, name string }{topics.Outbound(app), outboundCommand})
	}
	subjects := make([]Subject, 0, len(files))
	for _, f := range files {
		text, err := Text(f.name)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, Subject{f.topic + "-value", text})
	}
	return subjects, nil
}

// File names of the schemas.
const (
	gatewayEvent    = "gateway-event"
	replicaRecord   = "replica-record"
	canonicalRecord = "canonical-record"
	fetchRequest    = "fetch-request"
	outboundCommand = "outbound-command"
	deliveryResult  = "delivery-result"
	notification    = "notification"
	deadLetter      = "dead-letter"
)
