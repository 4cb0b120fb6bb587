package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrationLock is the advisory lock that one migrating process holds.
const migrationLock int64 = 0x666c75786e6578 // "fluxnex"

// ErrNewerSchema reports a database that a newer fluxnex has migrated.
var ErrNewerSchema = errors.New("the database schema is newer than this program")

// Migrate brings the schema up to what this program knows. Several processes
// may call it at once: the others wait for the first and find nothing to do. A
// newer schema is refused, because this program cannot know what it means.
func Migrate(ctx context.Context, db *DB) error {
	config := db.pool.Config().ConnConfig.Copy()
	// Waiting for another process's migration is no mistake, however long.
	for _, timeout := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} {
		config.RuntimeParams[timeout] = "0"
	}
	lock, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("postgres: migrate: %w", err)
	}
	// Closing the session releases the lock, also after a cancelled context.
	defer func() { _ = lock.Close(context.WithoutCancel(ctx)) }()
	if _, err := lock.Exec(ctx, "SELECT pg_advisory_lock($1)", migrationLock); err != nil {
		return fmt.Errorf("postgres: migrate: waiting for another process's migration: %w", err)
	}

	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return err
	}
	connections := stdlib.OpenDB(*config)
	defer func() { _ = connections.Close() }()
	provider, err := goose.NewProvider(goose.DialectPostgres, connections, files)
	if err != nil {
		return fmt.Errorf("postgres: migrate: %w", err)
	}
	applied, err := provider.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("postgres: migrate: %w", err)
	}
	sources := provider.ListSources()
	if newest := sources[len(sources)-1].Version; applied > newest {
		return fmt.Errorf("%w: it has version %d, this fluxnex knows up to %d; start the newer fluxnex that migrated it, or restore a backup from before", ErrNewerSchema, applied, newest)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("postgres: migrate: %w", err)
	}
	return nil
}
