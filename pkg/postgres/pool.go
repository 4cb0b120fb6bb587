package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/fluxnex/fluxnex/pkg/fault"
)

// CodeUnavailable: the database could not be asked.
const CodeUnavailable = "postgres_unavailable"

const (
	connectTimeout = 5 * time.Second
	// A statement that runs longer is a mistake or a lock that somebody forgot:
	// failing it lets the caller retry on a fresh connection.
	statementTimeout = 30 * time.Second
	lockTimeout      = 10 * time.Second
	// A frozen process must not hold row locks: its session is ended.
	idleInTransactionTimeout = 15 * time.Second
	defaultConnections       = 8
)

// Options of [Open]. The zero value is fit for one service.
type Options struct {
	MaxConnections int    // 0 = 8
	Application    string // application_name, seen in pg_stat_activity; "" = fluxnex
}

// DB is a pool of connections to one database. It is safe for concurrent use.
type DB struct {
	pool *pgxpool.Pool
}

// Open connects and asks for one answer, so that a wrong address or password
// is seen at start and not at the first record. Where the server is only away
// the error is a retryable [fault.Error].
func Open(ctx context.Context, url string, opts Options) (*DB, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("postgres: the address cannot be read (expected postgres://user:password@host:5432/database): %w", err)
	}
	if opts.MaxConnections <= 0 {
		opts.MaxConnections = defaultConnections
	}
	if opts.Application == "" {
		opts.Application = "fluxnex"
	}
	config.MaxConns = int32(min(opts.MaxConnections, 1000)) // #nosec G115 -- bounded above
	config.MaxConnLifetime = time.Hour
	config.MaxConnLifetimeJitter = 5 * time.Minute
	config.MaxConnIdleTime = 10 * time.Minute
	config.HealthCheckPeriod = 15 * time.Second
	config.ConnConfig.ConnectTimeout = connectTimeout
	params := config.ConnConfig.RuntimeParams
	params["application_name"] = opts.Application
	params["timezone"] = "UTC"
	params["statement_timeout"] = milliseconds(statementTimeout)
	params["lock_timeout"] = milliseconds(lockTimeout)
	params["idle_in_transaction_session_timeout"] = milliseconds(idleInTransactionTimeout)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	db := &DB{pool: pool}
	if err := db.Ping(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return db, nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// Ping reports whether the database answers within the connect timeout.
func (db *DB) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	err := db.pool.Ping(ctx)
	if err == nil {
		return nil
	}
	away := Temporary(err)
	err = fmt.Errorf("no answer (is it running, and do address and password fit?): %w", err)
	if away {
		return fault.Retry(CodeUnavailable, 0, err)
	}
	return fmt.Errorf("postgres: %w", err)
}

// Close ends all connections; running statements are waited for.
func (db *DB) Close() { db.pool.Close() }

// inTx runs fn in one transaction and commits it if fn returns nil.
func (db *DB) inTx(ctx context.Context, fn func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, db.pool, fn)
}

// inTxWith is inTx for a transaction that begins with the statements that first
// queues: they and the BEGIN are one round trip. Where there is no rest the
// commit is part of it, too.
func (db *DB) inTxWith(ctx context.Context, first func(*pgx.Batch), rest func(pgx.Tx) error) (err error) {
	batch := &pgx.Batch{}
	batch.BeginTx(pgx.TxOptions{})
	first(batch)
	if rest == nil {
		batch.Queue("commit")
	}
	results := db.pool.SendBatch(ctx, batch)
	tx := results.Tx()
	defer func() {
		// It gives the connection back, too, whatever became of the transaction.
		if rerr := tx.Rollback(ctx); rerr != nil && !errors.Is(rerr, pgx.ErrTxClosed) && err == nil {
			err = rerr
		}
	}()
	if err := results.Close(); err != nil || rest == nil {
		return err
	}
	if err := rest(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// Temporary reports whether the same call may succeed later: the server is
// away, restarting, overloaded, or chose this transaction as a deadlock victim.
// A statement the database refuses is not temporary.
func Temporary(err error) bool {
	if err == nil {
		return false
	}
	if pgconn.Timeout(err) || pgconn.SafeToRetry(err) {
		return true
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch refused.Code[:2] {
		case "08", // connection exception
			"40", // serialization failure, deadlock
			"53", // insufficient resources
			"55", // lock not available
			"57", // operator intervention: shutdown, statement timeout
			"58": // system error
			return true
		}
		return refused.Code == "25P03" || refused.Code == "25006" // idle in transaction, read-only standby
	}
	return !errors.Is(err, pgx.ErrNoRows) && !errors.Is(err, context.Canceled)
}
