package console

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/tests/parts"
)

func TestLagOfAGroupThatNeverRead(t *testing.T) {
	parts.EachKafka(t, func(t *testing.T, c parts.Cluster) {
		log := slog.New(slog.DiscardHandler)
		cfg := kafka.Config{Brokers: c.Brokers, RegistryURL: c.RegistryURL, Prefix: c.Prefix, Partitions: 3, ReplicationFactor: 1}
		if _, err := kafka.Apply(t.Context(), cfg, nil, log); err != nil {
			t.Fatal(err)
		}
		producer, err := kafka.NewProducer(cfg, log)
		if err != nil {
			t.Fatal(err)
		}
		defer producer.Close()
		topic := cfg.Topics().Notification()
		for _, key := range []string{"a", "b", "c", "d"} {
			if _, err := producer.Send(t.Context(), kafka.Message{Topic: topic, Key: []byte(key), Value: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		reg := prometheus.NewPedanticRegistry()
		l := NewLagExporter(cfg, map[string][]string{Group: {topic}}, reg, log)
		if err := l.measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := `# HELP fluxnex_consumer_lag_records Records of a topic that a service has not consumed yet; an idle tail of transaction markers counts 0.
# TYPE fluxnex_consumer_lag_records gauge
fluxnex_consumer_lag_records{group="console",topic="` + topic + `"} 4
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	})
}
