package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// recordFailure commits that the event was tried once and failed. From then on it is the retries' and not the bus's.
func (c *Consumer) recordFailure(ctx context.Context, m *message.Message, cause error) error {
	headers, err := json.Marshal(m.Metadata)
	if err != nil {
		return fmt.Errorf("record failure: %w", err)
	}
	c.log.WarnContext(ctx, "event failed", "event_id", m.UUID, "topic", m.Metadata.Get(metadataTopic), "attempt", 1, "error", cause)
	_, err = c.pool.Exec(ctx, `
		INSERT INTO failed (event_id, topic, payload, headers, attempts, reason, next_at, dead_at)
		VALUES ($1, $2, $3, $4, 1, $5, now() + $6, CASE WHEN $7 THEN now() END)
		ON CONFLICT DO NOTHING`,
		m.UUID, m.Metadata.Get(metadataTopic), []byte(m.Payload), headers, reasonOf(cause), c.backoff(1), c.cfg.MaxAttempts <= 1)
	if err != nil {
		return errors.Join(cause, fmt.Errorf("record failure: %w", err))
	}
	return nil
}

// retryOne tries the failed event that has been due for longest, and commits either its effect or one more attempt. The handler
// runs in a savepoint, so that a failure undoes the effect and keeps the count.
func (c *Consumer) retryOne(ctx context.Context) (more bool, err error) {
	err = pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		m, attempts, err := dueTx(ctx, tx)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read failed: %w", err)
		}
		more = true
		cause := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "DELETE FROM failed WHERE event_id = $1", m.UUID); err != nil {
				return err
			}
			fresh, err := claimTx(ctx, tx, []*message.Message{m})
			if err != nil || !fresh[m.UUID] { // handled meanwhile by a process that received it too
				return err
			}
			return c.handle(ctx, tx, m)
		})
		if cause == nil || transient(cause) {
			return cause
		}
		return c.countAttemptTx(ctx, tx, m, attempts+1, cause)
	})
	if more && err == nil {
		c.wake()
	}
	return more, err
}

// dueTx locks the failed event whose turn it is, skipping those that another process is trying. The row is locked before the module's
// turn is taken, and nobody who holds the turn waits for such a row, so the two cannot deadlock.
func dueTx(ctx context.Context, tx pgx.Tx) (*message.Message, int, error) {
	var id uuid.UUID
	var payload []byte
	var headers message.Metadata
	var attempts int
	err := tx.QueryRow(ctx, `
		SELECT event_id, payload, headers, attempts FROM failed
		WHERE dead_at IS NULL AND next_at <= now()
		ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED`).Scan(&id, &payload, &headers, &attempts)
	if err != nil {
		return nil, 0, err
	}
	m := message.NewMessage(id.String(), payload)
	m.Metadata = headers
	return m, attempts, nil
}

func (c *Consumer) countAttemptTx(ctx context.Context, tx pgx.Tx, m *message.Message, attempts int, cause error) error {
	dead := attempts >= c.cfg.MaxAttempts
	_, err := tx.Exec(ctx, `
		UPDATE failed SET attempts = $2, reason = $3, next_at = now() + $4, dead_at = CASE WHEN $5 THEN now() END
		WHERE event_id = $1`, m.UUID, attempts, reasonOf(cause), c.backoff(attempts), dead)
	if err != nil {
		return fmt.Errorf("count attempt: %w", err)
	}
	if dead {
		c.log.ErrorContext(ctx, "event is a dead letter", "event_id", m.UUID, "topic", m.Metadata.Get(metadataTopic),
			"attempts", attempts, "error", cause)
	}
	return nil
}

// backoff doubles from RetryBase to RetryMax, with ±50 % jitter.
func (c *Consumer) backoff(attempts int) time.Duration {
	pause := c.cfg.RetryMax
	if doublings := attempts - 1; doublings < 30 {
		pause = min(c.cfg.RetryBase<<doublings, c.cfg.RetryMax)
	}
	return pause/2 + rand.N(pause+1)
}

// reasonOf keeps the beginning of a message: a panic's stack can be long.
func reasonOf(cause error) string {
	const most = 2000
	reason := cause.Error()
	return reason[:min(len(reason), most)]
}

// Redrive gives dead letters of the pool's module a new life: all their attempts, starting now. It returns how many it found
// among ids; without ids it takes them all.
func Redrive(ctx context.Context, pool *pgxpool.Pool, ids ...uuid.UUID) (int64, error) {
	tag, err := pool.Exec(ctx, `
		UPDATE failed SET attempts = 0, next_at = now(), dead_at = NULL
		WHERE dead_at IS NOT NULL AND ($1::uuid[] IS NULL OR event_id = ANY($1))`, ids)
	if err != nil {
		return 0, fmt.Errorf("redrive: %w", err)
	}
	return tag.RowsAffected(), nil
}
