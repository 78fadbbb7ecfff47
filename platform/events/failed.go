package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/backoff"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/share"
)

// recordFailure records an event's first failure, after so many attempts that count. From then on
// the retries handle it, not the bus.
func (c *Consumer) recordFailure(ctx context.Context, m *message.Message, attempts int, cause error) error {
	dead := c.lastAttempt(attempts, cause)
	// Another process may have received and recorded it too: the first failure counts.
	err := c.conn.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO failed (event_id, topic, key, payload, headers, attempts, reason, next_at, dead_at)
			VALUES ($1, $2, $3, $4, $5, $9, $6, now() + $7, CASE WHEN $8 THEN now() END)
			ON CONFLICT DO NOTHING`,
			m.UUID, m.Metadata[headerTopic], m.Metadata[headerKey], []byte(m.Payload), m.Metadata, postgres.Reason(cause),
			c.backoff(1), dead, attempts)
		return err
	})
	if err != nil {
		return errors.Join(cause, fmt.Errorf("record failure: %w", err))
	}
	c.logAttempt(ctx, m, attempts, dead, cause)
	return nil
}

// retryOne retries the failed event that has been due for longest. A failed attempt is recorded in
// a transaction of its own, because it can end with its connection.
func (c *Consumer) retryOne(ctx context.Context) (more bool, err error) {
	var m *message.Message
	var attempts int
	err = c.applyFresh(ctx, func(ctx context.Context, tx pgx.Tx) (_ []*message.Message, err error) {
		if m, attempts, err = c.dueTx(ctx, tx); errors.Is(err, pgx.ErrNoRows) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read failed: %w", err)
		}
		if _, err := tx.Exec(ctx, "DELETE FROM failed WHERE event_id = $1", m.UUID); err != nil {
			return nil, fmt.Errorf("take from failed: %w", err)
		}
		return []*message.Message{m}, nil // which another process that received it may have handled
	})
	if m == nil {
		return false, err
	}
	if err != nil {
		return true, c.postpone(ctx, m, attempts, err)
	}
	return true, nil
}

// dueTx locks and returns this side's failed event that has been due for longest, skipping those
// that another process is retrying. The row is locked before the module's lock is taken, and no
// holder of that lock waits for such a row, so the two cannot deadlock.
func (c *Consumer) dueTx(ctx context.Context, tx pgx.Tx) (*message.Message, int, error) {
	var id uuid.UUID
	var payload []byte
	var headers message.Metadata
	var attempts int
	err := tx.QueryRow(ctx, `
		SELECT event_id, payload, headers, attempts FROM failed
		WHERE dead_at IS NULL AND next_at <= now() AND bucket_of(key) <@ share_of($1, topic)
		ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED`, c.db.Side.Name()).Scan(&id, &payload, &headers, &attempts)
	if err != nil {
		return nil, 0, err
	}
	m := message.NewMessage(id.String(), payload)
	m.Metadata = headers
	return m, attempts, nil
}

// postpone records when the event is tried again, and counts the attempt unless the cause is
// transient. Another process that has tried the event since has counted for both.
func (c *Consumer) postpone(ctx context.Context, m *message.Message, attempts int, cause error) error {
	counted := attempts
	if !transient(cause) {
		counted++
	}
	dead := counted > attempts && c.lastAttempt(counted, cause)
	var tag pgconn.CommandTag
	err := c.conn.inTx(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		tag, err = tx.Exec(ctx, `
			UPDATE failed SET attempts = $3, reason = $4, next_at = now() + $5, dead_at = CASE WHEN $6 THEN now() END
			WHERE event_id = $1 AND attempts = $2`,
			m.UUID, attempts, counted, postgres.Reason(cause), c.backoff(counted), dead)
		return err
	})
	if err != nil {
		return errors.Join(cause, fmt.Errorf("postpone event: %w", err))
	}
	if tag.RowsAffected() > 0 {
		c.logAttempt(ctx, m, counted, dead, cause)
	}
	return nil
}

// lastAttempt reports whether the event is not tried again after so many attempts.
func (c *Consumer) lastAttempt(attempts int, cause error) bool {
	_, final := errors.AsType[finalError](cause)
	return final || attempts >= c.cfg.MaxAttempts
}

func (c *Consumer) logAttempt(ctx context.Context, m *message.Message, attempts int, dead bool, cause error) {
	level, text := slog.LevelWarn, "event failed"
	if dead {
		level, text = slog.LevelError, "event is a dead letter"
	}
	c.log.Log(ctx, level, text,
		"event_id", m.UUID, "topic", m.Metadata[headerTopic], "attempts", attempts, "error", cause)
}

func (c *Consumer) backoff(attempts int) time.Duration {
	return backoff.After(attempts, c.cfg.RetryBase, c.cfg.RetryMax)
}

// Redrive makes dead letters of the pool's module due now, with all their attempts again. It
// returns how many it found among ids; without ids it redrives all.
func Redrive(ctx context.Context, pool *pgxpool.Pool, ids ...uuid.UUID) (int64, error) {
	tag, err := pool.Exec(ctx, `
		UPDATE failed SET attempts = 0, next_at = now(), dead_at = NULL
		WHERE dead_at IS NOT NULL AND ($1::uuid[] IS NULL OR event_id = ANY($1))`, ids)
	if err != nil {
		return 0, fmt.Errorf("redrive: %w", err)
	}
	return tag.RowsAffected(), nil
}

// errTooSlow means that a handler used up the time of its transaction. Time spent waiting for the
// module's lock is reported otherwise: see holdsUpAll.
var errTooSlow = errors.New("the handler took too long")

// transient reports whether the database, and not the event, caused err, so that it does not count
// as an attempt. A doubtful cause is not transient: an attempt too many ends in a dead letter that
// can be redriven, an event that is never counted is redelivered forever.
func transient(err error) bool {
	switch {
	case err == nil:
		return false
	case holdsUpAll(err), notFresh(err): // the shares have changed within the transaction
		return true
	case errors.Is(err, errTooSlow), errors.As(err, new(finalError)):
		return false
	case errors.Is(err, errNoConnection) || errors.Is(err, context.DeadlineExceeded):
		return true
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Code != "57014" && postgres.Transient(pgErr) // query_canceled: the handler's statement is too slow
	}
	return pgconn.SafeToRetry(err)
}

// holdsUpAll reports whether any other event would wait as long and fail as well: the database
// cannot be reached, or another process of the module, such as a frozen one, holds the lock.
func holdsUpAll(err error) bool {
	queued, ok := errors.AsType[*postgres.QueuedError](err)
	return errors.Is(err, errUnreachable) || ok && queued.SQL == share.TakeTurn && postgres.HasCode(err, postgres.LockTimeout)
}
