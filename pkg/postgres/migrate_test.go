package postgres

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/fluxnex/fluxnex/tests/parts"
)

// open gives a migrated empty database.
func open(t *testing.T) *DB {
	t.Helper()
	db := openEmpty(t)
	if err := Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db
}

func openEmpty(t *testing.T) *DB {
	t.Helper()
	db, err := Open(t.Context(), parts.Postgres(t), Options{Application: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func TestManyProcessesMigrateAtOnce(t *testing.T) {
	db := openEmpty(t)
	var wg sync.WaitGroup
	failures := make([]error, 6)
	for i := range failures {
		wg.Go(func() { failures[i] = Migrate(context.Background(), db) })
	}
	wg.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
	var version int64
	if err := db.pool.QueryRow(t.Context(), "SELECT max(version) FROM config_version").Scan(&version); err != nil || version != 0 {
		t.Fatalf("configuration version %d, %v; a new database has 0", version, err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	db := open(t)
	if _, err := db.pool.Exec(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9000, true)"); err != nil {
		t.Fatal(err)
	}
	err := Migrate(t.Context(), db)
	if !errors.Is(err, ErrNewerSchema) {
		t.Fatalf("got %v, want ErrNewerSchema", err)
	}
	t.Log(err)
}

func TestWrongAddressSaysWhatToDo(t *testing.T) {
	_, err := Open(t.Context(), "postgres://nobody:hunter2secret@127.0.0.1:1/none", Options{})
	if err == nil {
		t.Fatal("opened a database that is not there")
	}
	if got := err.Error(); len(got) == 0 || strings.Contains(got, "hunter2secret") {
		t.Fatalf("the error shows the password: %s", got)
	}
	_, err = Open(t.Context(), "postgres://x:hunter2secret@host:notaport/none", Options{})
	if err == nil || strings.Contains(err.Error(), "hunter2secret") {
		t.Fatalf("got %v", err)
	}
}
