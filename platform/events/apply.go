package events

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/codes"

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
// The turn is a lock on a row, so that a module handles one batch at a time over all its processes.
// All events are first taken to be new and for this process, as they nearly always are. If one is
// not, PostgreSQL refuses its inbox row, and the transaction is run again with those that are
// (applyFresh). During a canary, when another side of the module may be meant, that is done at once.
//
// If a batch fails, Consumer applies its events one by one. One that fails alone is stored in the
// table failed, acknowledged, and retried; after its last retry, or at once if the error is Final,
// it is a dead letter.
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

// handle runs the handler of the group's topic, in a span and with the cause of its event.
func (c *Consumer) handle(ctx context.Context, tx pgx.Tx, group []*message.Message) error {
	topic := group[0].Metadata[headerTopic]
	ctx, span := c.startSpan(ctx, topic, group)
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
