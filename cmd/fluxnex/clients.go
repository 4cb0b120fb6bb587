package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/fluxnex/fluxnex/integrations"
	"github.com/fluxnex/fluxnex/pkg/app"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/schemas"
)

// kafkaConfig translates the environment into the Kafka client's terms.
func kafkaConfig(c app.Config) (kafka.Config, error) {
	k := kafka.Config{
		Brokers:           c.KafkaBrokers,
		RegistryURL:       c.RegistryURL,
		Prefix:            c.TopicPrefix,
		Instance:          c.Instance,
		Partitions:        int32(c.Partitions),        //nolint:gosec // validated below
		ReplicationFactor: int16(c.ReplicationFactor), //nolint:gosec // -1 or small
		GatewayGeneration: int32(c.GatewayGeneration), //nolint:gosec // a counter of migrations
		TLS:               kafka.TLS{Enabled: c.KafkaTLS, CAFile: c.KafkaCAFile},
		SASL: kafka.SASL{
			Mechanism: strings.ToLower(c.KafkaSASLMechanism),
			User:      c.KafkaSASLUser,
			Password:  c.KafkaSASLPassword,
		},
	}
	if c.Partitions < 1 || c.Partitions > 10_000 {
		return k, &usageError{fmt.Errorf("FLUXNEX_PARTITIONS: %d is not between 1 and 10000", c.Partitions)}
	}
	if err := k.Validate(); err != nil {
		return k, &usageError{err}
	}
	return k, nil
}

// openCodecs looks up every schema, registering those that are missing.
func openCodecs(ctx context.Context, k kafka.Config) (*schemas.Codecs, error) {
	reg, err := kafka.NewRegistry(k)
	if err != nil {
		return nil, err
	}
	return schemas.Open(ctx, reg, k.Topics(), destinationApps())
}

// openPostgres connects and refuses to go on with an older or newer schema.
func openPostgres(ctx context.Context, c app.Config, connections int, application string) (*postgres.DB, error) {
	return postgres.Open(ctx, c.PostgresURL.Reveal(), postgres.Options{MaxConnections: connections, Application: "fluxnex " + application})
}

// destinationApps lists the apps that have an outbound topic.
func destinationApps() []string {
	var apps []string
	for _, i := range integrations.All() {
		if i.Deliver != nil {
			apps = append(apps, i.App)
		}
	}
	return apps
}

// toolLogger is the logger of one-shot commands: warnings only, for people.
func toolLogger(e *environment) *slog.Logger {
	return slog.New(slog.NewTextHandler(e.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
