package events

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/worker"
)

// pruneEvery and pruneBatch keep each deletion short, and between two of them the pruners rest, so that pruning never holds up delivery.
const (
	pruneEvery = time.Minute
	pruneBatch = 1000
)

// idAt is the least id that is made at that time or later. Ids begin with the milliseconds of their
// making (UUIDv7, RFC 9562), so the primary key finds rows by age, and no further index has to be
// written for each event. One with another kind of id is handled as any, and not forgotten.
func idAt(t time.Time) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:], uint64(max(0, t.UnixMilli()))<<16) //nolint:gosec // it is never below 0
	return id
}

// skew bounds how far the clocks of processes, which make the ids, are from the database's, which
// says how old a row is.
const skew = time.Hour

// oldest is greater than the ids of all rows that are older than the retention.
func oldest(retention time.Duration) uuid.UUID { return idAt(time.Now().Add(skew - retention)) }

// prune forgets published events that were written longer than OutboxRetention ago; unpublished
// ones never. The age counts from the writing, which no replay renews: an event that was replayed
// again and again would else outlive the inbox rows of it.
func (o *Outbox) prune(ctx context.Context) (more bool, err error) {
	return prune(ctx, o.db.Pool, "outbox", `
		DELETE FROM outbox WHERE id = ANY (ARRAY (
			SELECT id FROM outbox WHERE id < $3 AND created_at < now() - $2::interval
			AND (SELECT event_id FROM outbox_pending WHERE event_id = id) IS NULL
			ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED))`, o.cfg.OutboxRetention, oldest(o.cfg.OutboxRetention))
}

// prune forgets events that were handled longer than InboxRetention ago and dead letters that died longer than DeadRetention ago;
// failed events that are still tried never.
func (c *Consumer) prune(ctx context.Context) (more bool, err error) {
	moreHandled, err := prune(ctx, c.db.Pool, "inbox", `
		DELETE FROM inbox WHERE event_id = ANY (ARRAY (
			SELECT event_id FROM inbox WHERE event_id < $3 AND handled_at < now() - $2::interval
			ORDER BY event_id LIMIT $1 FOR UPDATE SKIP LOCKED))`, c.cfg.InboxRetention, oldest(c.cfg.InboxRetention))
	if err != nil {
		return false, err
	}
	moreDead, err := prune(ctx, c.db.Pool, "dead letters", `
		DELETE FROM failed WHERE event_id = ANY (ARRAY (
			SELECT event_id FROM failed WHERE dead_at < now() - $2::interval
			ORDER BY dead_at LIMIT $1 FOR UPDATE SKIP LOCKED))`, c.cfg.DeadRetention)
	return moreHandled || moreDead, err
}

func prune(ctx context.Context, pool *pgxpool.Pool, what, statement string, args ...any) (more bool, err error) {
	ctx, cancel := worker.UntilStop(ctx)
	defer cancel()
	tag, err := pool.Exec(ctx, statement, append([]any{pruneBatch}, args...)...)
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
	// What is written from here on is not replayed, and so the loop ends.
	var until, last uuid.UUID
	err := pool.QueryRow(ctx, "SELECT id FROM outbox ORDER BY id DESC LIMIT 1").Scan(&until)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("replay: %w", err)
	}
	last = idAt(since.Add(-skew))
	for replayed := int64(0); ; {
		var n int64
		err := pool.QueryRow(ctx, `
			WITH page AS (
				SELECT id FROM outbox WHERE id > $1 AND id <= $2 AND created_at >= $3 ORDER BY id LIMIT $4),
			again AS (
				UPDATE outbox SET replays = replays + 1 WHERE id = ANY (ARRAY (SELECT id FROM page)) RETURNING id, topic, replays),
			pending AS (
				INSERT INTO outbox_pending (event_id, topic, replays, created_at)
				SELECT id, topic, replays, now() - interval '1 second' FROM again -- no process has it in hand: the next poll takes it
				ON CONFLICT (event_id) DO UPDATE SET replays = excluded.replays)
			SELECT count(*), coalesce((SELECT id FROM page ORDER BY id DESC LIMIT 1), $1) FROM page`,
			last, until, since, replayBatch).Scan(&n, &last)
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

// Replayable is how many events Replay would publish.
func Replayable(ctx context.Context, pool *pgxpool.Pool, since time.Time) (n int64, err error) {
	const count = "SELECT count(*) FROM outbox WHERE id > $1 AND created_at >= $2"
	if err := pool.QueryRow(ctx, count, idAt(since.Add(-skew)), since).Scan(&n); err != nil {
		return 0, fmt.Errorf("count events: %w", err)
	}
	return n, nil
}
