package events

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/worker"
)

// pruneEvery and pruneBatch keep each deletion short, and between two of them the pruners rest, so that pruning never holds up delivery.
const (
	pruneEvery = time.Minute
	pruneBatch = 1000
)

// prune forgets published events that were written longer than OutboxRetention ago; unpublished
// ones never. The age counts from the writing, which no replay renews: an event that was replayed
// again and again would else outlive the inbox rows of it.
func (o *Outbox) prune(ctx context.Context) (more bool, err error) {
	return prune(ctx, o.db.Pool, "outbox", `
		DELETE FROM outbox WHERE id IN (
			SELECT id FROM outbox WHERE created_at < now() - $1::interval
			AND NOT EXISTS (SELECT FROM outbox_pending WHERE event_id = id)
			ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, o.cfg.OutboxRetention)
}

// prune forgets events that were handled longer than InboxRetention ago and dead letters that died longer than DeadRetention ago;
// failed events that are still tried never.
func (c *Consumer) prune(ctx context.Context) (more bool, err error) {
	moreHandled, err := prune(ctx, c.db.Pool, "inbox", `
		DELETE FROM inbox WHERE event_id IN (
			SELECT event_id FROM inbox WHERE handled_at < now() - $1::interval
			ORDER BY handled_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, c.cfg.InboxRetention)
	if err != nil {
		return false, err
	}
	moreDead, err := prune(ctx, c.db.Pool, "dead letters", `
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

// replayBatch keeps each statement of a replay far below the role's statement_timeout, however much
// there is to replay.
const replayBatch = 1000

// Replay publishes every event written at or after since once more, and returns how many. Use it
// after the bus has lost what it was given: modules that did handle them ignore them. An event may
// have waited for the bus, so begin earlier than the loss. It works in batches, and calls progress
// after each with the count so far; one that ended with an error has replayed that many.
//
// What was written longer than OutboxRetention ago may be gone, and a since before that silently
// replays less than it asks for.
func Replay(ctx context.Context, pool *pgxpool.Pool, since time.Time, progress func(replayed int64)) (int64, error) {
	// What is written from here on is not replayed, and so the loop ends. The bound is the newest
	// row and not the clock, which may be behind the rows after a move to another server.
	var until *time.Time
	if err := pool.QueryRow(ctx, "SELECT max(created_at) FROM outbox").Scan(&until); err != nil {
		return 0, fmt.Errorf("replay: %w", err)
	}
	var replayed int64
	var last uuid.UUID // the page's last row
	for at := since; ; {
		var n int64
		err := pool.QueryRow(ctx, `
			WITH page AS (
				SELECT id, created_at FROM outbox
				WHERE created_at >= $1 AND (created_at, id) > ($1, $2) AND created_at <= $3
				ORDER BY created_at, id LIMIT $4),
			again AS (
				UPDATE outbox SET replays = replays + 1 WHERE id IN (SELECT id FROM page) RETURNING id, topic, replays),
			pending AS (
				INSERT INTO outbox_pending (event_id, topic, replays, created_at)
				SELECT id, topic, replays, now() - interval '1 second' FROM again -- no process has it in hand: the next poll takes it
				ON CONFLICT (event_id) DO UPDATE SET replays = excluded.replays)
			SELECT count(*), coalesce(max(created_at), $1), coalesce((SELECT id FROM page ORDER BY created_at DESC, id DESC LIMIT 1), $2)
			FROM page`, at, last, until, replayBatch).Scan(&n, &at, &last)
		if err != nil {
			return replayed, fmt.Errorf("replay: %w", err)
		}
		if n == 0 {
			return replayed, nil
		}
		replayed += n
		progress(replayed)
	}
}
