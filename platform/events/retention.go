package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/process"
)

// pruneEvery and pruneBatch keep each deletion short, so that pruning never holds up the relay.
const (
	pruneEvery = time.Minute
	pruneBatch = 1000
)

// prune forgets published events that are older than OutboxRetention; unpublished ones never.
func (o *Outbox) prune(ctx context.Context) (more bool, err error) {
	tag, err := o.pool.Exec(ctx, `
		DELETE FROM outbox WHERE id IN (
			SELECT id FROM outbox WHERE published_at < now() - $1::interval
			ORDER BY published_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, o.cfg.OutboxRetention, pruneBatch)
	if err != nil {
		return false, fmt.Errorf("prune outbox: %w", err)
	}
	return tag.RowsAffected() == pruneBatch, nil
}

// prune forgets events that were handled longer than InboxRetention ago; failed ones and dead letters never.
func (c *Consumer) prune(ctx context.Context) (more bool, err error) {
	tag, err := c.pool.Exec(ctx, `
		DELETE FROM inbox WHERE event_id IN (
			SELECT event_id FROM inbox WHERE handled_at < now() - $1::interval
			ORDER BY handled_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, c.cfg.InboxRetention, pruneBatch)
	if err != nil {
		return false, fmt.Errorf("prune inbox: %w", err)
	}
	return tag.RowsAffected() == pruneBatch, nil
}

// Replay tells every event published at or after since once more, and returns how many. Use it after the bus has lost what it was
// given: listeners that did hear them ignore them. What is older than OutboxRetention is gone and cannot be told again.
func Replay(ctx context.Context, pool *pgxpool.Pool, since time.Time) (int64, error) {
	tag, err := pool.Exec(ctx, "UPDATE outbox SET published_at = NULL, replays = replays + 1 WHERE published_at >= $1", since)
	if err != nil {
		return 0, fmt.Errorf("replay: %w", err)
	}
	return tag.RowsAffected(), nil
}

// ErrOtherBus says that a process is configured for another bus than the one its schema's events travel on.
var ErrOtherBus = process.Usage(errors.New("the schema belongs to another bus"))

// RecordBus writes down which bus the schema's events travel on, the first time, and answers ErrOtherBus when that is not the
// one named. Two processes of one schema on different buses would each tell events to half of the listeners.
func RecordBus(ctx context.Context, pool *pgxpool.Pool, name string) error {
	var recorded string
	err := pool.QueryRow(ctx, `
		WITH first AS (INSERT INTO bus (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING name)
		SELECT name FROM first UNION ALL SELECT name FROM bus LIMIT 1`, name).Scan(&recorded)
	if err != nil {
		return fmt.Errorf("record bus: %w", err)
	}
	if recorded != name {
		return fmt.Errorf("%w: it is recorded for %q and this process is configured for %q", ErrOtherBus, recorded, name)
	}
	return nil
}
