package events

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"example.com/shop/platform/origin"
	"example.com/shop/platform/postgres"
)

// takeTurn takes a lock, so that one batch of the module runs at a time over all its processes.
// Without it two consumers deadlock on each other's rows and inbox keys.
const takeTurn = `-- name: TakeTurn
	SELECT pg_advisory_xact_lock(hashtextextended('seam.consumer.' || current_schema(), 0))`

// apply handles those events of the batch that the module has not handled yet, and commits their
// effects together with their inbox rows. A crash before the commit leaves no effect, and one after
// it leaves the events unacknowledged: in either case they are redelivered.
//
//	BEGIN; take the turn; INSERT inbox; the first statement of a handler
//	the handlers' other statements; INSERT outbox, outbox_pending; COMMIT
//
// It first takes all for new, as nearly always; if an inbox row is refused, it looks up which are.
// If a batch fails, Consumer applies its events one by one. One that fails alone is stored in the
// table failed and retried, and after its last retry it stays there as a dead letter.
func (c *Consumer) apply(ctx context.Context, batch ...*message.Message) error {
	err := c.conn.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error { return c.applyTx(ctx, tx, batch) })
	if !notFresh(err) {
		return err
	}
	return c.conn.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		fresh, err := freshTx(ctx, tx, batch)
		if err != nil || len(fresh) == 0 {
			return err
		}
		return c.applyTx(ctx, tx, fresh)
	})
}

// applyTx handles the events and inserts their inbox rows, which are sent with the handlers' first
// statement. The primary key refuses an event that was handled already. One that is in the table
// failed gets no topic, which NOT NULL refuses: it is left to the retries.
func (c *Consumer) applyTx(ctx context.Context, tx pgx.Tx, batch []*message.Message) error {
	ids, topics := make([]string, len(batch)), make([]string, len(batch))
	for i, m := range batch {
		ids[i], topics[i] = m.UUID, m.Metadata[headerTopic]
	}
	postgres.QueueSQL(tx, takeTurn)
	postgres.QueueSQL(tx, `-- name: WriteInbox
		INSERT INTO inbox (event_id, topic)
		SELECT e.id, CASE WHEN (SELECT event_id FROM failed WHERE event_id = e.id) IS NULL THEN e.topic END
		FROM unnest($1::uuid[], $2::text[]) AS e (id, topic)`, ids, topics)
	for _, group := range byTopic(batch) {
		if err := c.handle(ctx, tx, group); err != nil {
			return err
		}
	}
	return nil
}

// notFresh reports whether PostgreSQL refused an inbox row.
func notFresh(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && refused.TableName == "inbox"
}

// freshTx returns the events that are neither handled nor failed, without duplicates in the batch.
func freshTx(ctx context.Context, tx pgx.Tx, batch []*message.Message) ([]*message.Message, error) {
	byID := map[string]*message.Message{}
	for _, m := range batch {
		byID[m.UUID] = m
	}
	postgres.QueueSQL(tx, takeTurn)
	rows, err := tx.Query(ctx, `-- name: ReadInbox
		SELECT e.id::text FROM unnest($1::uuid[]) AS e (id)
		WHERE (SELECT event_id FROM inbox WHERE event_id = e.id) IS NULL
		AND (SELECT event_id FROM failed WHERE event_id = e.id) IS NULL`,
		slices.Collect(maps.Keys(byID)))
	if err != nil {
		return nil, fmt.Errorf("read inbox: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read inbox: %w", err)
	}
	fresh := slices.DeleteFunc(slices.Clone(batch), func(m *message.Message) bool {
		return byID[m.UUID] != m || !slices.Contains(ids, m.UUID)
	})
	return fresh, nil
}

// handle runs the handler of the group's topic, in a span that belongs to the event's trace, or is
// linked to those of several events.
func (c *Consumer) handle(ctx context.Context, tx pgx.Tx, group []*message.Message) error {
	topic := group[0].Metadata[headerTopic]
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer)}
	if len(group) == 1 {
		ctx = WithCause(ctx, Cause(group[0].Metadata))
	} else {
		ctx = origin.With(ctx, origin.Request{Actor: "system", Topic: topic})
		for _, m := range group {
			options = append(options, trace.WithLinks(trace.LinkFromContext(WithCause(ctx, Cause(m.Metadata)))))
		}
	}
	ctx, span := c.tracer.Start(ctx, "handle "+topic, options...)
	defer span.End()
	handler, ok := c.handlers[topic]
	if !ok {
		return fmt.Errorf("no handler for %s", topic)
	}
	// A handler may ignore its deadline and return nil: then the commit would fail instead.
	err := handler.run(ctx, tx, group)
	if ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", errTooSlow, errors.Join(err, ctx.Err()))
	}
	if err != nil {
		if !notFresh(err) { // which is not the handler's fault
			span.RecordError(err)
			span.SetStatus(codes.Error, "")
		}
		return fmt.Errorf("handle %s: %w", topic, err)
	}
	return nil
}
