package schemas

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// Codecs are the codecs of all topics of one installation.
type Codecs struct {
	Gateway   *Codec[record.GatewayEvent]
	Replica   *Codec[record.Replica]
	Canonical *Codec[record.Canonical]
	// CanonicalHead reads no source fields.
	CanonicalHead *Codec[record.Canonical]
	// CanonicalState reads what the record is, what it depends on and since when it
	// waits: neither source fields nor revision and lineage.
	CanonicalState *Codec[record.Canonical]
	FetchRequest   *Codec[record.FetchRequest]
	Outbound       *Codec[record.OutboundCommand] // of every app
	Delivery       *Codec[record.DeliveryResult]
	Notification   *Codec[record.Notification]
	DeadLetter     *Codec[record.DeadLetter]
}

// Open registers the current schemas for every topic, which changes nothing
// where they are registered, and returns their codecs. While the registry is
// away the error is retryable; where it refuses a schema it wraps
// ErrIncompatible, and this build must not run against that registry.
func Open(ctx context.Context, registry Registry, topics record.Topics, apps []string) (*Codecs, error) {
	subjects, err := Subjects(topics, apps)
	if err != nil {
		return nil, err
	}
	ids := map[string][]int{} // by schema text; the outbound topics share one
	for _, s := range subjects {
		id, err := registry.Register(ctx, s.Name, s.Schema)
		if err != nil {
			return nil, registration(s.Name, err)
		}
		if err := registry.SetCompatibility(ctx, s.Name, Compatibility); err != nil {
			return nil, registration(s.Name, err)
		}
		ids[s.Schema] = append(ids[s.Schema], id)
	}
	b := builder{registry: registry, ids: ids}
	c := &Codecs{
		Gateway:        build(&b, gatewayEvent, MaxValueSize, layout[record.GatewayEvent]{writeGateway, readGateway}),
		Replica:        build(&b, replicaRecord, MaxValueSize, layout[record.Replica]{writeReplica, readReplica}),
		Canonical:      build(&b, canonicalRecord, MaxValueSize, layout[record.Canonical]{writeCanonical, readCanonical}),
		CanonicalHead:  build(&b, canonicalRecord, MaxValueSize, layout[record.Canonical]{writeCanonical, readCanonicalHead}),
		CanonicalState: build(&b, canonicalRecord, MaxValueSize, layout[record.Canonical]{writeCanonical, readCanonicalState}),
		FetchRequest:   build(&b, fetchRequest, MaxValueSize, layout[record.FetchRequest]{writeFetchRequest, readFetchRequest}),
		Delivery:       build(&b, deliveryResult, MaxValueSize, layout[record.DeliveryResult]{writeDelivery, readDelivery}),
		Notification:   build(&b, notification, MaxValueSize, layout[record.Notification]{writeNotification, readNotification}),
		DeadLetter:     build(&b, deadLetter, MaxDeadLetterSize, layout[record.DeadLetter]{writeDeadLetter, readDeadLetter}),
	}
	if len(apps) > 0 {
		c.Outbound = build(&b, outboundCommand, MaxValueSize, layout[record.OutboundCommand]{writeOutbound, readOutbound})
	}
	return c, b.err
}

func registration(subject string, err error) error {
	err = fmt.Errorf("register the schema of %s: %w", subject, err)
	if errors.Is(err, ErrIncompatible) {
		return err
	}
	return unavailable(err)
}

// builder carries the first error past the calls of build.
type builder struct {
	registry Registry
	ids      map[string][]int
	err      error
}

func build[T any](b *builder, name string, limit int, l layout[T]) *Codec[T] {
	text, err := Text(name)
	if err == nil {
		var c *Codec[T]
		if c, err = newCodec(newLibrary(), b.registry, text, limit, l, b.ids[text]...); err == nil {
			return c
		}
	}
	if b.err == nil {
		b.err = fmt.Errorf("codec of %s: %w", name, err)
	}
	return nil
}
