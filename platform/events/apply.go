package events

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"example.com/shop/platform/origin"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/share"
)

// apply handles those events of the batch that the module has not handled yet, and commits their
// effects together with their inbox rows. A crash before the commit leaves no effect, and one after
// it leaves the events unacknowledged: in either case they are redelivered.
//
//	BEGIN; take the turn; INSERT inbox; the first statement of a handler
//	the handlers' other statements; INSERT outbox, outbox_pending; COMMIT
//
// It first takes all for new and this side's, as nearly always; if an inbox row is refused, it
// looks up which are, and parks those of another side. During a canary it looks them up at once. If
// a batch fails, Consumer applies its events one by one. One that fails alone is stored in the
// table failed and retried, and after its last retry, or at once if the error is Final, it is a
// dead letter.
func (c *Consumer) apply(ctx context.Context, batch ...*message.Message) error {
	if !c.db.Side.Shared() {
		err := c.conn.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error { return c.applyTx(ctx, tx, batch) })
		if err == nil {
			c.db.Side.Handled(len(batch))
		}
		if !notFresh(err) {
			return err
		}
	}
	return c.applyFresh(ctx, func(context.Context, pgx.Tx) ([]*message.Message, error) { return batch, nil })
}

// applyFresh handles those of the events that are neither handled nor failed, and this side's.
func (c *Consumer) applyFresh(ctx context.Context, read func(ctx context.Context, tx pgx.Tx) ([]*message.Message, error)) error {
	var fresh []*message.Message
	err := c.conn.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		batch, err := read(ctx, tx)
		if err == nil {
			fresh, err = c.freshTx(ctx, tx, batch)
		}
		if err != nil || len(fresh) == 0 {
			return err
		}
		return c.applyTx(ctx, tx, fresh)
	})
	if err == nil {
		c.db.Side.Handled(len(fresh))
	}
	return err
}

// applyTx handles the events and inserts their inbox rows, which are sent with the handlers' first
// statement. The primary key refuses an event that was handled already. One that is in the table
// failed, or another side's, gets no topic, which NOT NULL refuses.
func (c *Consumer) applyTx(ctx context.Context, tx pgx.Tx, batch []*message.Message) error {
	n := len(batch)
	ids, topics, keys := make([]string, n), make([]string, n), make([]string, n)
	for i, m := range batch {
		ids[i], topics[i], keys[i] = m.UUID, m.Metadata[headerTopic], m.Metadata[headerKey]
	}
	postgres.QueueSQL(tx, share.TakeTurn)
	postgres.QueueSQL(tx, `-- name: WriteInbox
		WITH share AS (SELECT topic, share_of($4, topic) AS buckets FROM unnest($5::text[]) AS topic)
		INSERT INTO inbox (event_id, topic)
		SELECT e.id, CASE WHEN (SELECT event_id FROM failed WHERE event_id = e.id) IS NULL
			AND bucket_of(e.key) <@ (SELECT buckets FROM share WHERE topic = e.topic) THEN e.topic END
		FROM unnest($1::uuid[], $2::text[], $3::text[]) AS e (id, topic, key)`,
		ids, topics, keys, c.db.Side.Name(), slices.Compact(slices.Sorted(slices.Values(topics))))
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
// It parks those of another side.
func (c *Consumer) freshTx(ctx context.Context, tx pgx.Tx, batch []*message.Message) ([]*message.Message, error) {
	byID := map[string]*message.Message{}
	var ids, topics, keys []string
	var payloads [][]byte
	var headers []message.Metadata
	for _, m := range batch {
		if byID[m.UUID] == nil {
			byID[m.UUID] = m
			ids = append(ids, m.UUID)
			topics, keys = append(topics, m.Metadata[headerTopic]), append(keys, m.Metadata[headerKey])
			payloads, headers = append(payloads, m.Payload), append(headers, m.Metadata)
		}
	}
	postgres.QueueSQL(tx, share.TakeTurn)
	rows, err := tx.Query(ctx, `-- name: ReadInbox
		WITH share AS (SELECT topic, share_of($6, topic) AS buckets FROM unnest($7::text[]) AS topic),
		fresh AS (
			SELECT e.*, bucket_of(e.key) <@ (SELECT buckets FROM share WHERE topic = e.topic) AS ours
			FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::jsonb[]) AS e (id, topic, key, payload, headers)
			WHERE (SELECT event_id FROM inbox WHERE event_id = e.id) IS NULL
			AND (SELECT event_id FROM failed WHERE event_id = e.id) IS NULL),
		others AS (
			INSERT INTO parked (event_id, topic, key, payload, headers)
			SELECT id, topic, key, payload, headers FROM fresh WHERE NOT ours ON CONFLICT DO NOTHING)
		SELECT id::text FROM fresh WHERE ours`,
		ids, topics, keys, payloads, headers, c.db.Side.Name(), slices.Compact(slices.Sorted(slices.Values(topics))))
	if err != nil {
		return nil, fmt.Errorf("read inbox: %w", err)
	}
	ours, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read inbox: %w", err)
	}
	fresh := slices.DeleteFunc(slices.Clone(batch), func(m *message.Message) bool {
		return byID[m.UUID] != m || !slices.Contains(ours, m.UUID)
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
