package parts

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/fluxnex/fluxnex/pkg/embedded"
)

type server struct{ url, how, kind string }

var postgres shared[server]

// Postgres is the URL of a fresh, empty database that is dropped after the test.
func Postgres(t testing.TB) string {
	t.Helper()
	s, err := postgres.get(startPostgres)
	if err != nil {
		skip(t, "PostgreSQL", err.Error())
	}
	report(t, "PostgreSQL", s.how, s.kind)
	name := "t_" + strings.ToLower(rand.Text())
	if err := execute(s.url, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create the test's database: %v", err)
	}
	t.Cleanup(func() {
		if err := execute(s.url, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatalf("PostgreSQL address: %v", err)
	}
	u.Path = "/" + name
	return u.String()
}

func startPostgres() (server, error) {
	if u := os.Getenv("FLUXNEX_TEST_POSTGRES_URL"); u != "" {
		return server{u, "real", "by address"}, nil
	}
	dir, err := homeDir()
	if err != nil {
		return server{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = dir
	}
	s, err := embedded.LocalPostgres(ctx, filepath.Join(cache, "fluxnex"), embedded.PostgresOptions{Dir: filepath.Join(dir, "postgres"), Volatile: true})
	if err != nil {
		return server{}, err
	}
	how := "real"
	if strings.HasPrefix(s.Kind, "embedded") {
		how = "embedded"
	}
	return server{s.URL, how, s.Kind}, nil
}

// execute runs one statement on a connection of its own.
func execute(address, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}
