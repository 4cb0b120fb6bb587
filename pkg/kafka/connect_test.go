package kafka_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/secret"
	"github.com/fluxnex/fluxnex/schemas"
	"github.com/fluxnex/fluxnex/tests/parts"
)

func TestSASLMechanisms(t *testing.T) {
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "app", "right"), kfake.Superuser("SCRAM-SHA-256", "app", "right"), kfake.Superuser("SCRAM-SHA-512", "app", "right"),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			var lc net.ListenConfig
			return lc.Listen(context.Background(), network, net.JoinHostPort("127.0.0.1", port))
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer fake.Close()
	for _, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		ping := func(password secret.Secret, patience time.Duration) error {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			return kafka.Ping(ctx, kafka.Config{Brokers: fake.ListenAddrs(), SASL: kafka.SASL{Mechanism: mechanism, User: "app", Password: password}}, quiet())
		}
		if err := ping("right", 10*time.Second); err != nil {
			t.Errorf("%s with the right password: %v", mechanism, err)
		}
		if err := ping("wrong", 10*time.Second); err == nil {
			t.Errorf("%s let a wrong password in", mechanism)
		}
	}
}

func TestRegistry(t *testing.T) {
	parts.EachKafka(t, func(t *testing.T, k parts.Cluster) {
		r, err := kafka.NewRegistry(kafka.Config{RegistryURL: k.RegistryURL})
		if err != nil {
			t.Fatal(err)
		}
		ctx, subject := context.Background(), k.Prefix+".t-value"
		const schema = `{"type":"record","name":"T","fields":[{"name":"a","type":"string"}]}`
		one, err := r.Register(ctx, subject, schema)
		if err != nil {
			t.Fatal(err)
		}
		two, err := r.Register(ctx, subject, schema)
		if err != nil || one != two {
			t.Errorf("registered again: id %d, %v; want %d", two, err, one)
		}
		if text, err := r.SchemaByID(ctx, one); err != nil || text == "" {
			t.Errorf("schema %d is %q, %v", one, text, err)
		}
		if err := r.SetCompatibility(ctx, subject, schemas.Compatibility); err != nil {
			t.Errorf("set compatibility: %v", err)
		}
		if _, err := r.SchemaByID(ctx, 1<<30); !errors.Is(err, schemas.ErrUnknownID) {
			t.Errorf("an id nobody gave out: %v, want ErrUnknownID", err)
		}
	})
	away, err := kafka.NewRegistry(kafka.Config{RegistryURL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := away.SchemaByID(context.Background(), 1); err == nil || errors.Is(err, schemas.ErrUnknownID) {
		t.Errorf("a registry that is away says %v, which must not be ErrUnknownID", err)
	}
	if _, err := kafka.NewRegistry(kafka.Config{}); err == nil {
		t.Error("no address was taken")
	}
}
