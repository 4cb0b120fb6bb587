package parts_test

import (
	"bufio"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

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
	defer conn.Close(t.Context()) //nolint:errcheck // the test is over
	if _, err := conn.Exec(t.Context(), "CREATE TABLE seen (n int)"); err != nil {
		t.Fatal(err)
	}
	other, err := pgx.Connect(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(t.Context()) //nolint:errcheck // the test is over
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
	defer c.Close() //nolint:errcheck // the answer is read
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
