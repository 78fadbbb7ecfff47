package events

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/worker"
)

// pruneEvery and pruneBatch keep each deletion short, and between two of them the pruners rest, so that pruning never holds up delivery.
const (
	pruneEvery = time.Minute
	pruneBatch = 1000
)

// prune forgets published events that were written longer than OutboxRetention ago; unpublished ones never. The age counts from
// the writing, which no replay renews: an event that was replayed again and again would else outlive the listeners' inbox rows.
func (o *Outbox) prune(ctx context.Context) (more bool, err error) {
	return prune(ctx, o.pool, "outbox", `
		DELETE FROM outbox WHERE id IN (
			SELECT id FROM outbox WHERE created_at < now() - $1::interval AND published_at IS NOT NULL
			ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, o.cfg.OutboxRetention)
}

// prune forgets events that were handled longer than InboxRetention ago and dead letters that died longer than DeadRetention ago;
// failed events that are still tried never.
func (c *Consumer) prune(ctx context.Context) (more bool, err error) {
	moreHandled, err := prune(ctx, c.pool, "inbox", `
		DELETE FROM inbox WHERE event_id IN (
			SELECT event_id FROM inbox WHERE handled_at < now() - $1::interval
			ORDER BY handled_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, c.cfg.InboxRetention)
	if err != nil {
		return false, err
	}
	moreDead, err := prune(ctx, c.pool, "dead letters", `
		DELETE FROM failed WHERE event_id IN (
			SELECT event_id FROM failed WHERE dead_at < now() - $1::interval
			ORDER BY dead_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, c.cfg.DeadRetention)
	return moreHandled || moreDead, err
}

func prune(ctx context.Context, pool *pgxpool.Pool, what, statement string, retention time.Duration) (more bool, err error) {
	ctx, cancel := worker.UntilStop(ctx)
	defer cancel()
	tag, err := pool.Exec(ctx, statement, retention, pruneBatch)
	if err != nil {
		return false, fmt.Errorf("prune %s: %w", what, err)
	}
	return tag.RowsAffected() == pruneBatch, nil
}

// replayBatch keeps each statement of a replay far below the role's statement_timeout, however much there is to tell again.
const replayBatch = 1000

// Replay tells every event published at or after since once more, and returns how many. Use it after the bus has lost what it was
// given: listeners that did hear them ignore them. It works in batches, so one that ended with an error has told what it counted,
// and may be called again.
//
// What was written longer than OutboxRetention ago may be gone, and a since before that silently tells less than it asks for.
func Replay(ctx context.Context, pool *pgxpool.Pool, since time.Time) (int64, error) {
	// What the relays publish from here on is not told again, and so the loop ends, although they are busy with its own rows. The
	// bound is the newest mark and not the clock, which may be behind the marks after a move to another server.
	var until *time.Time
	if err := pool.QueryRow(ctx, "SELECT max(published_at) FROM outbox").Scan(&until); err != nil {
		return 0, fmt.Errorf("replay: %w", err)
	}
	var told int64
	for {
		tag, err := pool.Exec(ctx, `
			UPDATE outbox SET published_at = NULL, replays = replays + 1 WHERE id IN (
				SELECT id FROM outbox WHERE published_at BETWEEN $1 AND $2
				ORDER BY published_at LIMIT $3 FOR UPDATE)`, since, until, replayBatch)
		if err != nil {
			return told, fmt.Errorf("replay: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return told, nil
		}
		told += tag.RowsAffected()
	}
}
