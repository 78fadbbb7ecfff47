package events

import (
	"context"
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"example.com/shop/platform/postgres"
)

// apply handles the events that the inbox does not know yet, and commits effects and inbox rows together.
//
// The advisory lock lets one batch of the module run at a time, over all its processes: without it two consumers deadlock
// on each other's rows and inbox keys.
func (c *Consumer) apply(ctx context.Context, batch ...*message.Message) error {
	return c.conn.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		fresh, err := claimTx(ctx, tx, batch...)
		if err != nil {
			if ctx.Err() != nil { // and nothing has been handled yet
				err = fmt.Errorf("%w: %w", errUnreachable, err)
			}
			return err
		}
		for _, m := range batch {
			if !fresh[m.UUID] {
				continue
			}
			delete(fresh, m.UUID) // the bus may have delivered it twice in one batch
			if err := c.handle(ctx, tx, m); err != nil {
				return err
			}
		}
		return nil
	})
}

// claimTx takes the module's turn and writes the inbox rows, in one round trip. It returns the ids that are new to the module;
// those in the failed table are not: they belong to the retries.
func claimTx(ctx context.Context, tx pgx.Tx, batch ...*message.Message) (map[string]bool, error) {
	// Sorted, and with the row locks of ON CONFLICT taken in that order, so that even without the turn two inserts cannot deadlock.
	ids := make([]string, len(batch))
	topics := make([]string, len(batch))
	for i, m := range batch {
		ids[i], topics[i] = m.UUID, m.Metadata.Get(metadataTopic)
	}
	queries := &pgx.Batch{}
	queries.Queue("SELECT pg_advisory_xact_lock(hashtextextended('seam.consumer.' || current_schema(), 0))")
	queries.Queue(`
		INSERT INTO inbox (event_id, topic)
		SELECT e.id, e.topic FROM unnest($1::uuid[], $2::text[]) AS e (id, topic)
		WHERE NOT EXISTS (SELECT FROM failed f WHERE f.event_id = e.id)
		ORDER BY e.id
		ON CONFLICT DO NOTHING
		RETURNING event_id`, ids, topics)
	results := tx.SendBatch(ctx, queries)
	if _, err := results.Exec(); err != nil {
		if postgres.HasCode(err, postgres.LockTimeout) {
			err = fmt.Errorf("%w: %w", errNoTurn, err)
		}
		return nil, errors.Join(fmt.Errorf("take the module's turn: %w", err), results.Close())
	}
	rows, err := results.Query()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write inbox: %w", err), results.Close())
	}
	claimed, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err := errors.Join(err, results.Close()); err != nil {
		return nil, fmt.Errorf("write inbox: %w", err)
	}
	fresh := make(map[string]bool, len(claimed))
	for _, id := range claimed {
		fresh[id.String()] = true
	}
	return fresh, nil
}

// handle runs the handler under the event's cause.
func (c *Consumer) handle(ctx context.Context, tx pgx.Tx, m *message.Message) error {
	topic := m.Metadata.Get(metadataTopic)
	ctx, span := c.tracer.Start(WithCause(ctx, Cause(m.Metadata)), "handle "+topic, trace.WithSpanKind(trace.SpanKindConsumer))
	defer span.End()
	handler, ok := c.handlers[topic]
	if !ok {
		return fmt.Errorf("no handler for %s", topic)
	}
	// A handler that ignored its time may call it a success, which only the commit would find out, and blame on the database.
	err := handler.run(ctx, tx, m.Payload)
	if ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", errTooSlow, errors.Join(err, ctx.Err()))
	}
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, "")
		return fmt.Errorf("handle %s: %w", topic, err)
	}
	return nil
}

// errTooSlow is the fault of a handler that used up the time of its transaction, unlike time that was lost waiting for the turn.
var errTooSlow = errors.New("the handler took too long")

// transient says that the database, not the event, is why it failed: trying again is no attempt. A doubtful cause is not transient:
// an attempt too many ends in a dead letter that can be redriven, an event that is never counted comes back from the bus for ever.
func transient(err error) bool {
	switch {
	case err == nil || errors.Is(err, errTooSlow):
		return false
	case errors.Is(err, errNoConnection) || errors.Is(err, context.DeadlineExceeded):
		return true
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Code != "57014" && postgres.Transient(pgErr) // query_canceled: the handler's own statement is too slow
	}
	return pgconn.SafeToRetry(err)
}

// errNoTurn says that another process of the module keeps the turn, such as one that was frozen.
var errNoTurn = errors.New("another process has the module's turn")

// holdsUpAll says that any other event would wait as long and fail as well.
func holdsUpAll(err error) bool { return errors.Is(err, errUnreachable) || errors.Is(err, errNoTurn) }
