package parts

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/fluxnex/fluxnex/pkg/embedded"
)

// Cluster is a Kafka cluster with its schema registry.
type Cluster struct {
	Brokers     []string
	RegistryURL string
	// Real reports Apache Kafka and a registry of its own; else both are
	// embedded in this process.
	Real bool
	// Prefix is this test's own first word of topics, groups and transactional
	// ids; topics that begin with it are deleted after the test.
	Prefix string
}

const noRealKafka = "FLUXNEX_TEST_KAFKA_BROKERS and FLUXNEX_TEST_REGISTRY_URL are not set; `make test` starts a real one"

var broker shared[Cluster]

// Kafka is the real cluster where there is one, else the embedded one.
func Kafka(t testing.TB) Cluster {
	t.Helper()
	if c, ok := realKafka(); ok {
		return use(t, c)
	}
	return embeddedKafka(t)
}

// EachKafka runs the test on the embedded cluster and on the real one.
func EachKafka(t *testing.T, test func(*testing.T, Cluster)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { test(t, embeddedKafka(t)) })
	t.Run("real", func(t *testing.T) {
		c, ok := realKafka()
		if !ok {
			skip(t, "Kafka and registry", noRealKafka)
		}
		test(t, use(t, c))
	})
}

func realKafka() (Cluster, bool) {
	brokers, registry := os.Getenv("FLUXNEX_TEST_KAFKA_BROKERS"), os.Getenv("FLUXNEX_TEST_REGISTRY_URL")
	if brokers == "" || registry == "" {
		return Cluster{}, false
	}
	return Cluster{Brokers: strings.Split(brokers, ","), RegistryURL: registry, Real: true}, true
}

func embeddedKafka(t testing.TB) Cluster {
	t.Helper()
	c, err := broker.get(func() (Cluster, error) {
		ctx, cancel := context.WithTimeout(context.Background(), startPatience)
		defer cancel()
		b, err := embedded.StartBroker(ctx, "", 0)
		if err != nil {
			return Cluster{}, err
		}
		r, err := embedded.StartRegistry(ctx, "", 0)
		return Cluster{Brokers: b.Addrs, RegistryURL: urlOf(r)}, err
	})
	if err != nil {
		t.Fatalf("embedded Kafka: %v", err)
	}
	return use(t, c)
}

func urlOf(r *embedded.Registry) string {
	if r == nil {
		return ""
	}
	return r.URL
}

// use gives the test its prefix and cleans up behind it.
func use(t testing.TB, c Cluster) Cluster {
	t.Helper()
	how, detail := "embedded", "in this process"
	if c.Real {
		how, detail = "real", strings.Join(c.Brokers, ",")
	}
	report(t, "Kafka and registry", how, detail)
	c.Prefix = "t" + strings.ToLower(rand.Text()[:12])
	t.Cleanup(func() {
		if err := deleteTopics(c); err != nil {
			t.Logf("delete the test's topics: %v", err)
		}
		if err := deleteSubjects(c); err != nil {
			t.Logf("delete the test's subjects: %v", err)
		}
	})
	return c
}

// deleteTopics keeps a shared broker small: a few hundred tests leave tens of
// thousands of partitions else.
func deleteTopics(c Cluster) error {
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...))
	if err != nil {
		return err
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return err
	}
	var mine []string
	for _, name := range topics.Names() {
		if strings.HasPrefix(name, c.Prefix+".") {
			mine = append(mine, name)
		}
	}
	if len(mine) == 0 {
		return nil
	}
	deleted, err := admin.DeleteTopics(ctx, mine...)
	return errors.Join(err, deleted.Error())
}

// deleteSubjects does the same for a real registry; the embedded one is small
// and keeps what it has.
func deleteSubjects(c Cluster) error {
	if !c.Real {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	subjects, err := subjectsOf(ctx, c.RegistryURL)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range subjects {
		if strings.HasPrefix(s, c.Prefix+".") {
			errs = append(errs, call(ctx, http.MethodDelete, c.RegistryURL+"/subjects/"+s, nil))
		}
	}
	return errors.Join(errs...)
}
