package parts

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxnex/fluxnex/pkg/embedded"
)

var (
	redis     shared[server]
	redisDirs atomic.Int64
)

// Redis is the address of an empty database of a real Redis; FLUSHDB in it
// touches no other test. A test that does more to its server (FLUSHALL, CONFIG
// SET, a kill) takes [RedisAlone].
func Redis(t testing.TB) string {
	t.Helper()
	s, err := redis.get(func() (server, error) {
		if u := os.Getenv("FLUXNEX_TEST_REDIS_URL"); u != "" {
			return server{u, "real", "by address"}, nil
		}
		r, err := startRedis()
		if err != nil {
			return server{}, err
		}
		return server{r.URL, "real", r.Kind}, nil
	})
	if err != nil {
		skip(t, "Redis", err.Error())
	}
	report(t, "Redis", s.how, s.kind)
	u, err := emptyDatabase(s.url)
	if err != nil {
		t.Fatalf("take an empty Redis database: %v", err)
	}
	return u
}

// RedisAlone is the address of a Redis server that only this test uses; kill
// ends it as SIGTERM does.
func RedisAlone(t testing.TB) (address string, kill func()) {
	t.Helper()
	s, err := startRedis()
	if err != nil {
		skip(t, "Redis", err.Error())
	}
	report(t, "Redis", "real", s.Kind)
	t.Cleanup(func() { _ = s.Close() }) // it may be gone already
	return s.URL + "/0", func() {
		if err := s.Close(); err != nil {
			t.Errorf("kill Redis: %v", err)
		}
	}
}

func startRedis() (*embedded.Server, error) {
	dir, err := homeDir()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	return embedded.InstalledRedis(ctx, filepath.Join(dir, "redis"+strconv.FormatInt(redisDirs.Add(1), 10)), 0)
}

// emptyDatabase takes the next database of the server. Database 0 counts, so
// that several test processes on one server take different ones.
func emptyDatabase(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	c, err := dialRedis(u)
	if err != nil {
		return "", err
	}
	defer c.conn.Close()
	n, err := c.do("INCR", "fluxnex-parts:databases")
	if err != nil {
		return "", err
	}
	count, err := strconv.Atoi(n)
	if err != nil {
		return "", fmt.Errorf("INCR answered %q", n)
	}
	// Servers have 16 databases unless told otherwise; ours have 1024.
	databases := 1024
	if _, err := c.do("SELECT", strconv.Itoa(databases-1)); err != nil {
		databases = 16
	}
	db := strconv.Itoa(1 + count%(databases-1))
	if _, err := c.do("SELECT", db); err != nil {
		return "", err
	}
	if _, err := c.do("FLUSHDB"); err != nil {
		return "", err
	}
	u.Path = "/" + db
	return u.String(), nil
}

// redisConn speaks as much RESP as emptyDatabase needs.
type redisConn struct {
	conn net.Conn
	r    *bufio.Reader
}

func dialRedis(u *url.URL) (*redisConn, error) {
	conn, err := net.DialTimeout("tcp", u.Host, 10*time.Second)
	if err != nil {
		return nil, err
	}
	c := &redisConn{conn, bufio.NewReader(conn)}
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	if password, ok := u.User.Password(); ok {
		user := u.User.Username()
		if user == "" {
			user = "default"
		}
		if _, err := c.do("AUTH", user, password); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// do sends a command whose answer is one line.
func (c *redisConn) do(args ...string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := c.conn.Write([]byte(b.String())); err != nil {
		return "", err
	}
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "-") {
		return "", errors.New(args[0] + ": " + line[1:])
	}
	return line[1:], nil
}
