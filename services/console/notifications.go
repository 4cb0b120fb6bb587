package console

import (
	"context"
	"log/slog"

	"github.com/fluxnex/fluxnex/pkg/fault"
	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/postgres"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/schemas"
)

// Group is the consumer group of the notification keeper.
const Group = "console"

const keepBatch = 500

// Keeper copies the notification topic into Postgres, where people look.
type Keeper struct {
	cfg        kafka.Config
	codec      *schemas.Codec[record.Notification]
	deliveries *postgres.Deliveries
	log        *slog.Logger
}

// NewKeeper does not connect.
func NewKeeper(cfg kafka.Config, codecs *schemas.Codecs, db *postgres.DB, log *slog.Logger) *Keeper {
	return &Keeper{cfg: cfg, codec: codecs.Notification, deliveries: db.Deliveries(), log: log}
}

// Run keeps notifications until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	consumer, err := kafka.NewConsumer(kafka.ConsumerConfig{
		Kafka: k.cfg, Group: Group, Topics: []string{k.cfg.Topics().Notification()}, MaxBatch: keepBatch,
	}, k.log)
	if err != nil {
		return err
	}
	return consumer.Run(ctx, k.keep)
}

func (k *Keeper) keep(ctx context.Context, batch []kafka.Record) error {
	list := make([]record.Notification, 0, len(batch))
	for _, r := range batch {
		n, err := k.codec.Decode(ctx, r.Value)
		if err != nil {
			if fault.Of(err).Class != fault.Poison {
				return err
			}
			// A notification about something else must not stop for one that
			// cannot be read; its bytes stay on the topic.
			k.log.ErrorContext(ctx, "notification unreadable", slog.Int("partition", int(r.Partition)), slog.Int64("offset", r.Offset), slog.Any("error", err))
			continue
		}
		list = append(list, *n)
	}
	return k.deliveries.KeepNotices(ctx, list)
}
