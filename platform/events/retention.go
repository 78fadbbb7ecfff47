package events

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
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
