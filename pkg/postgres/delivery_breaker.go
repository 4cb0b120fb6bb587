package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Breaker is a lane's breaker as all processes see it. It belongs to the lane
// and not to the remote account: two tenants with connections to one account
// reach it over base URLs and credentials of their own, and what is wrong with
// one of these must not stop the other. Two connections of one tenant to one
// account share the lane, its rows, and so its breaker.
type Breaker struct {
	// Openings is how often it opened in a row; 0 is closed.
	Openings int32
	// Left is how long nobody may call; from 0 on it is half open: one call, over
	// all processes, shows whether the destination is back.
	Left  time.Duration
	Since time.Time // of the first opening
	Code  string    // of the failure that opened it last
}

// Open reports that nobody may call.
func (b Breaker) Open() bool { return b.Openings > 0 && b.Left > 0 }

// HalfOpen reports that one call may go.
func (b Breaker) HalfOpen() bool { return b.Openings > 0 && b.Left <= 0 }

const breakerColumns = `l.breaker_openings, coalesce(l.breaker_until - now(), interval '0'), l.breaker_since, l.breaker_code`

func (b *Breaker) columns(since **time.Time) []any {
	return []any{&b.Openings, &b.Left, since, &b.Code}
}

// OpenBreaker leaves a lane alone for pause, twice as long for each opening
// before in a row, at most for longest. seen is the number of openings that the
// caller knows of: of many who open at once one does. The answer is how the
// breaker stands then.
func (d *Deliveries) OpenBreaker(ctx context.Context, lane, seen int32, pause, longest time.Duration, code string) (b Breaker, opened bool, err error) {
	var since *time.Time
	err = d.db.pool.QueryRow(ctx, `
		UPDATE delivery_lane l SET breaker_openings = l.breaker_openings + 1, breaker_since = coalesce(l.breaker_since, now()), breaker_trial = NULL,
			breaker_until = now() + least($3::interval * power(2, least(l.breaker_openings, 20)), $4::interval), breaker_code = $5
		WHERE l.id = $1 AND l.breaker_openings = $2
		RETURNING `+breakerColumns, lane, seen, pause, longest, code).Scan(b.columns(&since)...)
	opened = err == nil
	if errors.Is(err, pgx.ErrNoRows) {
		err = d.db.pool.QueryRow(ctx, `SELECT `+breakerColumns+` FROM delivery_lane l WHERE l.id = $1`, lane).Scan(b.columns(&since)...)
	}
	if err != nil {
		return Breaker{}, false, fmt.Errorf("postgres: open breaker: %w", err)
	}
	if since != nil {
		b.Since = *since
	}
	return b, opened, nil
}

// CloseBreaker lets everybody call again, and reports whether it was not closed
// already. After an outage of at least rampAfter the lane is drained with a
// ramp.
func (d *Deliveries) CloseBreaker(ctx context.Context, lane int32, rampAfter time.Duration) (bool, error) {
	tag, err := d.db.pool.Exec(ctx, `
		UPDATE delivery_lane SET breaker_openings = 0, breaker_since = NULL, breaker_until = NULL, breaker_trial = NULL, breaker_code = '',
			opened_at = CASE WHEN now() - breaker_since >= $2::interval THEN now() ELSE opened_at END
		WHERE id = $1 AND breaker_openings > 0`, lane, rampAfter)
	if err != nil {
		return false, fmt.Errorf("postgres: close breaker: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// TakeTrial gives the caller the one call of a half-open lane; the zero time
// where somebody else has it. It ends by itself after the lease, so that a
// process that dies with it stops nobody.
func (d *Deliveries) TakeTrial(ctx context.Context, lane int32, lease time.Duration) (time.Time, error) {
	var until time.Time
	err := d.db.pool.QueryRow(ctx, `
		UPDATE delivery_lane SET breaker_trial = now() + $2::interval
		WHERE id = $1 AND breaker_openings > 0 AND breaker_until <= now() AND (breaker_trial IS NULL OR breaker_trial <= now())
		RETURNING breaker_trial`, lane, lease).Scan(&until)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, fmt.Errorf("postgres: trial call: %w", err)
	}
	return until, nil
}

// DropTrial gives back a trial that no call was made with.
func (d *Deliveries) DropTrial(ctx context.Context, lane int32, trial time.Time) error {
	if _, err := d.db.pool.Exec(ctx, `UPDATE delivery_lane SET breaker_trial = NULL WHERE id = $1 AND breaker_trial = $2`, lane, trial); err != nil {
		return fmt.Errorf("postgres: trial call: %w", err)
	}
	return nil
}

// Broken lists the lanes that are left alone because their destination is down.
func (d *Deliveries) Broken(ctx context.Context) ([]Lane, error) {
	rows, err := d.db.pool.Query(ctx, `SELECT l.id, l.tenant_id, l.app, l.remote_account, `+breakerColumns+` FROM delivery_lane l WHERE l.breaker_openings > 0`)
	if err != nil {
		return nil, fmt.Errorf("postgres: broken lanes: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (l Lane, err error) {
		var since *time.Time
		err = row.Scan(append([]any{&l.ID, &l.Tenant, &l.App, &l.RemoteAccount}, l.Breaker.columns(&since)...)...)
		if since != nil {
			l.Breaker.Since = *since
		}
		return l, err
	})
}
