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

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/worker"
)

// pruneEvery and pruneBatch keep deletions short and apart, so that none holds up delivery.
const (
	pruneEvery = time.Minute
	pruneBatch = 1000
)

// idAt returns the least id that can be made at that time or later. Ids begin with their time in
// milliseconds (UUIDv7, RFC 9562), so the primary key finds rows by age, without another index. An
// event with another kind of id is handled as any, and may never be pruned.
func idAt(t time.Time) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:], uint64(max(0, t.UnixMilli()))<<16) //nolint:gosec // it is never below 0
	return id
}

// skew bounds the difference between the clocks of the processes, which make the ids, and the
// database's, which dates the rows.
const skew = time.Hour

// oldest returns an id greater than those of all rows older than the retention.
func oldest(retention time.Duration) uuid.UUID { return idAt(time.Now().Add(skew - retention)) }

// prune deletes published events that have expired, were written longer than OutboxRetention ago,
// or are erased, and never unpublished ones. A replay does not renew the age: an event that was
// replayed again and again would otherwise outlive its inbox rows.
func (o *Outbox) prune(ctx context.Context) (more bool, err error) {
	moreExpired, err := prune(ctx, o.db, "expired events", `
		DELETE FROM outbox WHERE id = ANY (ARRAY (
			SELECT id FROM outbox WHERE expires_at < now()
			AND (SELECT event_id FROM outbox_pending WHERE event_id = id) IS NULL
			ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED))`)
	if err != nil {
		return false, err
	}
	moreOld, err := prune(ctx, o.db, "outbox", `
		DELETE FROM outbox WHERE id = ANY (ARRAY (
			SELECT id FROM outbox WHERE id < $3 AND created_at < now() - $2::interval
			AND (SELECT event_id FROM outbox_pending WHERE event_id = id) IS NULL
			ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED))`, o.cfg.OutboxRetention, oldest(o.cfg.OutboxRetention))
	if err != nil {
		return false, err
	}
	moreErased, err := o.erase(ctx)
	return moreExpired || moreOld || moreErased, err
}

// prune deletes inbox rows older than InboxRetention, and dead letters that have expired or are
// older than DeadRetention. It never deletes failed events that are still retried.
func (c *Consumer) prune(ctx context.Context) (more bool, err error) {
	moreHandled, err := prune(ctx, c.db, "inbox", `
		DELETE FROM inbox WHERE event_id = ANY (ARRAY (
			SELECT event_id FROM inbox WHERE event_id < $3 AND handled_at < now() - $2::interval
			ORDER BY event_id LIMIT $1 FOR UPDATE SKIP LOCKED))`, c.cfg.InboxRetention, oldest(c.cfg.InboxRetention))
	if err != nil {
		return false, err
	}
	moreDead, err := prune(ctx, c.db, "dead letters", `
		DELETE FROM failed WHERE event_id = ANY (ARRAY (
			SELECT event_id FROM failed WHERE dead_at < now() - $2::interval
				OR dead_at IS NOT NULL AND headers ->> 'expirytime' COLLATE "C" < $3
			ORDER BY dead_at LIMIT $1 FOR UPDATE SKIP LOCKED))`,
		c.cfg.DeadRetention, time.Now().UTC().Format(time.RFC3339))
	return moreHandled || moreDead, err
}

func prune(ctx context.Context, db *postgres.DB, what, statement string, args ...any) (more bool, err error) {
	ctx, cancel := worker.UntilStop(ctx)
	defer cancel()
	tag, err := db.Exec(ctx, statement, append([]any{pruneBatch}, args...)...)
	if err != nil {
		return false, fmt.Errorf("prune %s: %w", what, err)
	}
	return tag.RowsAffected() == pruneBatch, nil
}

// replayBatch keeps each statement of a replay far below the role's statement_timeout.
const replayBatch = 1000

// Replay publishes every event written at or after since once more, and returns how many. Use it
// after the bus has lost messages: modules that have handled an event ignore its replay. An event
// may have waited for the bus, so begin earlier than the loss. It works in batches, and calls
// progress after each with the count so far, which it returns also with an error.
//
// What was written longer than OutboxRetention ago may be gone, and a since before that silently
// replays less than it asks for. What has expired is not replayed.
func Replay(ctx context.Context, db querier, since time.Time, progress func(replayed int64)) (int64, error) {
	// What is written from here on is not replayed, so the loop ends.
	var until, last uuid.UUID
	err := db.QueryRow(ctx, "SELECT id FROM outbox ORDER BY id DESC LIMIT 1").Scan(&until)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("replay: %w", err)
	}
	last = idAt(since.Add(-skew))
	for replayed := int64(0); ; {
		var n int64
		err := db.QueryRow(ctx, `
			WITH page AS (
				SELECT id FROM outbox WHERE id > $1 AND id <= $2 AND created_at >= $3
					AND coalesce(expires_at > now(), true)
				ORDER BY id LIMIT $4),
			again AS (
				UPDATE outbox SET replays = replays + 1 WHERE id = ANY (ARRAY (SELECT id FROM page))
				RETURNING id, topic, replays),
			pending AS (
				INSERT INTO outbox_pending (event_id, topic, replays, created_at)
				SELECT id, topic, replays, now() - interval '1 second' FROM again -- old enough for the next poll
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

// querier is a pool, or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Replayable returns how many events Replay would publish.
func Replayable(ctx context.Context, pool *pgxpool.Pool, since time.Time) (n int64, err error) {
	const count = "SELECT count(*) FROM outbox WHERE id > $1 AND created_at >= $2 AND coalesce(expires_at > now(), true)"
	if err := pool.QueryRow(ctx, count, idAt(since.Add(-skew)), since).Scan(&n); err != nil {
		return 0, fmt.Errorf("count events: %w", err)
	}
	return n, nil
}
