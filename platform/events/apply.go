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

	"example.com/shop/platform/postgres"
)

// takeTurn lets one batch of the module run at a time, over all its processes: without it two
// consumers deadlock on each other's rows and inbox keys.
const takeTurn = `-- name: TakeTurn
	SELECT pg_advisory_xact_lock(hashtextextended('seam.consumer.' || current_schema(), 0))`

// apply handles the events that the module has not handled yet, and commits effects and inbox rows
// together. A process that dies before the commit has done nothing, and one that dies after it has
// not acknowledged: in either case the events are delivered again.
//
// All are taken for new first, as they nearly always are; one that is not fails its inbox row, and
// then each is looked up.
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

// applyTx handles the events and writes their inbox rows, which travel with the handlers' first
// statement. PostgreSQL refuses the row of an event that was handled already, and of one in the
// failed table, which is the retries', by NOT NULL.
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

// notFresh says that PostgreSQL has refused an inbox row.
func notFresh(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && refused.TableName == "inbox"
}

// freshTx returns the events that are neither handled nor failed, each once: the bus may have
// delivered one twice.
func freshTx(ctx context.Context, tx pgx.Tx, batch []*message.Message) ([]*message.Message, error) {
	byID := map[string]*message.Message{}
	for _, m := range batch {
		byID[m.UUID] = m
	}
	postgres.QueueSQL(tx, takeTurn)
	rows, err := tx.Query(ctx, `-- name: ReadInbox
		SELECT e.id::text FROM unnest($1::uuid[]) AS e (id)
		WHERE (SELECT event_id FROM inbox WHERE event_id = e.id) IS NULL AND (SELECT event_id FROM failed WHERE event_id = e.id) IS NULL`,
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

// handle runs the handler of the group's topic, in a span that belongs to the trace of its event,
// or is linked to those of all.
func (c *Consumer) handle(ctx context.Context, tx pgx.Tx, group []*message.Message) error {
	topic := group[0].Metadata[headerTopic]
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer)}
	if len(group) == 1 {
		ctx = WithCause(ctx, Cause(group[0].Metadata))
	} else {
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
	// A handler that ignored its time may call it a success, which only the commit would find out, and blame on the database.
	err := handler.run(ctx, tx, group)
	if ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", errTooSlow, errors.Join(err, ctx.Err()))
	}
	if err != nil {
		if !notFresh(err) { // which is no fault of the handler's
			span.RecordError(err)
			span.SetStatus(codes.Error, "")
		}
		return fmt.Errorf("handle %s: %w", topic, err)
	}
	return nil
}
