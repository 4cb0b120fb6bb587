package parts_test

import (
	"bufio"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/fluxnex/fluxnex/tests/parts"
)

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	a, b := parts.Postgres(t), parts.Postgres(t)
	if a == b {
		t.Fatalf("two databases share the address %s", a)
	}
	conn, err := pgx.Connect(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE seen (n int)"); err != nil {
		t.Fatal(err)
	}
	other, err := pgx.Connect(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(t.Context())
	var n int
	if err := other.QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE tablename = 'seen'").Scan(&n); err != nil || n != 0 {
		t.Errorf("a table of one test's database is in the other: count %d, %v", n, err)
	}
}

func TestEachTestHasAnEmptyRedis(t *testing.T) {
	a, b := parts.Redis(t), parts.Redis(t)
	if a == b {
		t.Fatalf("two tests share %s", a)
	}
	if got := redisInline(t, a, "SET k v"); got != "+OK" {
		t.Errorf("SET answered %q", got)
	}
	if got := redisInline(t, b, "EXISTS k"); got != ":0" {
		t.Errorf("the other database has the key: %q", got)
	}
}

func TestRedisAloneCanBeKilled(t *testing.T) {
	address, kill := parts.RedisAlone(t)
	if got := redisInline(t, address, "PING"); got != "+PONG" {
		t.Errorf("PING answered %q", got)
	}
	kill()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", u.Host); err == nil {
		_ = c.Close()
		t.Errorf("%s still answers after kill", address)
	}
}

func TestEachKafkaGivesEachTestItsOwnPrefix(t *testing.T) {
	seen := map[string]bool{}
	parts.EachKafka(t, func(t *testing.T, c parts.Cluster) {
		if seen[c.Prefix] || c.Prefix == "" {
			t.Errorf("prefix %q twice", c.Prefix)
		}
		seen[c.Prefix] = true
		cl, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers...))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		topic := c.Prefix + ".seen"
		if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("v")}).FirstErr(); err != nil {
			t.Errorf("produce on %v: %v", c.Brokers, err)
		}
		registry, err := sr.NewClient(sr.URLs(c.RegistryURL))
		if err != nil {
			t.Fatal(err)
		}
		schema := sr.Schema{Schema: `{"type":"record","name":"Seen","fields":[{"name":"x","type":"string"}]}`}
		if _, err := registry.CreateSchema(t.Context(), topic+"-value", schema); err != nil {
			t.Errorf("register at %s: %v", c.RegistryURL, err)
		}
	})
}

func redisInline(t *testing.T, address, command string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	var line string
	for _, cmd := range []string{"SELECT " + strings.TrimPrefix(u.Path, "/"), command} {
		if _, err := fmt.Fprintf(c, "%s\r\n", cmd); err != nil {
			t.Fatal(err)
		}
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	return strings.TrimSpace(line)
}
